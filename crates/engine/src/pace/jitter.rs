//! Randomness for waiting times.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A source of random waiting times. It is an argument of the loops, so that a simulation can repeat a run from its seed.
#[derive(Debug)]
pub struct Jitter(Mutex<fastrand::Rng>);

impl Jitter {
    /// A new sequence each time.
    pub fn new() -> Self {
        Self(Mutex::new(fastrand::Rng::new()))
    }

    /// The sequence for `seed`.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(fastrand::Rng::with_seed(seed)))
    }

    /// A number from 0 to `max`, both included.
    pub fn up_to(&self, max: u64) -> u64 {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rng.u64(0..=max)
    }

    /// A duration from zero to `max`.
    pub fn within(&self, max: Duration) -> Duration {
        let max_ms = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.up_to(max_ms))
    }
}

impl Default for Jitter {
    fn default() -> Self {
        Self::new()
    }
}
