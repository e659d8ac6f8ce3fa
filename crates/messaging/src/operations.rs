use crate::{DeadLetter, Error, Message};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;

/// The numbers of messages on a queue, by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages that can be received.
    pub visible: u64,
    /// Messages that were received and not settled.
    pub in_flight: u64,
    /// Messages that are not due yet.
    pub delayed: u64,
}

/// A message on a queue, seen without receiving it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The queue that holds the message.
    pub queue: String,
    /// The backend's id of this copy.
    pub message_id: String,
    /// The body.
    pub body: Vec<u8>,
    /// The attributes.
    pub attributes: BTreeMap<String, String>,
    /// When it was sent, in milliseconds since the Unix epoch.
    pub sent_at_ms: u64,
    /// The earliest time at which it can be received.
    pub visible_at_ms: u64,
    /// The number of receives. On SQS, browsing counts as a receive.
    pub receive_count: u32,
    /// The number of times that a worker received it, without browsing. `None` if the number is unknown.
    pub attempts: Option<u32>,
    /// When it was first received; `None` also if that was by browsing.
    pub first_received_ms: Option<u64>,
    /// The reason and the origin, on a dead-letter queue.
    pub dead_letter: Option<DeadLetter>,
}

// For backends; the one on SQLite has the same condition in SQL.
#[cfg(any(feature = "aws", feature = "memory"))]
impl Stored {
    /// Whether the broker moved the message to a dead-letter queue and its sender was not notified yet.
    pub(crate) fn is_unexplained(&self) -> bool {
        let dead = self.dead_letter.as_ref();
        dead.is_some_and(|dead| dead.reason.is_none())
    }
}

/// Operations for administrators: browse, replay, purge. Handlers do not need them.
///
/// ```
/// use pudato_messaging::memory::MemoryFabric;
/// use pudato_messaging::{
///     Consumer, Message, Operations, Publisher, QueueConfig, Receive, Subscription, SystemClock, Topology,
/// };
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), pudato_messaging::Error> {
/// let fabric = MemoryFabric::new(Arc::new(SystemClock));
/// let topology = Topology {
///     topics: vec!["commands".into()],
///     queues: vec![QueueConfig::new("work").redrive(6, "dead"), QueueConfig::new("dead")],
///     subscriptions: vec![Subscription::new("commands", "work")],
/// };
/// fabric.declare(topology).await?;
/// let message = Message { body: "not JSON".into(), attributes: BTreeMap::new() };
/// fabric.publish("commands", vec![message]).await?;
///
/// let worker = fabric.consumer("work").await?;
/// let delivery = worker.receive(Receive { max: 1, wait: Duration::ZERO }).await?.remove(0);
/// worker.dead_letter(delivery.lease, "expected JSON", Vec::new()).await?;
///
/// // Browsing shows the message with its origin and its reason, and changes nothing.
/// let found = fabric.browse("dead", 10).await?;
/// let dead = found[0].dead_letter.as_ref().expect("a dead letter");
/// assert_eq!(dead.source, "work");
/// assert_eq!(dead.reason.as_deref(), Some("expected JSON"));
///
/// // Without a target, a message returns to the queue it came from.
/// let moved = fabric.replay("dead", &[found[0].message_id.clone()], None).await?;
/// assert_eq!(moved, 1);
/// assert_eq!(fabric.counts("work").await?.visible, 1);
/// assert_eq!(fabric.counts("dead").await?.visible, 0);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Operations: Send + Sync {
    /// Counts the messages of `queue`.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    async fn counts(&self, queue: &str) -> Result<Counts, Error>;

    /// Returns the oldest messages of `queue`, at most `max`, without changing anything.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    async fn browse(&self, queue: &str, max: usize) -> Result<Vec<Stored>, Error>;

    /// Returns messages of a dead-letter queue that the broker moved there and that have no reason yet, at most `max`, wherever they are in
    /// the queue. Nothing changes.
    ///
    /// # Errors
    /// As [`Operations::browse`].
    async fn unexplained(&self, dead_letters: &str, max: usize) -> Result<Vec<Stored>, Error>;

    /// Whether `topic` has a subscriber. A message to a topic without subscribers is accepted and dropped.
    ///
    /// # Errors
    /// `NotFound` for an unknown topic; `Denied`: the caller may not list the subscriptions.
    async fn has_subscribers(&self, topic: &str) -> Result<bool, Error>;

    /// Returns the messages on any queue whose attribute `name` is `value`.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn find(&self, name: &str, value: &str) -> Result<Vec<Stored>, Error>;

    /// Sends messages of a dead-letter queue to `to`, or each back to the queue it came from. Body, attributes and age are kept, and
    /// attempts start again. Returns how many were moved; a message that is gone is not counted.
    ///
    /// # Errors
    /// `NotFound`: a queue or the way back is unknown; nothing is moved then.
    async fn replay(
        &self,
        dead_letters: &str,
        message_ids: &[String],
        to: Option<&str>,
    ) -> Result<u64, Error>;

    /// Sends all messages of a dead-letter queue to `to`, at most `per_second` per second, and returns how many.
    ///
    /// # Errors
    /// As [`Operations::replay`]; messages that were moved by then stay moved.
    async fn replay_all(
        &self,
        dead_letters: &str,
        to: &str,
        per_second: Option<u32>,
    ) -> Result<u64, Error> {
        replay_by_ids(self, dead_letters, to, per_second).await
    }

    /// Deletes messages of `queue` by their ids, or all of them, and returns how many.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    async fn purge(&self, queue: &str, message_ids: Option<&[String]>) -> Result<u64, Error>;

    /// Adds a reason to a message that the broker moved to a dead-letter queue, and publishes the messages that notify its sender. Returns
    /// false if the message is gone, came from no other queue, or has a reason already.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue or topic; nothing changes then.
    async fn explain(
        &self,
        dead_letters: &str,
        message_id: &str,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<bool, Error>;
}

/// Browses the queue and replays it message by message.
pub(crate) async fn replay_by_ids<O: Operations + ?Sized>(
    operations: &O,
    dead_letters: &str,
    to: &str,
    per_second: Option<u32>,
) -> Result<u64, Error> {
    let found = operations.browse(dead_letters, usize::MAX).await?;
    let ids: Vec<String> = found
        .into_iter()
        .map(|message| message.message_id)
        .collect();
    replay_paced(operations, dead_letters, &ids, Some(to), per_second).await
}

/// Replays messages by their ids, at most `per_second` of them a second; returns how many were moved.
///
/// # Errors
/// As [`Operations::replay`]; what was moved by then stays moved.
pub async fn replay_paced<O: Operations + ?Sized>(
    operations: &O,
    dead_letters: &str,
    message_ids: &[String],
    to: Option<&str>,
    per_second: Option<u32>,
) -> Result<u64, Error> {
    let per_second = per_second.map(|rate| usize::try_from(rate).unwrap_or(usize::MAX));
    let at_once = per_second.unwrap_or(message_ids.len()).max(1);
    let mut moved = 0;
    for (n, ids) in message_ids.chunks(at_once).enumerate() {
        if n > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        moved += operations.replay(dead_letters, ids, to).await?;
    }
    Ok(moved)
}
