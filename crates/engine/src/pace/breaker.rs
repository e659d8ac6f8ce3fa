//! When a backend is down, receiving stops, and one message at a time asks whether it is back. What one message says is doubted: from
//! time to time another is let in, and a message that goes on failing while others succeed is itself what is wrong.

use super::{Backoff, Jitter, millis};
use pudato_messaging::Clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit, watch};

/// A message is doubted no sooner after its first failure, and not before so many others succeeded since.
const DOUBT_AFTER: Duration = Duration::from_secs(120);
const OTHERS_MIN: u64 = 3;
/// While a backend is down another message is let in so often, to see whether it is down for that one as well.
const LET_IN_EVERY: Duration = Duration::from_secs(20);

/// Since when a backend is known to be down, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Since when nothing succeeded, in milliseconds since the Unix epoch.
    pub(crate) since_ms: u64,
    /// What was heard last.
    pub(crate) why: String,
}

pub(crate) struct Breaker {
    opened: watch::Sender<Option<Opened>>,
    probe: Semaphore,
    /// Commands that were done.
    successes: AtomicU64,
    /// When another message was let in last while this was open.
    let_in_ms: AtomicU64,
}

/// What one message was told by its backend so far.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    failures: u32,
    since_ms: u64,
    /// Successes of others when it began.
    successes: u64,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self {
            opened: watch::Sender::new(None),
            probe: Semaphore::new(1),
            successes: AtomicU64::new(0),
            let_in_ms: AtomicU64::new(0),
        }
    }

    /// Waits while the backend is known to be down, or until another message shall be let in all the same; answers whether it is that.
    pub(crate) async fn closed(&self, clock: &dyn Clock) -> bool {
        let mut opened = self.opened.subscribe();
        loop {
            let Some(since_ms) = opened
                .borrow_and_update()
                .as_ref()
                .map(|opened| opened.since_ms)
            else {
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

    /// The backend was found to be down.
    pub(crate) fn open(&self, now_ms: u64, why: &str) {
        self.opened.send_if_modified(|opened| {
            let was_open = opened.is_some();
            let since_ms = opened.as_ref().map_or(now_ms, |opened| opened.since_ms);
            let why = why.to_owned();
            *opened = Some(Opened { since_ms, why });
            !was_open
        });
    }

    /// The backend answered.
    pub(crate) fn close(&self) {
        self.opened
            .send_if_modified(|opened| opened.take().is_some());
    }

    /// A command was done, so the backend is there.
    pub(crate) fn succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        self.close();
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opened.borrow().is_some()
    }

    /// Since when it is open and why, for those who ask what a service waits for.
    #[allow(dead_code, reason = "read by whoever shows the state of a service")]
    pub(crate) fn opened(&self) -> Option<Opened> {
        self.opened.borrow().clone()
    }

    /// Notes that the backend failed `outage`'s message once more, and answers whether the message is to be doubted: for minutes it
    /// failed while others succeeded.
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

    /// Waits after failure number `failures`, then until it is this caller's turn to ask.
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

    /// When it began, in milliseconds since the Unix epoch.
    pub(crate) fn since_ms(&self) -> u64 {
        self.since_ms
    }
}
