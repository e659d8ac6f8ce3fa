use crate::{Clock, Consumer, Error, IdempotencyStore, Operations, Publisher, Topology};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// A backend on the bench: one fresh fabric.
#[async_trait]
pub trait Bench: Send + Sync {
    /// The fabric's publisher.
    fn publisher(&self) -> Arc<dyn Publisher>;

    /// What people do with its queues.
    fn operations(&self) -> Arc<dyn Operations>;

    /// Its record of answered requests.
    fn idempotency(&self) -> Arc<dyn IdempotencyStore>;

    /// A consumer of `queue`; each call gives one of its own.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error>;

    /// Declares topics, queues and subscriptions. What exists with the same attributes stays as it is.
    ///
    /// # Errors
    /// `Invalid`: see [`Topology::check`]; or something exists with other attributes. Nothing is changed then.
    async fn declare(&self, topology: Topology) -> Result<(), Error>;

    /// The clock that the whole fabric goes by.
    fn clock(&self) -> &dyn Clock;

    /// Lets time pass: where the clock is moved by hand, it is moved; where it is the cloud's, it is waited for.
    async fn pass(&self, time: Duration);

    /// The smallest time that the bench tells apart: a clock that is moved by hand knows milliseconds, and calls over a network take
    /// some.
    fn tick(&self) -> Duration {
        Duration::from_millis(1)
    }
}
