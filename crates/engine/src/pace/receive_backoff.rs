//! What a loop does after a receive failed: it waits longer each time, and ends if waiting does not help.

use super::{Backoff, Jitter, millis, sleep_or_drain};
use pudato_messaging::{Clock, Error, ErrorKind};
use tokio_util::sync::CancellationToken;

/// How often a receive may be refused before the loop ends: SQS takes up to a minute to know a new queue or policy.
const REFUSED_MAX: u32 = 5;
/// Shortest wait: no loop runs hot, however small the jitter is.
const WAIT_MS_MIN: u64 = 100;

/// The failures of a receive loop since its last success.
#[derive(Default)]
pub(crate) struct ReceiveBackoff {
    failures: u32,
    refused: u32,
}

impl ReceiveBackoff {
    /// A receive succeeded; answers whether the last one failed.
    pub(crate) fn renew(&mut self) -> bool {
        std::mem::take(self).failures > 0
    }

    /// Logs the error and waits; returns early when the program drains.
    ///
    /// # Errors
    /// The same error, where it is of a kind that does not pass by itself and came several times.
    pub(crate) async fn wait(
        &mut self,
        error: Error,
        clock: &dyn Clock,
        jitter: &Jitter,
        drain: &CancellationToken,
    ) -> Result<(), Error> {
        self.failures += 1;
        if error.kind == ErrorKind::Unavailable {
            let failures = self.failures;
            tracing::warn!(%error, failures, "receiving failed; it is tried again");
        } else {
            self.refused += 1;
            tracing::error!(%error, refused = self.refused, "receiving was refused");
            if self.refused >= REFUSED_MAX {
                return Err(error);
            }
        }
        let wait = Backoff::PROBE.wait(self.failures, jitter);
        let until_ms = clock.now_ms() + millis(wait).max(WAIT_MS_MIN);
        sleep_or_drain(clock, until_ms, drain).await;
        Ok(())
    }
}
