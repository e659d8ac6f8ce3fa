//! While a backend is down, receiving stops, and one message at a time probes whether it is back. The report of a single message may be
//! wrong: from time to time another message may probe, and a message that keeps failing while others succeed is itself at fault.

use super::{Backoff, Jitter, millis};
use pudato_messaging::Clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// A message is suspected no sooner than this after its first failure, and only after this many other messages have succeeded since.
const DOUBT_AFTER: Duration = Duration::from_secs(120);
const OTHERS_MIN: u64 = 3;
/// While a backend is down, another message may probe this often, to see whether the backend is down for that message as well.
const LET_IN_EVERY: Duration = Duration::from_secs(20);

/// The circuit breaker of one service.
pub(crate) struct Breaker {
    /// When the outage began, in milliseconds since the Unix epoch; `None` while the breaker is closed.
    since_ms: watch::Sender<Option<u64>>,
    probe: Semaphore,
    /// The number of Commands that were done.
    successes: AtomicU64,
    /// When another message was last allowed to probe while the breaker was open.
    let_in_ms: AtomicU64,
}

/// The failures of one message so far.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    failures: u32,
    since_ms: u64,
    /// The number of successes of other messages when its failures began.
    successes: u64,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self {
            since_ms: watch::Sender::new(None),
            probe: Semaphore::new(1),
            successes: AtomicU64::new(0),
            let_in_ms: AtomicU64::new(0),
        }
    }

    /// Waits while the backend is known to be down. Returns false once it is back, and true if this message may probe it nevertheless.
    pub(crate) async fn closed(&self, clock: &dyn Clock) -> bool {
        let mut opened = self.since_ms.subscribe();
        loop {
            let Some(since_ms) = *opened.borrow_and_update() else {
                return false;
            };
            let last_ms = self.let_in_ms.load(Ordering::Relaxed).max(since_ms);
            let next_ms = last_ms.saturating_add(millis(LET_IN_EVERY));
            if clock.now_ms() >= next_ms {
                self.let_in_ms.store(clock.now_ms(), Ordering::Relaxed);
                return true;
            }
            tokio::select! {
                biased;
                // The sender lives in `self`, so waiting cannot fail.
                _ = opened.changed() => {}
                () = clock.sleep_until(next_ms) => {}
            }
        }
    }

    /// Opens the breaker: the backend was found to be down.
    pub(crate) fn open(&self, now_ms: u64) {
        self.since_ms.send_if_modified(|since_ms| {
            let was_closed = since_ms.is_none();
            since_ms.get_or_insert(now_ms);
            was_closed
        });
    }

    /// Closes the breaker: the backend answered.
    pub(crate) fn close(&self) {
        self.since_ms
            .send_if_modified(|since_ms| since_ms.take().is_some());
    }

    /// Counts a Command that was done, and closes the breaker.
    pub(crate) fn succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        self.close();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.since_ms.borrow().is_some()
    }

    /// Notes another failure of `outage`'s message. Returns whether the message itself is at fault because it failed for minutes while
    /// others succeeded.
    pub(crate) fn is_doubtful(&self, outage: &mut Outage, now_ms: u64) -> bool {
        let successes = self.successes.load(Ordering::Relaxed);
        if outage.failures == 0 {
            outage.since_ms = now_ms;
            outage.successes = successes;
        }
        outage.failures = outage.failures.saturating_add(1);
        let others = successes.saturating_sub(outage.successes);
        now_ms.saturating_sub(outage.since_ms) >= millis(DOUBT_AFTER) && others >= OTHERS_MIN
    }

    /// Waits after failure number `failures`, then until it is the caller's turn to probe.
    pub(crate) async fn turn(
        &self,
        failures: u32,
        clock: &dyn Clock,
        jitter: &Jitter,
    ) -> Option<SemaphorePermit<'_>> {
        let wait = Backoff::PROBE.wait(failures, jitter);
        clock
            .sleep_until(clock.now_ms() + millis(wait).max(1))
            .await;
        self.probe.acquire().await.ok()
    }
}

impl Outage {
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// When the outage began, in milliseconds since the Unix epoch.
    pub(crate) fn since_ms(&self) -> u64 {
        self.since_ms
    }
}
