//! Stops a work: at its deadline, or when it is cancelled.

use crate::engine::EngineError;
use duckdb::InterruptHandle;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// An interrupt just before a statement begins is lost, so it is repeated at this interval.
const REPEAT: Duration = Duration::from_millis(20);

const RUNNING: u8 = 0;
const EXPIRED: u8 = 1;
const CANCELLED: u8 = 2;
const ENDED: u8 = 3;

/// Whether a work may continue.
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

    /// Sets the connection to interrupt.
    pub(super) fn watch(&self, handle: Arc<InterruptHandle>) {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    }

    /// Stops interrupting.
    pub(super) fn end(&self) {
        let _ = self
            .state
            .compare_exchange(RUNNING, ENDED, Ordering::AcqRel, Ordering::Acquire);
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Returns the error if the work was stopped.
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

    /// Replaces an error that one of our interrupts caused.
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

    /// Stops the work at its deadline.
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

/// Dropping this cancels the work.
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
