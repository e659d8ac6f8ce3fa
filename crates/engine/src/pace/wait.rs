//! Waits that end early when the program drains.

use pudato_messaging::Clock;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Sleeps until `until_ms`, in milliseconds since the Unix epoch, or until `drain` is cancelled. Returns whether it slept until `until_ms`.
pub async fn sleep_or_drain(clock: &dyn Clock, until_ms: u64, drain: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = drain.cancelled() => false,
        () = clock.sleep_until(until_ms) => true,
    }
}

/// A duration in milliseconds.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(pudato_engine::pace::millis(Duration::from_secs(2)), 2_000);
/// assert_eq!(pudato_engine::pace::millis(Duration::MAX), u64::MAX);
/// ```
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
