//! Waiting times that grow with each failure.

use super::Jitter;
use std::time::Duration;

/// Waiting times that grow with full jitter, so that callers that failed together do not retry together (AWS Architecture Blog,
/// "Exponential Backoff And Jitter").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure.
    pub base: Duration,
    /// The factor by which each further failure multiplies the longest wait.
    pub factor: u32,
    /// The upper bound of the longest wait.
    pub max: Duration,
}

impl Backoff {
    /// For a command that failed and may succeed later: 5 s, times 3, at most 15 minutes (docs/design/delivery.md).
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

    /// For a Lambda function whose backend is down. It cannot hold a message without being billed, and releasing the message spends an
    /// attempt. So 1 minute, times 3, at most 2 hours: the six attempts of a command last for two hours, the hundred of a Result for days.
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

    /// The wait after failure number `failures`, at least three quarters of the longest wait.
    pub fn wait_long(&self, failures: u32, jitter: &Jitter) -> Duration {
        let quarter = self.longest(failures) / 4;
        quarter * 3 + jitter.within(quarter)
    }

    /// The wait after failure number `failures`, counted from 1.
    pub fn wait(&self, failures: u32, jitter: &Jitter) -> Duration {
        jitter.within(self.longest(failures))
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
        let jitter = Jitter::seeded(1);
        let waits = (1..6).map(|n| Backoff::OUTAGE.wait_long(n, &jitter));
        let all: Duration = waits.sum();
        let (least, most) = (Duration::from_secs(5_400), Duration::from_secs(7_260));
        assert!((least..=most).contains(&all), "{all:?}");
    }

    #[test]
    fn a_seed_gives_the_same_waits_again() {
        let waits = |seed| {
            let jitter = Jitter::seeded(seed);
            [1, 2, 3].map(|n| Backoff::RETRY.wait(n, &jitter))
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }
}
