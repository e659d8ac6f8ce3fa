//! Stops what runs: at the deadline, or when nobody waits for it any more.

use crate::engine::EngineError;
use duckdb::InterruptHandle;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An interrupt that comes just before a statement begins is lost, so it is repeated so often.
const REPEAT: Duration = Duration::from_millis(20);

const RUNNING: u8 = 0;
const EXPIRED: u8 = 1;
const CANCELLED: u8 = 2;
const ENDED: u8 = 3;

/// Whether a work may go on.
pub(super) struct Control {
    state: AtomicU8,
    handle: Mutex<Option<Arc<InterruptHandle>>>,
    deadline: Duration,
}

impl Control {
    pub(super) fn new(deadline: Duration) -> Arc<Self> {
        Arc::new(Self {
            state: AtomicU8::new(RUNNING),
            handle: Mutex::default(),
            deadline,
        })
    }

    /// The connection that is interrupted from now on.
    pub(super) fn watch(&self, handle: Arc<InterruptHandle>) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }

    /// Nothing is to be interrupted any more.
    pub(super) fn end(&self) {
        let _ = self
            .state
            .compare_exchange(RUNNING, ENDED, Ordering::AcqRel, Ordering::Acquire);
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether the work was stopped, and how that is told.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        match self.state.load(Ordering::Acquire) {
            EXPIRED => Err(EngineError::Invalid(format!(
                "payload.sql: it was interrupted at its deadline of {} s; make it do less, or give it more time with `timeout_seconds`",
                self.deadline.as_secs_f64()
            ))),
            CANCELLED => Err(EngineError::Retry("it was cancelled".into())),
            _ => Ok(()),
        }
    }

    /// The error as it is told where it came from an interrupt of ours.
    pub(super) fn explain(&self, error: EngineError) -> EngineError {
        self.check().err().unwrap_or(error)
    }

    fn interrupt(&self) -> bool {
        let handle = self
            .handle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if let Some(handle) = &handle {
            handle.interrupt();
        }
        handle.is_some()
    }

    /// Stops the work as soon as the deadline is over; runs until then at most.
    pub(super) async fn expire(self: Arc<Self>) {
        tokio::time::sleep(self.deadline).await;
        self.stop(EXPIRED).await;
    }

    async fn stop(&self, state: u8) {
        let stopped =
            self.state
                .compare_exchange(RUNNING, state, Ordering::AcqRel, Ordering::Acquire);
        if stopped.is_err() {
            return;
        }
        while self.interrupt() {
            tokio::time::sleep(REPEAT).await;
        }
    }
}

/// Cancels the work when it is dropped before its end.
pub(super) struct CancelOnDrop(pub(super) Arc<Control>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let control = Arc::clone(&self.0);
        if control.state.load(Ordering::Acquire) == RUNNING
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move { control.stop(CANCELLED).await });
        }
    }
}
