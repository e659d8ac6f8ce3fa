use crate::{Error, IdempotencyRecord, RunningRequest};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a backend can carry. Callers ask instead of assuming one cloud's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one message: body, attribute names, types and values.
    pub message_bytes_max: usize,
    /// Most entries of one batch call.
    pub batch_entries_max: usize,
    /// Most bytes of one batch call.
    pub batch_bytes_max: usize,
    /// Most attributes of one message.
    pub attributes_max: usize,
    /// How long it pays to wait for more before a batch that is not full is sent while others are on their way: nothing where calls
    /// cost nothing.
    pub batch_fill: Duration,
    /// Longest lease that can be asked for.
    pub lease_max: Duration,
    /// Longest delay of a scheduled message, `None` where the backend has no delay.
    pub delay_max: Option<Duration>,
    /// Longest wait of one receive.
    pub receive_wait_max: Duration,
}

/// Why and from where a message came into a dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue it came from.
    pub source: String,
    /// Why a consumer gave it up; `None` where the broker moved it after too many receives.
    pub reason: Option<String>,
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The body, which is JSON.
    pub body: String,
    /// Attributes for filters and tracing; contract.md names them.
    pub attributes: BTreeMap<String, String>,
}

/// A received message and the right to settle it.
#[derive(Debug)]
pub struct Delivery {
    /// The backend's id of this copy, for logs. Identity comes from the body: a dead-letter copy may have a new id.
    pub message_id: String,
    /// The body as it stands on the queue, raw or enveloped.
    pub body: Vec<u8>,
    /// The attributes that came with it.
    pub attributes: BTreeMap<String, String>,
    /// Which attempt this is, from 1; approximate, and absent where the backend does not count.
    pub attempt: Option<u32>,
    /// The last attempt that the queue allows, where it has a dead-letter queue.
    pub attempt_max: Option<u32>,
    /// When it was first handed out, in milliseconds since the Unix epoch, where the backend keeps it.
    pub first_received_ms: Option<u64>,
    /// Set on a dead-letter queue.
    pub dead_letter: Option<DeadLetter>,
    /// The right to settle it.
    pub lease: Lease,
}

/// The right to settle one delivery until its deadline. It belongs to the consumer that handed it out, and cannot be
/// copied, so a delivery is settled once.
#[derive(Debug)]
pub struct Lease {
    /// The backend's own handle.
    pub receipt: String,
    /// When the lease ends, in milliseconds since the Unix epoch by the consumer's clock.
    pub deadline_ms: u64,
}

/// A message in hand whose lease is renewed, and its request with it.
#[derive(Debug)]
pub struct Hold<'a> {
    /// The lease; its receipt and its deadline change when it is renewed.
    pub lease: &'a mut Lease,
    /// The request that the message's handler runs.
    pub request: Option<&'a RunningRequest>,
}

/// What was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The lease, and the request where there was one.
    All,
    /// The lease alone: the backend keeps no requests, so that [`IdempotencyStore::renew_all`](crate::IdempotencyStore::renew_all) has to
    /// renew this one.
    LeaseAlone,
    /// The lease; the request is another's by now, or was answered.
    RequestLost,
}

impl Kept {
    /// What a renewal of a lease says where requests are kept elsewhere.
    pub fn renewed(request: Option<&RunningRequest>) -> Self {
        match request {
            Some(_) => Self::LeaseAlone,
            None => Self::All,
        }
    }
}

/// What a receive asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receive {
    /// Most messages to return, 1 to 10.
    pub max: usize,
    /// How long to wait for the first, 0 to 20 s.
    pub wait: Duration,
}

/// What is known after a delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// The message is gone.
    Deleted,
    /// Another consumer holds it now; it was left alone.
    LeaseLost,
    /// The backend accepted the call and says no more (SQS, plain Pub/Sub).
    Unknown,
}

/// Everything that follows from one handled message.
#[derive(Debug)]
pub struct Settlement {
    /// The message that was handled.
    pub lease: Lease,
    /// What is published: topic and message.
    pub publish: Vec<(String, Message)>,
    /// What is sent to the consumer's own queue later.
    pub schedule: Vec<(Duration, Message)>,
    /// The answer to keep, so that the same message is answered the same when it comes again.
    pub answered: Option<IdempotencyRecord>,
}

