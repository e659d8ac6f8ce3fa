use crate::{Consumer, Error, IdempotencyStore, ManualClock, Operations, Publisher, Topology};
use async_trait::async_trait;
use std::sync::Arc;

/// A backend on the bench: one fresh fabric, whose time is moved by hand.
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

    /// The clock that the whole fabric goes by; only the suite moves it.
    fn clock(&self) -> &ManualClock;
}
