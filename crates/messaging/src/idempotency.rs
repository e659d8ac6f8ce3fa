use crate::Error;
use async_trait::async_trait;
use std::time::Duration;

/// Identifies a request: two messages with the same key are the same request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The service. The same `key` is another request for another service.
    pub service: String,
    /// The caller's `idempotency_key` with its scope, or the identity of the message itself (docs/design/idempotency.md).
    pub key: String,
}

/// The answer to a request, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// The request.
    pub key: Key,
    /// The owner that began the request. If the request belongs to another owner by now, the answer is not stored.
    pub owner: String,
    /// Identifies the payload of a request that was not begun. The store begins and answers it in one write, unless another owner has it.
    pub fingerprint: Option<String>,
    /// The Result and the Events. Only the engine reads them; the store treats them as opaque text.
    pub answer: String,
}

/// A running request, which is to be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningRequest {
    /// The request.
    pub key: Key,
    /// Identifies its payload.
    pub fingerprint: String,
    /// The owner that runs it.
    pub owner: String,
}

/// The outcome of beginning a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeginOutcome {
    /// The caller owns the request until its lease ends, and may run it.
    New,
    /// The request was answered. The caller gives the same answer again.
    Done {
        /// As [`IdempotencyRecord::answer`].
        answer: String,
    },
    /// Another owner runs the request.
    Busy {
        /// When that owner's lease ends, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// The key was used before with another payload.
    Mismatch,
}

/// Stores which requests are running and the answers that were given, so that a request takes effect once although its message may
/// arrive more than once.
///
/// ```
/// use pudato_messaging::memory::MemoryFabric;
/// use pudato_messaging::{BeginOutcome, IdempotencyRecord, IdempotencyStore, Key, ManualClock};
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), pudato_messaging::Error> {
/// let store = MemoryFabric::new(Arc::new(ManualClock::at(0)));
/// let key = Key { service: "storage".into(), key: "job-1:put".into() };
/// let lease = Duration::from_secs(60);
///
/// // The first worker may run the request; a second one with the same message must wait.
/// assert_eq!(store.begin(&key, "payload-a", "worker-1", lease).await?, BeginOutcome::New);
/// let begun = store.begin(&key, "payload-a", "worker-2", lease).await?;
/// assert_eq!(begun, BeginOutcome::Busy { until_ms: 60_000 });
///
/// let record = IdempotencyRecord {
///     key: key.clone(),
///     owner: "worker-1".into(),
///     fingerprint: None,
///     answer: "the Result".into(),
/// };
/// assert!(store.finish(record).await?, "worker-1 still owns the request");
///
/// // From now on the same request gets the same answer, and the same key with another payload is an error of the caller.
/// let begun = store.begin(&key, "payload-a", "worker-2", lease).await?;
/// assert_eq!(begun, BeginOutcome::Done { answer: "the Result".into() });
/// let begun = store.begin(&key, "payload-b", "worker-2", lease).await?;
/// assert_eq!(begun, BeginOutcome::Mismatch);
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Begins a request. `fingerprint` identifies the payload. The same owner may begin again, which renews its lease.
    /// `New` is durable before this returns.
    ///
    /// # Errors
    /// `Unavailable`: the store cannot be reached; nothing is begun then.
    async fn begin(
        &self,
        key: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, Error>;

    /// Stores an answer. Returns whether the request belongs to the owner; if another owner has it by now, nothing is stored. An answer
    /// that was stored before is not replaced. Backends whose [`crate::Consumer::settle`] stores the answer in its transaction do it there
    /// instead.
    ///
    /// # Errors
    /// `Unavailable`: the request is still running then.
    async fn finish(&self, answered: IdempotencyRecord) -> Result<bool, Error>;

    /// Stores the answers of several different requests as [`IdempotencyStore::finish`] does, in one write if the store can. Returns one
    /// outcome for each, in their order.
    async fn finish_all(&self, answered: Vec<IdempotencyRecord>) -> Vec<Result<bool, Error>> {
        let mut kept = Vec::with_capacity(answered.len());
        for one in answered {
            kept.push(self.finish(one).await);
        }
        kept
    }

    /// Renews the leases of several running requests, in one write if the store can. Returns for each, in their order, whether it still
    /// belongs to its owner.
    async fn renew_all(
        &self,
        running: &[RunningRequest],
        lease: Duration,
    ) -> Vec<Result<bool, Error>> {
        let mut renewed = Vec::with_capacity(running.len());
        for one in running {
            let begun = self.begin(&one.key, &one.fingerprint, &one.owner, lease);
            renewed.push(begun.await.map(|begun| begun == BeginOutcome::New));
        }
        renewed
    }

    /// Removes a request that `owner` began and that had no effect, so that it may run again at once.
    ///
    /// # Errors
    /// `Unavailable`: the request is free again when its lease ends.
    async fn abandon(&self, key: &Key, owner: &str) -> Result<(), Error>;

    /// Removes requests whose lease ended before `before_ms`, in milliseconds since the Unix epoch, and that were not answered since.
    /// Returns how many, or `None` if the store expires them by itself.
    ///
    /// # Errors
    /// `Unavailable`: the rest is removed by the next call.
    async fn forget(&self, before_ms: u64) -> Result<Option<u64>, Error>;
}
