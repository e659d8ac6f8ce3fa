//! Tells others, in OpenLineage's words, of every Result: out of the registry's outbox, so that an endpoint that is down loses
//! nothing and slows nothing.

mod transport;

pub use transport::{Transport, TransportSettings};

use crate::chance::{Backoff, Chance};
use pudato_messaging::Clock;
use pudato_registry::RegistryStore;
use pudato_registry::openlineage::{ToldResult, run_events};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Who the events say tells them.
pub const PRODUCER: &str = concat!("urn:pudato:", env!("CARGO_PKG_VERSION"));

/// Results of one round.
const BATCH: u64 = 100;

/// How long they are this program's to tell; another one tells them where this one ended in between.
const LEASE_MS: u64 = 15_000;

/// How often the outbox is looked at when it was empty.
const IDLE_MS: u64 = 1_000;

/// Empties the outbox.
pub struct Teller {
    /// Whose outbox.
    pub registry: Arc<dyn RegistryStore>,
    /// Where the events go.
    pub transport: Arc<Transport>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For waiting times.
    pub chance: Arc<Chance>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// It arrived.
    Accepted,
    /// It was refused, and would be again.
    Refused(String),
    /// Nobody answered as expected; try again.
    Unavailable(String),
}

impl Teller {
    /// Tells until `drain` is cancelled.
    pub async fn run(&self, drain: CancellationToken) {
        let mut failures = 0;
        while !drain.is_cancelled() {
            let wait_ms = match self.round(&drain, &mut failures).await {
                Ok(0) => IDLE_MS,
                Ok(_) => continue,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "the outbox cannot be read; it is tried again");
                    self.backoff_ms(failures)
                }
            };
            self.wait(wait_ms, &drain).await;
        }
    }

    /// Tells what waits, a batch of it; answers how many Results there were.
    async fn round(
        &self,
        drain: &CancellationToken,
        failures: &mut u32,
    ) -> Result<usize, pudato_registry::Error> {
        let now_ms = self.clock.now_ms();
        let taken = self.registry.take_outbox(BATCH, now_ms, now_ms + LEASE_MS);
        let taken = taken.await?;
        let count = taken.len();
        let mut told = Vec::with_capacity(count);
        for result in &taken {
            if !self.tell(result, drain, failures).await {
                break;
            }
            told.push(result.row);
        }
        if !told.is_empty() {
            self.registry.told(told).await?;
        }
        Ok(count)
    }

    /// Tells one Result, however long that takes; `false`: the program ends.
    async fn tell(
        &self,
        result: &ToldResult,
        drain: &CancellationToken,
        failures: &mut u32,
    ) -> bool {
        let events = Arc::new(run_events(result, PRODUCER));
        loop {
            match self.transport.send(Arc::clone(&events)).await {
                Sent::Accepted => {
                    if *failures > 0 {
                        tracing::info!(
                            to = self.transport.name(),
                            "OpenLineage events are accepted again"
                        );
                    }
                    *failures = 0;
                    return true;
                }
                Sent::Refused(why) => {
                    let step = result.step_id.as_deref();
                    tracing::error!(
                        why,
                        step,
                        to = self.transport.name(),
                        "an OpenLineage event was refused and is left out; `pudato lineage export` prints it"
                    );
                    return true;
                }
                Sent::Unavailable(why) => {
                    *failures += 1;
                    tracing::warn!(
                        why,
                        failures = *failures,
                        to = self.transport.name(),
                        "OpenLineage events wait in the outbox; sending is tried again"
                    );
                    self.wait(self.backoff_ms(*failures), drain).await;
                    if drain.is_cancelled() {
                        return false;
                    }
                }
            }
        }
    }

    fn backoff_ms(&self, failures: u32) -> u64 {
        let wait = Backoff::PROBE.wait(failures, &self.chance);
        u64::try_from(wait.as_millis()).unwrap_or(0).max(100)
    }

    async fn wait(&self, ms: u64, drain: &CancellationToken) {
        tokio::select! {
            biased;
            () = drain.cancelled() => {}
            () = self.clock.sleep_until(self.clock.now_ms() + ms) => {}
        }
    }
}

/// Most time of one request; OpenLineage's own clients have the same.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The lines of events, as files and consoles have them.
fn lines(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}
