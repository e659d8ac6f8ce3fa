use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Randomness as an argument: a seed gives the same run again.
#[derive(Debug)]
pub struct Chance(Mutex<fastrand::Rng>);

impl Chance {
    /// A new sequence each time.
    pub fn new() -> Self {
        Self(Mutex::new(fastrand::Rng::new()))
    }

    /// The sequence of `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    /// A number of 0 to `max`, both included.
    pub fn up_to(&self, max: u64) -> u64 {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rng.u64(0..=max)
    }

    /// A time of nothing to `max`.
    pub fn within(&self, max: Duration) -> Duration {
        let max_ms = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.up_to(max_ms))
    }
}

impl Default for Chance {
    fn default() -> Self {
        Self::new()
    }
}

/// How waiting times grow: full jitter, so that many who failed together do not come back together
/// (AWS Architecture Blog, "Exponential Backoff And Jitter").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Longest wait after the first failure.
    pub base: Duration,
    /// How the longest wait grows with each further one.
    pub factor: u32,
    /// What it never exceeds.
    pub max: Duration,
}

impl Backoff {
    /// For a command that had bad luck: 5 s, times 3, at most 15 minutes (contract.md, "Topics and queues").
    pub const RETRY: Self = Self {
        base: Duration::from_secs(5),
        factor: 3,
        max: Duration::from_secs(900),
    };
    /// For a backend that cannot be reached: 1 s, times 2, at most 20 s.
    pub const PROBE: Self = Self {
        base: Duration::from_secs(1),
        factor: 2,
        max: Duration::from_secs(20),
    };

    /// For a Lambda whose backend is down: it cannot hold a message without being billed, and giving it back spends an attempt. So 1
    /// minute, times 3, at most 2 hours: the six attempts of a command last for two hours, the hundred of a Result for days.
    pub const OUTAGE: Self = Self {
        base: Duration::from_secs(60),
        factor: 3,
        max: Duration::from_secs(7_200),
    };

    /// The longest wait after failure number `failures`, counted from 1.
    pub fn longest(&self, failures: u32) -> Duration {
        let grown = self.factor.checked_pow(failures.saturating_sub(1));
        grown
            .and_then(|times| self.base.checked_mul(times))
            .map_or(self.max, |wait| wait.min(self.max))
    }

    /// The same, but no less than three quarters of the longest: where waiting long is the point.
    pub fn wait_long(&self, failures: u32, chance: &Chance) -> Duration {
        let quarter = self.longest(failures) / 4;
        quarter * 3 + chance.within(quarter)
    }

    /// The wait after failure number `failures`, counted from 1.
    pub fn wait(&self, failures: u32, chance: &Chance) -> Duration {
        chance.within(self.longest(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_wait_at_most_5_s_then_three_times_longer_each_until_15_minutes() {
        let longest: Vec<u64> = (1..=7)
            .map(|n| Backoff::RETRY.longest(n).as_secs())
            .collect();
        assert_eq!(longest, [5, 15, 45, 135, 405, 900, 900]);
    }

    #[test]
    fn six_attempts_in_a_lambda_outlast_an_outage_of_an_hour_and_a_half() {
        let chance = Chance::seeded(1);
        let waits = (1..6).map(|n| Backoff::OUTAGE.wait_long(n, &chance));
        let all: Duration = waits.sum();
        let (least, most) = (Duration::from_secs(5_400), Duration::from_secs(7_260));
        assert!((least..=most).contains(&all), "{all:?}");
    }

    #[test]
    fn a_seed_gives_the_same_waits_again() {
        let waits = |seed| {
            let chance = Chance::seeded(seed);
            [1, 2, 3].map(|n| Backoff::RETRY.wait(n, &chance))
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }
}
