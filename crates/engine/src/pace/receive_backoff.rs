//! The waits of a loop after failed receives: they grow, and the loop ends if waiting does not help.

use super::{Backoff, Jitter, millis, sleep_or_drain};
use pudato_messaging::{Clock, Error, ErrorKind};
use tokio_util::sync::CancellationToken;

/// The number of refusals after which the loop ends: SQS takes up to a minute to apply a new queue or policy.
const REFUSED_MAX: u32 = 5;
/// The shortest wait, so that no loop spins, however small the jitter is.
const WAIT_MS_MIN: u64 = 100;

/// The failures of a receive loop since its last success.
#[derive(Default)]
pub(crate) struct ReceiveBackoff {
    failures: u32,
    refused: u32,
}

impl ReceiveBackoff {
    /// Notes that a receive succeeded. Returns whether the last one had failed.
    pub(crate) fn renew(&mut self) -> bool {
        std::mem::take(self).failures > 0
    }

    /// Logs the error and waits; returns early when the program drains.
    ///
    /// # Errors
    /// The same error, if it is of a kind that does not pass by itself and it occurred several times.
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
            tracing::warn!(%error, failures, "receiving failed; the loop tries again");
        } else {
            self.refused += 1;
            tracing::error!(%error, refused = self.refused, "receiving was refused; the loop ends if this continues");
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
