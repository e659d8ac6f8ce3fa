use std::future::Future;
use std::pin::Pin;

/// Starts tasks; an argument, so that a simulation may run them in an order of its own.
pub trait Spawn: Send + Sync {
    /// Runs `task` beside the caller. A panic in it ends it alone.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// Tasks of the tokio runtime that the caller runs in.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioTasks;

impl Spawn for TokioTasks {
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }
}
