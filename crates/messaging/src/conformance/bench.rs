use crate::{Clock, Consumer, Error, IdempotencyStore, Operations, Publisher, Topology};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// A backend under test, with a fresh fabric.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The fabric's publisher.
    fn publisher(&self) -> Arc<dyn Publisher>;

    /// The operations on its queues.
    fn operations(&self) -> Arc<dyn Operations>;

    /// Its store of idempotency records.
    fn idempotency(&self) -> Arc<dyn IdempotencyStore>;

    /// Opens a consumer of `queue`. Each call returns a new one.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error>;

    /// Declares topics, queues and subscriptions. Those that exist with the same attributes stay as they are.
    ///
    /// # Errors
    /// `Invalid`: see [`Topology::check`], or one exists with other attributes. Nothing changes then.
    async fn declare(&self, topology: Topology) -> Result<(), Error>;

    /// The clock of the fabric.
    fn clock(&self) -> &dyn Clock;

    /// Lets time pass: moves a manual clock, or waits on the clock of a cloud.
    async fn pass(&self, time: Duration);

    /// The resolution of time: milliseconds on a manual clock, more for calls over a network.
    fn tick(&self) -> Duration {
        Duration::from_millis(1)
    }
}
