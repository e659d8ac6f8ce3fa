//! The ports that carry messages: [`Publisher`] and [`Consumer`].
//!
//! # The life of a delivery
//!
//! ```text
//!    publish                         schedule
//!       |                               |
//!       v         the delay is over     v
//!  +---------+ <------------------- +---------+
//!  | visible |                      | delayed | <--------------------+
//!  +---------+ <------------+       +---------+                      |
//!       |                   |                                        |
//!       | receive:          | the lease ends:                        |
//!       | attempt + 1       | the next receive redelivers it         |
//!       v                   |                                        |
//!  +---------+ -------------+                                        |
//!  | leased  | ------ release(after) --------------------------------+
//!  +---------+ ------ renew, hold ------> leased: a later deadline, a new receipt
//!    |     |
//!    |     +--------- dead_letter(reason) --------+
//!    |                                            |   a receive over `max_receive_count`:
//!    | settle, in one step:                       |   the broker moves it, without a reason
//!    |   publish the Result and the Events        v       |
//!    |   schedule the follow-up             +-------------+
//!    |   store the answer                   | dead letter | ------ Operations::replay ---> visible,
//!    v   delete the message                 +-------------+        attempts start again
//!  +---------+
//!  | deleted |
//!  +---------+
//! ```
//!
//! Only the holder of the current lease can renew, release, dead-letter or delete a message: once another consumer has received it, the
//! old receipt matches nothing. A backend with transactions settles in a single one, so a late settlement publishes nothing and returns
//! [`Deleted::LeaseLost`]. Others, such as SQS, publish first and delete last: a crash in between redelivers the message, and its stored
//! answer is given again.
//!
//! # Writing a backend
//!
//! A backend is a module of this crate behind a feature of its own. It has to provide:
//!
//! 1. a way to declare a [`Topology`](crate::Topology): topics, queues with their redrive, and filtered subscriptions;
//! 2. [`Publisher`]: one copy for each subscribed queue; an entry that returns `Ok` is durable;
//! 3. [`Consumer`]: leases that end by themselves, receipts that fence, and [`Consumer::settle`] that deletes last;
//! 4. [`Operations`](crate::Operations): browse, replay and purge, and a reason for messages that the broker dead-lettered;
//! 5. [`IdempotencyStore`](crate::IdempotencyStore), or the registry's, unless `settle` stores answers in its own transaction;
//! 6. true [`Limits`]: callers split batches, delays and bodies by them and assume no numbers of their own;
//! 7. an [`Error`] of the right kind for each failure, since loops retry by the kind and never by the text;
//! 8. time from a [`Clock`](crate::Clock), never from the system directly, so that tests can move it;
//! 9. a test like `tests/conformance_memory.rs`: a `Bench` on a fresh fabric and one line that runs the whole suite in `conformance`;
//! 10. no claim store: [`ClaimStore`](crate::ClaimStore) is implemented on objects and works with every backend.
//!
//! docs/design/installation.md lists the files that then make the backend a fabric of pudato.

use crate::{Error, IdempotencyRecord, RunningRequest};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;

/// The limits of a backend. Callers ask for them instead of assuming the numbers of one cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of one message: body, and names, types and values of the attributes.
    pub message_bytes_max: usize,
    /// The most entries of one batch.
    pub batch_entries_max: usize,
    /// The most bytes of one batch.
    pub batch_bytes_max: usize,
    /// The most attributes of one message.
    pub attributes_max: usize,
    /// How long a batch that is not full should wait for more messages while other calls are running: zero if calls cost nothing.
    pub batch_fill: Duration,
    /// The longest lease.
    pub lease_max: Duration,
    /// The longest delay of a scheduled message; `None` if the backend supports no delay.
    pub delay_max: Option<Duration>,
    /// Longest wait of one receive.
    pub receive_wait_max: Duration,
}

