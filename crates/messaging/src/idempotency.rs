use crate::Error;
use async_trait::async_trait;
use std::time::Duration;

/// What makes two messages the same request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The service that answers; keys of different services never meet.
    pub service: String,
    /// The caller's `idempotency_key` together with whose it is, or an identity of the message itself (docs/design/idempotency.md).
    pub key: String,
}

/// The answer of a request, to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Which request it answers.
    pub key: Key,
    /// Who began the request; an owner that lost it to another keeps nothing.
    pub owner: String,
    /// What identifies the payload, where the request was not begun: it is begun and answered at once then, unless another has it.
    pub fingerprint: Option<String>,
    /// The Result and Events as they are published, in a form that only its writer reads.
    pub answer: String,
}

/// A request that runs, to be renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningRequest {
    /// Which request.
    pub key: Key,
    /// What identifies its payload.
    pub fingerprint: String,
    /// Who runs it.
    pub owner: String,
}

/// Whether a request that begins may run, or what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BeginOutcome {
    /// It is the caller's to run, until its lease ends.
    New,
    /// It was answered; give this answer again.
    Done {
        /// As [`IdempotencyRecord::answer`].
        answer: String,
    },
    /// Another owner runs it.
    Busy {
        /// When that owner's lease ends, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// The same key came before with another payload.
    Mismatch,
}

/// Remembers which requests were answered, and with what.
#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// Begins a request. `fingerprint` identifies the payload. The same owner may begin again, which renews its lease.
    /// `New` is durable before this returns.
    ///
    /// # Errors
    /// `Unavailable` where the store cannot be reached; nothing is begun then.
    async fn begin(
        &self,
        key: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, Error>;

    /// Keeps the answer; answers whether the request is the owner's: where another owner has it by now, nothing is kept. An answer that was
    /// kept before stands. Backends whose [`crate::Consumer::settle`] keeps it in the same transaction do it there instead.
    ///
    /// # Errors
    /// `Unavailable`; the request is still begun then.
    async fn finish(&self, answered: IdempotencyRecord) -> Result<bool, Error>;

    /// Keeps several answers of different requests as [`IdempotencyStore::finish`] does, with one answer for each, in their order;
    /// together where the store can.
    async fn finish_all(&self, answered: Vec<IdempotencyRecord>) -> Vec<Result<bool, Error>> {
        let mut kept = Vec::with_capacity(answered.len());
        for one in answered {
            kept.push(self.finish(one).await);
        }
        kept
    }

    /// Begins several requests again, each for the owner that runs it, and so renews their leases; answers for each, in their order,
    /// whether it is still its owner's. Together where the store can.
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

    /// Forgets a request that was begun by `owner` and had no effect, so that it may run again at once.
    ///
    /// # Errors
    /// `Unavailable`; the request is free again when its lease ends.
    async fn abandon(&self, key: &Key, owner: &str) -> Result<(), Error>;

    /// Forgets the requests that nobody has touched since `before_ms`, in milliseconds since the Unix epoch: neither their leases nor
    /// their answers reach it. Answers how many; `None` where the store forgets by itself, and nothing needs to be done.
    ///
    /// # Errors
    /// `Unavailable`; what is left is forgotten the next time.
    async fn forget(&self, before_ms: u64) -> Result<Option<u64>, Error>;
}
