use async_trait::async_trait;
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// The time, as an argument: tests move it instead of sleeping.
#[async_trait]
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;
    /// Returns once `now_ms()` has reached `at_ms`.
    async fn sleep_until(&self, at_ms: u64);
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep_until(&self, at_ms: u64) {
        // Slept once: asked again, a clock that is set back meanwhile would make the sleep that much longer.
        let left_ms = at_ms.saturating_sub(self.now_ms());
        tokio::time::sleep(Duration::from_millis(left_ms)).await;
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now_ms: watch::Sender<u64>,
}

impl ManualClock {
    /// A clock that shows `now_ms`.
    pub fn at(now_ms: u64) -> Self {
        Self {
            now_ms: watch::Sender::new(now_ms),
        }
    }

    /// Moves the clock on and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.now_ms
            .send_modify(|now_ms| *now_ms = now_ms.saturating_add(by_ms));
    }

    /// Sets the clock, also back, as somebody may set a machine's.
    pub fn set(&self, now_ms: u64) {
        self.now_ms.send_replace(now_ms);
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        *self.now_ms.borrow()
    }

    async fn sleep_until(&self, at_ms: u64) {
        let mut moved = self.now_ms.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = moved.wait_for(|now_ms| *now_ms >= at_ms).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