/// Why a message is on a dead-letter queue, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue that it came from.
    pub source: String,
    /// The reason that a consumer gave; `None` if the broker moved the message after too many receives.
    pub reason: Option<String>,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The body, as JSON.
    pub body: String,
    /// Attributes for filters and tracing.
    pub attributes: BTreeMap<String, String>,
}

/// A received message, with the right to settle it.
#[derive(Debug)]
pub struct Delivery {
    /// The backend's id of this copy, for logs. A message is identified by its body, because a dead-lettered copy may have a new id.
    pub message_id: String,
    /// The body as received, raw or in an envelope.
    pub body: Vec<u8>,
    /// The attributes that were sent with it.
    pub attributes: BTreeMap<String, String>,
    /// The number of this attempt, from 1 on. It is approximate, and `None` if the backend does not count.
    pub attempt: Option<u32>,
    /// The last attempt that the queue allows, if it has a dead-letter queue.
    pub attempt_max: Option<u32>,
    /// When it was first received, in milliseconds since the Unix epoch, if the backend records it.
    pub first_received_ms: Option<u64>,
    /// The reason and the origin, on a dead-letter queue.
    pub dead_letter: Option<DeadLetter>,
    /// The right to settle the message.
    pub lease: Lease,
}

/// The right to settle one delivery until its deadline. It belongs to the consumer that received the message and cannot be copied, so a
/// delivery is settled once.
#[derive(Debug)]
pub struct Lease {
    /// The backend's handle.
    pub receipt: String,
    /// When the lease ends, in milliseconds since the Unix epoch on the consumer's clock.
    pub deadline_ms: u64,
}

/// A message in progress whose lease is to be renewed, together with its request.
#[derive(Debug)]
pub struct Hold<'a> {
    /// The lease. A renewal changes its receipt and its deadline.
    pub lease: &'a mut Lease,
    /// The request that the handler runs.
    pub request: Option<&'a RunningRequest>,
}

/// The outcome of a renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The lease was renewed, and the request if there is one.
    All,
    /// Only the lease was renewed. The backend stores no requests, so the caller must renew this one with
    /// [`IdempotencyStore::renew_all`](crate::IdempotencyStore::renew_all).
    LeaseAlone,
    /// The lease was renewed. The request now belongs to another worker, or was answered.
    RequestLost,
}

impl Kept {
    /// The outcome for a backend that stores no requests, after it renewed the lease.
    pub fn renewed(request: Option<&RunningRequest>) -> Self {
        match request {
            Some(_) => Self::LeaseAlone,
            None => Self::All,
        }
    }
}

/// The arguments of a receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receive {
    /// The most messages to return, 1 to 10.
    pub max: usize,
    /// How long to wait for the first message, 0 to 20 s.
    pub wait: Duration,
}

/// The outcome of a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The message was deleted.
    Deleted,
    /// Another consumer holds the message now, so it was left alone.
    LeaseLost,
    /// The backend accepted the call and reports nothing more (SQS, plain Pub/Sub).
    Unknown,
}

/// Everything that follows from one handled message.
#[derive(Debug)]
pub struct Settlement {
    /// The lease of the handled message.
    pub lease: Lease,
    /// The messages to publish, with their topics.
    pub publish: Vec<(String, Message)>,
    /// The messages to send to the consumer's own queue after a delay.
    pub schedule: Vec<(Duration, Message)>,
    /// The answer to store, so that a redelivery of the message gets the same answer.
    pub answered: Option<IdempotencyRecord>,
}

impl Settlement {
    /// A settlement that only deletes the message.
    pub fn of(lease: Lease) -> Self {
        Self {
            lease,
            publish: Vec::new(),
            schedule: Vec::new(),
            answered: None,
        }
    }
}