impl Settlement {
    /// Deletes the message and publishes nothing.
    pub fn of(lease: Lease) -> Self {
        Self {
            lease,
            publish: Vec::new(),
            schedule: Vec::new(),
            answered: None,
        }
    }
}

/// Sends messages to topics.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// What `topic` can carry.
    ///
    /// # Errors
    /// `NotFound` for an unknown topic.
    async fn limits(&self, topic: &str) -> Result<Limits, Error>;

    /// Publishes each message to every queue that subscribes to `topic`; the answers stand in the order of the
    /// messages and hold the id each was given. When an entry answers `Ok`, it is durable. An entry that failed was
    /// sent to no queue, unless its error is `Unavailable`: then it is unknown, and sending it again may repeat it.
    ///
    /// # Errors
    /// The call itself was refused (unknown topic, too many entries) and nothing was sent.
    async fn publish(
        &self,
        topic: &str,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<String, Error>>, Error>;
}

/// Receives the messages of one queue and settles them.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// What the queue can carry.
    fn limits(&self) -> Limits;

    /// Waits for messages. Returns as soon as there is one, without waiting for more; empty after `wait`. A call that
    /// is dropped leases no message for longer than the queue's visibility timeout.
    ///
    /// # Errors
    /// `Invalid` for numbers outside their range, `NotFound` for a queue that is gone.
    async fn receive(&self, receive: Receive) -> Result<Vec<Delivery>, Error>;

    /// Deletes messages. Deleting twice is no error.
    ///
    /// # Errors
    /// `Invalid` for a receipt that this backend never wrote, per entry.
    async fn delete(&self, leases: Vec<Lease>) -> Vec<Result<Deleted, Error>>;

    /// Extends leases to `want` from now; the lease's deadline says what was granted. A lease that ended is extended as well, as long as
    /// nobody received its message since. Where somebody did, this shows that the lease ended though its holder lives: a backend that
    /// counts attempts itself does not count that one.
    ///
    /// # Errors
    /// `Invalid` where the message is gone or leased to another, per entry.
    async fn renew(&self, leases: Vec<&mut Lease>, want: Duration) -> Vec<Result<(), Error>>;

    /// Renews all that a worker has in hand, as [`Consumer::renew`] does, and the requests that run with it: in one write, and before
    /// everything that waits to be written, where the backend keeps both.
    ///
    /// # Errors
    /// As `renew`; the request was not renewed then.
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

    /// Says that the holder of a lease that ended lives on, so that what ended is no attempt. It does nothing where the lease did not
    /// end or nobody received its message since, and nothing where the broker counts (SQS).
    async fn excuse(&self, _lease: &Lease) {}

    /// Gives a message back, to be received again no sooner than `after`.
    ///
    /// # Errors
    /// As `renew`.
    async fn release(&self, lease: Lease, after: Duration) -> Result<(), Error>;

    /// Publishes `publish` (the error Result, where there is someone to tell), then moves the message to the queue's
    /// dead-letter queue with its bytes and `reason`. Not atomic everywhere: a crash may leave the message in both
    /// queues, never in neither.
    ///
    /// # Errors
    /// As `renew`; `NotFound` where the queue has no dead-letter queue. Then the message stays where it is.
    async fn dead_letter(
        &self,
        lease: Lease,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<(), Error>;

    /// Sends each message to this queue, to be received no sooner than its delay; the answers stand in the order of the
    /// messages.
    ///
    /// # Errors
    /// As [`Publisher::publish`], and `Invalid` for a delay over [`Limits::delay_max`].
    async fn schedule(
        &self,
        messages: Vec<(Duration, Message)>,
    ) -> Result<Vec<Result<String, Error>>, Error>;

    /// Publishes, schedules, and only then deletes. Where the backend has transactions it is one; elsewhere a crash
    /// leaves the message to be delivered again, and the idempotency record answers.
    ///
    /// # Errors
    /// Per entry; then the message was not deleted.
    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<Deleted, Error>>;
}
