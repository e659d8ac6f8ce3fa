//! The time of the fabric: that of the clock, except that it never goes back. Rows contain times, so setting the clock back would hide
//! messages until it caught up.

use crate::Clock;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) struct SteadyTime {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_ms: u64,
    /// How far the fabric's time is ahead of a clock that was set back.
    ahead_ms: u64,
}

impl SteadyTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            state: Mutex::default(),
        }
    }

    /// Milliseconds since the Unix epoch.
    pub(super) fn now_ms(&self) -> i64 {
        self.at_least(0)
    }

    /// The same, but at least `seen_ms`, which another process has already reached.
    pub(super) fn at_least(&self, seen_ms: u64) -> i64 {
        let clock_ms = self.clock.now_ms();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let least_ms = state.last_ms.max(seen_ms);
        if clock_ms.saturating_add(state.ahead_ms) < least_ms {
            state.ahead_ms = least_ms - clock_ms;
        }
        state.last_ms = clock_ms.saturating_add(state.ahead_ms);
        i64::try_from(state.last_ms).unwrap_or(i64::MAX)
    }

    /// Returns when the fabric's time reaches `at_ms`.
    pub(super) async fn sleep_until(&self, at_ms: i64) {
        let ahead_ms = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.ahead_ms
        };
        let at_ms = u64::try_from(at_ms).unwrap_or(0);
        self.clock.sleep_until(at_ms.saturating_sub(ahead_ms)).await;
    }
}
