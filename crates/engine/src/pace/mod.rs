//! When a loop tries again: growing waits, an open breaker, and waits that end early when the program drains.

mod backoff;
pub(crate) mod breaker;
mod jitter;
mod receive_backoff;
mod wait;

pub use backoff::Backoff;
pub use jitter::Jitter;
pub(crate) use receive_backoff::ReceiveBackoff;
pub use wait::{millis, sleep_or_drain};
