//! The fabric in memory, for tests and simulations: nothing of it survives the process.
//!
//! It keeps every promise of the ports that does not speak of durability. It is deterministic: one lock, no thread, no
//! task, no randomness, no time but its clock's; ids are counted, and receives that wait are woken in the order in which
//! they began. A simulation that wants faults wraps the ports and answers errors before or after it calls this.

mod consumer;
mod delivery;
mod idempotency;
mod operations;
mod receipt;
mod settle;
mod state;

pub use consumer::MemoryConsumer;

use crate::{
    BeginOutcome, Clock, Error, IdempotencyRecord, IdempotencyStore, Key, Limits, Message,
    Publisher, Topology,
};
use async_trait::async_trait;
use state::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The fabric in memory. Clones are the same fabric.
#[derive(Clone)]
pub struct MemoryFabric {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

impl MemoryFabric {
    /// A fabric without topics and queues.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Arc::default(),
        }
    }

    /// Declares topics, queues and subscriptions. What exists with the same attributes stays as it is.
    ///
    /// # Errors
    /// `Invalid`: see [`Topology::check`]; or something exists with other attributes. Nothing is changed then.
    pub async fn declare(&self, topology: Topology) -> Result<(), Error> {
        self.state().declare(topology)
    }

    /// A consumer of `queue`.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    pub async fn consumer(&self, queue: &str) -> Result<MemoryConsumer, Error> {
        let config = self.state().queue(queue)?.config.clone();
        Ok(MemoryConsumer::new(self.clone(), config))
    }

    /// How many messages were published to `topic` that no queue heard.
    ///
    /// # Errors
    /// `NotFound` for an unknown topic.
    pub async fn undelivered(&self, topic: &str) -> Result<u64, Error> {
        self.state().undelivered(topic)
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// The lock is held for one verb and never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        // Verbs look at everything that can be refused before they change anything, so no panic leaves one half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Publisher for MemoryFabric {
    async fn limits(&self, topic: &str) -> Result<Limits, Error> {
        self.undelivered(topic).await.map(|_| Limits::SQS)
    }

    async fn publish(
        &self,
        topic: &str,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        Limits::SQS.check_batch(messages.iter())?;
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.undelivered(topic)?;
        let entries = messages.into_iter();
        Ok(entries
            .map(|message| {
                Limits::SQS.check(&message)?;
                Ok(state.publish(topic, message, now_ms))
            })
            .collect())
    }
}

#[async_trait]
impl IdempotencyStore for MemoryFabric {
    async fn begin(
        &self,
        key: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, Error> {
        let now_ms = self.now_ms();
        let mut state = self.state();
        Ok(state.requests.begin(key, fingerprint, owner, lease, now_ms))
    }

    async fn finish(&self, answered: IdempotencyRecord) -> Result<bool, Error> {
        let now_ms = self.now_ms();
        Ok(self.state().requests.finish(answered, now_ms))
    }

    async fn abandon(&self, key: &Key, owner: &str) -> Result<(), Error> {
        self.state().requests.abandon(key, owner);
        Ok(())
    }

    async fn forget(&self, before_ms: u64) -> Result<Option<u64>, Error> {
        Ok(Some(self.state().requests.forget(before_ms)))
    }
}
