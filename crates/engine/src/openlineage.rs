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

/// The most Results of one round.
const BATCH: u64 = 100;

/// How long these Results are reserved for this program. If it ends before, another program exports them.
const LEASE_MS: u64 = 15_000;

/// How long to wait after finding the outbox empty.
const IDLE_MS: u64 = 1_000;

/// The receiver of OpenLineage events.
#[async_trait]
pub trait Transport: Send + Sync {
    /// The setting or the location by which logs name this sink.
    fn name(&self) -> &'static str;

    /// Sends the events of one Result in order. After a failure all of them are sent again: consumers of OpenLineage treat a repeated event
    /// of a run as the same event.
    async fn send(&self, events: Arc<Vec<Value>>) -> Exported;
}

/// Exports the outbox.
pub struct OpenLineageExporter {
    /// The registry whose outbox is exported.
    pub registry: Arc<dyn RegistryStore>,
    /// Where the events go.
    pub transport: Arc<dyn Transport>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Jitter for waiting times.
    pub jitter: Arc<Jitter>,
}

/// The outcome of sending an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exported {
    /// The event arrived.
    Accepted,
    /// The sink refused the event and would refuse it again.
    Refused(String),
    /// The sink did not answer as expected; the event must be sent again.
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
                    tracing::warn!(%error, "the OpenLineage outbox cannot be read; the exporter tries again");
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

    /// Exports one Result, however long that takes. Returns `false` if the program drains.
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
                        "the sink refused an OpenLineage event, so the exporter skips it; `pudato lineage export` prints it"
                    );
                    return true;
                }
                Exported::Unavailable(why) => {
                    *failures += 1;
                    tracing::warn!(
                        why,
                        failures = *failures,
                        to = self.transport.name(),
                        "OpenLineage events are waiting in the outbox; the exporter tries again"
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
