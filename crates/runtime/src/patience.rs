//! How a loop goes on after a receive that failed: it waits longer each time, and ends where waiting does not help.

use crate::chance::{Backoff, Chance};
use pudato_messaging::{Clock, Error, ErrorKind};
use tokio_util::sync::CancellationToken;

/// How often a receive may be refused before the loop ends: SQS takes up to a minute to know a new queue or policy.
const REFUSED_MAX: u32 = 5;
/// Shortest wait: no loop runs hot, whatever chance says.
const WAIT_MS_MIN: u64 = 100;

/// What a loop remembers of its failures.
#[derive(Default)]
pub(crate) struct Patience {
    failures: u32,
    refused: u32,
}

impl Patience {
    /// A receive succeeded; answers whether the last one failed.
    pub(crate) fn renew(&mut self) -> bool {
        std::mem::take(self).failures > 0
    }

    /// Says what went wrong, and waits; returns early when it drains.
    ///
    /// # Errors
    /// The same error, where it is of a kind that does not pass by itself and came several times.
    pub(crate) async fn wait(
        &mut self,
        error: Error,
        clock: &dyn Clock,
        chance: &Chance,
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
        let wait = Backoff::PROBE.wait(self.failures, chance);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(0);
        let until_ms = clock.now_ms() + wait_ms.max(WAIT_MS_MIN);
        tokio::select! {
            biased;
            () = drain.cancelled() => {}
            () = clock.sleep_until(until_ms) => {}
        }
        Ok(())
    }
}
