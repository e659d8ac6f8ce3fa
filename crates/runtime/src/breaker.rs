//! When a backend is down, receiving stops, and one message at a time asks whether it is back.

use crate::chance::{Backoff, Chance};
use pudato_messaging::Clock;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

pub(crate) struct Breaker {
    open: watch::Sender<bool>,
    probe: Semaphore,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self {
            open: watch::Sender::new(false),
            probe: Semaphore::new(1),
        }
    }

    /// Waits while the backend is known to be down.
    pub(crate) async fn closed(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.open.subscribe().wait_for(|open| !open).await;
    }

    /// The backend was found to be down.
    pub(crate) fn open(&self) {
        self.open
            .send_if_modified(|open| !std::mem::replace(open, true));
    }

    /// The backend answered.
    pub(crate) fn close(&self) {
        self.open
            .send_if_modified(|open| std::mem::replace(open, false));
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits after failure number `failures`, then until it is this caller's turn to ask.
    pub(crate) async fn turn(
        &self,
        failures: u32,
        clock: &dyn Clock,
        chance: &Chance,
    ) -> Option<SemaphorePermit<'_>> {
        let wait = Backoff::PROBE.wait(failures, chance);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        clock.sleep_until(clock.now_ms() + wait_ms.max(1)).await;
        self.probe.acquire().await.ok()
    }
}