/// Publishes messages to topics.
///
/// ```
/// use pudato_messaging::memory::MemoryFabric;
/// use pudato_messaging::{Consumer, Message, Publisher, QueueConfig, Receive, Subscription, SystemClock, Topology};
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), pudato_messaging::Error> {
/// let fabric = MemoryFabric::new(Arc::new(SystemClock));
/// let topology = Topology {
///     topics: vec!["orders".into()],
///     queues: vec![QueueConfig::new("billing"), QueueConfig::new("shipping")],
///     subscriptions: vec![Subscription::new("orders", "billing"), Subscription::new("orders", "shipping")],
/// };
/// fabric.declare(topology).await?;
///
/// let message = Message { body: r#"{"order": 7}"#.into(), attributes: BTreeMap::new() };
/// let ids = fabric.publish("orders", vec![message]).await?;
/// assert!(ids[0].is_ok(), "the message is durable");
///
/// // Each queue that subscribes to the topic has a copy.
/// for queue in ["billing", "shipping"] {
///     let consumer = fabric.consumer(queue).await?;
///     let received = consumer.receive(Receive { max: 10, wait: Duration::ZERO }).await?;
///     assert_eq!(received[0].body, br#"{"order": 7}"#);
/// }
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Publisher: Send + Sync {
    /// The limits of `topic`.
    ///
    /// # Errors
    /// `NotFound` for an unknown topic.
    async fn limits(&self, topic: &str) -> Result<Limits, Error>;

    /// Publishes each message to every queue that subscribes to `topic`. Returns the id of each message, in their order. An entry that
    /// returns `Ok` is durable. An entry that failed was sent to no queue, unless its error is `Unavailable`: then the outcome is unknown,
    /// and publishing it again may duplicate it.
    ///
    /// # Errors
    /// The whole call was refused (unknown topic, too many entries); nothing was sent.
    async fn publish(
        &self,
        topic: &str,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<String, Error>>, Error>;
}

/// Receives the messages of one queue and settles them.
///
/// A worker handles a message, and settles it with everything that follows from it:
///
/// ```
/// use pudato_messaging::memory::MemoryFabric;
/// use pudato_messaging::{
///     Consumer, Counts, Deleted, ManualClock, Message, Operations, Publisher, QueueConfig, Receive, Settlement, Subscription, Topology,
/// };
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// # fn message(body: &str) -> Message {
/// #     Message { body: body.into(), attributes: BTreeMap::new() }
/// # }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), pudato_messaging::Error> {
/// let clock = ManualClock::at(0);
/// let fabric = MemoryFabric::new(Arc::new(clock.clone()));
/// let topology = Topology {
///     topics: vec!["commands".into(), "results".into()],
///     queues: vec![QueueConfig::new("work"), QueueConfig::new("answers")],
///     subscriptions: vec![Subscription::new("commands", "work"), Subscription::new("results", "answers")],
/// };
/// fabric.declare(topology).await?;
/// fabric.publish("commands", vec![message("{}")]).await?;
///
/// let worker = fabric.consumer("work").await?;
/// let receive = Receive { max: 1, wait: Duration::ZERO };
/// let slow = worker.receive(receive).await?.remove(0);
///
/// // The lease ends while this worker is busy, and another worker receives the message.
/// clock.advance(Duration::from_secs(61));
/// let other = fabric.consumer("work").await?;
/// let again = other.receive(receive).await?.remove(0);
/// assert_eq!(again.attempt, Some(2));
///
/// // The first worker is fenced out: its Result is not published.
/// let settlement = |lease| Settlement {
///     publish: vec![("results".into(), message(r#"{"status": "success"}"#))],
///     ..Settlement::of(lease)
/// };
/// let settled = worker.settle(vec![settlement(slow.lease)]).await.remove(0)?;
/// assert_eq!(settled, Deleted::LeaseLost);
/// assert_eq!(fabric.counts("answers").await?.visible, 0);
///
/// // The second worker publishes its Result and deletes the message in one step.
/// let settled = other.settle(vec![settlement(again.lease)]).await.remove(0)?;
/// assert_eq!(settled, Deleted::Deleted);
/// assert_eq!(fabric.counts("answers").await?.visible, 1);
/// assert_eq!(fabric.counts("work").await?, Counts::default());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Consumer: Send + Sync {
    /// The limits of the queue.
    fn limits(&self) -> Limits;

    /// Waits for messages. Returns as soon as there is one, without waiting for more, and empty after `wait`. A call that is dropped leases
    /// messages for no longer than the queue's visibility timeout.
    ///
    /// # Errors
    /// `Invalid`: a number is out of its range. `NotFound`: the queue is gone.
    async fn receive(&self, receive: Receive) -> Result<Vec<Delivery>, Error>;

    /// Deletes messages. Deleting a message twice is not an error.
    ///
    /// # Errors
    /// Per entry, `Invalid`: this backend did not issue the receipt.
    async fn delete(&self, leases: Vec<Lease>) -> Vec<Result<Deleted, Error>>;

    /// Extends leases to `want` from now; the deadline of each lease shows what was granted. A lease that has ended is extended as well,
    /// unless another consumer has received its message since. In that case the call shows that the holder of the old lease is alive, and a
    /// backend that counts attempts itself does not count that one.
    ///
    /// # Errors
    /// Per entry, `Invalid`: the message is gone or leased to another consumer.
    async fn renew(&self, leases: Vec<&mut Lease>, want: Duration) -> Vec<Result<(), Error>>;

    /// Renews everything that a worker has in progress: leases as [`Consumer::renew`] does, and the requests of their handlers. A backend
    /// that stores both does so in one write, ahead of all other waiting writes.
    ///
    /// # Errors
    /// As [`Consumer::renew`]; the request was not renewed then.
    async fn hold(&self, held: Vec<Hold<'_>>, want: Duration) -> Vec<Result<Kept, Error>> {
        let (leases, kept): (Vec<_>, Vec<_>) = held
            .into_iter()
            .map(|held| (held.lease, Kept::renewed(held.request)))
            .unzip();
        let renewed = self.renew(leases, want).await.into_iter();
        let entries = renewed.zip(kept);
        entries
            .map(|(renewed, kept)| renewed.map(|()| kept))
            .collect()
    }

    /// Reports that the holder of an ended lease is alive, so that it does not count as an attempt. This does nothing if the lease has not
    /// ended, if no other consumer received the message since, or if the broker counts the attempts (SQS).
    async fn excuse(&self, _lease: &Lease) {}

    /// Releases a message, so that it can be received again after the delay `after`.
    ///
    /// # Errors
    /// As [`Consumer::renew`].
    async fn release(&self, lease: Lease, after: Duration) -> Result<(), Error>;

    /// As [`Consumer::release`], for a message that was not handled, such as one of a worker that stops. A backend that counts attempts
    /// itself does not count this one.
    ///
    /// # Errors
    /// As [`Consumer::renew`].
    async fn hand_back(&self, lease: Lease, after: Duration) -> Result<(), Error> {
        self.release(lease, after).await
    }

    /// Publishes `publish` (the error Result, if the message has a sender to notify), then moves the message to the queue's dead-letter
    /// queue with its bytes and `reason`. This is not atomic everywhere: after a crash the message may be in both queues, but never in
    /// neither.
    ///
    /// # Errors
    /// As [`Consumer::renew`]; `NotFound` if the queue has no dead-letter queue. The message then stays where it is.
    async fn dead_letter(
        &self,
        lease: Lease,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<(), Error>;

    /// Sends each message to this queue with a delay. Returns the id of each message, in their order.
    ///
    /// # Errors
    /// As [`Publisher::publish`], and `Invalid` if a delay is over [`Limits::delay_max`].
    async fn schedule(
        &self,
        messages: Vec<(Duration, Message)>,
    ) -> Result<Vec<Result<String, Error>>, Error>;

    /// Publishes, schedules, and only then deletes. A backend with transactions uses a single one; with others, a crash leaves the message
    /// to be delivered again, and the idempotency record answers the redelivery.
    ///
    /// # Errors
    /// Per entry; the message was not deleted then.
    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<Deleted, Error>>;
}
