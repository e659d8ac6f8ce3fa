use async_trait::async_trait;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

/// Tells the time. It is an argument, so that tests move it instead of sleeping.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// Returns once `now_ms()` has reached `at_ms`.
    async fn sleep_until(&self, at_ms: u64);
}

/// The clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep_until(&self, at_ms: u64) {
        // Computed once: if the clock is set back during the sleep, asking again would prolong it.
        let left_ms = at_ms.saturating_sub(self.now_ms());
        if left_ms == 0 {
            // Even a sleep of zero may wait for the next turn of the timer, and other work would start in between.
            return;
        }
        tokio::time::sleep(Duration::from_millis(left_ms)).await;
    }
}

/// A clock that stands still until a test moves it. Sleepers wake in the order of their times, then in the order in which they fell asleep,
/// so that a seeded simulation repeats exactly.
#[derive(Debug, Clone)]
pub struct ManualClock {
    state: Arc<Mutex<Manual>>,
}

#[derive(Debug, Default)]
struct Manual {
    now_ms: u64,
    next: u64,
    sleepers: BTreeMap<(u64, u64), Waker>,
}

impl ManualClock {
    /// Creates a clock that shows `now_ms`.
    pub fn at(now_ms: u64) -> Self {
        Self {
            state: Arc::new(Mutex::new(Manual {
                now_ms,
                ..Manual::default()
            })),
        }
    }

    /// Moves the clock forward and wakes the sleepers whose time has come.
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.set(self.now_ms().saturating_add(by_ms));
    }

    /// Sets the clock, possibly back, as an administrator may do on a machine.
    pub fn set(&self, now_ms: u64) {
        let due = {
            let mut state = self.lock();
            state.now_ms = now_ms;
            let later = state.sleepers.split_off(&(now_ms.saturating_add(1), 0));
            std::mem::replace(&mut state.sleepers, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Manual> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sleep. It is removed from the queue of sleepers when it is dropped.
struct Sleep<'a> {
    clock: &'a ManualClock,
    at_ms: u64,
    place: Option<u64>,
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.lock();
        if state.now_ms >= self.at_ms {
            return Poll::Ready(());
        }
        let place = self.place.unwrap_or(state.next);
        if self.place.is_none() {
            state.next += 1;
        }
        let waker = context.waker().clone();
        state.sleepers.insert((self.at_ms, place), waker);
        drop(state);
        self.place = Some(place);
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.clock.lock().sleepers.remove(&(self.at_ms, place));
        }
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.lock().now_ms
    }

    async fn sleep_until(&self, at_ms: u64) {
        let sleep = Sleep {
            clock: self,
            at_ms,
            place: None,
        };
        sleep.await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_time_that_has_passed_is_not_waited_for() {
        let clock = SystemClock;
        for _ in 0..1_000 {
            let mut sleeping = clock.sleep_until(clock.now_ms());
            let first = poll_fn(|context| Poll::Ready(sleeping.as_mut().poll(context))).await;
            assert!(first.is_ready());
        }
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_a_sleeper_when_it_is_moved() {
        let clock = ManualClock::at(1_000);
        let sleeper = clock.clone();
        let sleeping = async { sleeper.sleep_until(3_000).await };
        tokio::pin!(sleeping);
        clock.advance(Duration::from_millis(1_999));
        tokio::select! {
            biased;
            () = &mut sleeping => panic!("woke 1 ms early"),
            () = tokio::task::yield_now() => {}
        }
        clock.advance(Duration::from_millis(1));
        sleeping.await;
        assert_eq!(clock.now_ms(), 3_000);
    }
}
