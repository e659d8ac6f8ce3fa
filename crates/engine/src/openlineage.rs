//! Exports every Result as OpenLineage events, from the registry's outbox: an endpoint that is down loses nothing and slows nothing.

use crate::pace::{Backoff, Jitter, millis, sleep_or_drain};
use async_trait::async_trait;
use pudato_messaging::Clock;
use pudato_registry::RegistryStore;
use pudato_registry::openlineage::{ExportedResult, run_events};
use serde_json::Value;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The `producer` of every event.
pub const PRODUCER: &str = concat!("urn:pudato:", env!("CARGO_PKG_VERSION"));

/// Results of one round.
const BATCH: u64 = 100;

/// How long these Results are this program's to export. If it ends meanwhile, another program exports them.
const LEASE_MS: u64 = 15_000;

/// How often the outbox is looked at when it was empty.
const IDLE_MS: u64 = 1_000;

/// Where events go.
#[async_trait]
pub trait Transport: Send + Sync {
    /// The setting or the place that it is known by in logs.
    fn name(&self) -> &'static str;

    /// Sends the events of one Result in their order. After a failure all of them are sent again: a consumer of OpenLineage takes an
    /// event of the same run once more as the same.
    async fn send(&self, events: Arc<Vec<Value>>) -> Exported;
}

/// Empties the outbox.
pub struct OpenLineageExporter {
    /// Whose outbox.
    pub registry: Arc<dyn RegistryStore>,
    /// Where the events go.
    pub transport: Arc<dyn Transport>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For waiting times.
    pub jitter: Arc<Jitter>,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exported {
    /// It arrived.
    Accepted,
    /// It was refused, and would be again.
    Refused(String),
    /// The endpoint did not answer as expected; try again.
    Unavailable(String),
}

impl OpenLineageExporter {
    /// Exports until `drain` is cancelled.
    pub async fn run(&self, drain: CancellationToken) {
        let mut failures = 0;
        while !drain.is_cancelled() {
            let wait_ms = match self.round(&drain, &mut failures).await {
                Ok(0) => IDLE_MS,
                Ok(_) => continue,
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, "the OpenLineage outbox cannot be read; reading is tried again");
                    self.backoff_ms(failures)
                }
            };
            self.wait(wait_ms, &drain).await;
        }
    }

    /// Exports one batch; returns how many Results it had.
    async fn round(
        &self,
        drain: &CancellationToken,
        failures: &mut u32,
    ) -> Result<usize, pudato_registry::Error> {
        let now_ms = self.clock.now_ms();
        let taken = self.registry.take_outbox(BATCH, now_ms, now_ms + LEASE_MS);
        let taken = taken.await?;
        let count = taken.len();
        let mut exported = Vec::with_capacity(count);
        for result in &taken {
            if !self.export(result, drain, failures).await {
                break;
            }
            exported.push(result.row);
        }
        if !exported.is_empty() {
            self.registry.mark_exported(exported).await?;
        }
        Ok(count)
    }

    /// Exports one Result, however long that takes; `false` if the program drains.
    async fn export(
        &self,
        result: &ExportedResult,
        drain: &CancellationToken,
        failures: &mut u32,
    ) -> bool {
        let events = Arc::new(run_events(result, PRODUCER));
        loop {
            match self.transport.send(Arc::clone(&events)).await {
                Exported::Accepted => {
                    if *failures > 0 {
                        tracing::info!(
                            to = self.transport.name(),
                            "OpenLineage events are accepted again"
                        );
                    }
                    *failures = 0;
                    return true;
                }
                Exported::Refused(why) => {
                    let step = result.step_id.as_deref();
                    tracing::error!(
                        why,
                        step,
                        to = self.transport.name(),
                        "an OpenLineage event was refused and is left out; `pudato lineage export` prints it"
                    );
                    return true;
                }
                Exported::Unavailable(why) => {
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
        millis(Backoff::PROBE.wait(failures, &self.jitter)).max(100)
    }

    async fn wait(&self, ms: u64, drain: &CancellationToken) {
        sleep_or_drain(&*self.clock, self.clock.now_ms() + ms, drain).await;
    }
}
