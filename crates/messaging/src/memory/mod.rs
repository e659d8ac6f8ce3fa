//! The fabric in memory, for tests and simulations. Nothing survives the process.
//!
//! It keeps every promise of the ports except durability. It is deterministic: one lock, no threads, tasks or randomness, and no time but
//! that of its clock. Ids are counted, and waiting receives wake in the order in which they began. A simulation of faults wraps the ports
//! and returns errors before or after it calls this fabric.

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

/// The fabric in memory. Clones share its state.
#[derive(Clone)]
pub struct MemoryFabric {
    clock: Arc<dyn Clock>,
    state: Arc<Mutex<State>>,
}

impl MemoryFabric {
    /// Creates a fabric without topics and queues.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Arc::default(),
        }
    }

    /// Declares topics, queues and subscriptions. Those that exist with the same attributes stay as they are.
    ///
    /// # Errors
    /// `Invalid`: see [`Topology::check`], or one exists with other attributes. Nothing changes then.
    pub async fn declare(&self, topology: Topology) -> Result<(), Error> {
        self.state().declare(topology)
    }

    /// Opens a consumer of `queue`.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    pub async fn consumer(&self, queue: &str) -> Result<MemoryConsumer, Error> {
        let config = self.state().queue(queue)?.config.clone();
        Ok(MemoryConsumer::new(self.clone(), config))
    }

    /// Counts the messages that were published to `topic` while no queue subscribed to it.
    ///
    /// # Errors
    /// `NotFound` for an unknown topic.
    pub async fn undelivered(&self, topic: &str) -> Result<u64, Error> {
        self.state().undelivered(topic)
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Locks the state for one operation, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        // Operations check everything that can be refused before they change anything, so a panic leaves no half-done change.
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
