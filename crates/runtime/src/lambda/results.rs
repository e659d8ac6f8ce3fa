//! The results consumer, which also watches the dead-letter queues.

use super::{Answered, Deadline, Invoked, queue_of};
use crate::adapters::forget;
use crate::installation::{Installation, OpenError, PushedConsumer};
use crate::names::{HISTORY, RESULTS};
use pudato_engine::{Backoff, DeadLetterWatch, Kind, ResultsConsumer, sha256_hex};
use pudato_messaging::Clock;
use pudato_protocol::{Result as Reply, encode};
use pudato_registry::{Applied, Error, Incoming, RegistryStore};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// The dead-letter queues are searched after writing Results, at most this often.
const WATCH_EVERY_MS: u64 = 60_000;

pub(super) struct ResultsFunction {
    pudato: Arc<Installation>,
    watch: DeadLetterWatch,
    watched_ms: AtomicU64,
    opened: Mutex<BTreeMap<String, Arc<Opened>>>,
}

/// A queue of Results or of Events.
struct Opened {
    source: Arc<dyn PushedConsumer>,
    consumer: ResultsConsumer,
}

impl ResultsFunction {
    pub(super) fn new(pudato: Arc<Installation>) -> Result<Self, OpenError> {
        Ok(Self {
            watch: pudato.dead_letter_watch(),
            watched_ms: AtomicU64::new(0),
            opened: Mutex::default(),
            pudato,
        })
    }

    /// Writes the messages of an event. An event without records comes from a schedule: then the dead-letter queues are
    /// searched, and old answers deleted.
    pub(super) async fn invoke(&self, event: &Value, end_ms: u64) -> Result<Invoked, OpenError> {
        let now_ms = self.pudato.clock.now_ms();
        let deadline = Deadline::new(now_ms, end_ms);
        if is_scheduled(event) {
            self.look(deadline).await?;
            if let Some(kept) = &self.pudato.fabric.expiring_answers {
                forget(&**kept, &*self.pudato.clock).await;
            }
            return Ok(Invoked::default());
        }
        let opened = self.opened(event).await?;
        let deliveries = opened.source.adopt(event)?;
        let drain = CancellationToken::new();
        let (clock, stop) = (Arc::clone(&self.pudato.clock), drain.clone());
        let stopping = tokio::spawn(async move {
            clock.sleep_until(deadline.stop_ms).await;
            stop.cancel();
        });
        let mut answers = Vec::with_capacity(deliveries.len());
        let mut told =
            |result: &Reply, applied| answers.push(Answered::with(result, Some(applied)));
        // Messages that are not written by then are redelivered. Writing one twice changes nothing.
        tokio::select! {
            biased;
            _ = opened.consumer.apply_each(deliveries, &drain, &mut told) => {}
            () = self.pudato.clock.sleep_until(deadline.last_ms) => {}
        }
        stopping.abort();
        let watched_ms = self.watched_ms.load(Ordering::Relaxed);
        if now_ms.saturating_sub(watched_ms) >= WATCH_EVERY_MS
            && let Err(error) = self.look(deadline).await
        {
            // A failure here does not affect the messages that were handled.
            tracing::warn!(%error, "reading the dead-letter queues failed");
        }
        let left = opened.source.left();
        Ok(Invoked { answers, left })
    }

    async fn look(&self, deadline: Deadline) -> Result<(), OpenError> {
        self.watched_ms
            .store(self.pudato.clock.now_ms(), Ordering::Relaxed);
        tokio::select! {
            biased;
            explained = self.watch.look() => {
                let explained = explained?;
                if explained > 0 {
                    tracing::info!(explained, "notified the senders of dead-lettered commands");
                }
            }
            // The rest is searched next time.
            () = self.pudato.clock.sleep_until(deadline.stop_ms) => {}
        }
        Ok(())
    }

    async fn opened(&self, event: &Value) -> Result<Arc<Opened>, OpenError> {
        let names = &self.pudato.names;
        let queue = queue_of(event).ok_or_else(|| {
            let what = "event: expected records of SQS, each with its eventSourceARN";
            OpenError::Settings(what.into())
        })?;
        let (results, history) = (names.queue(RESULTS), names.queue(HISTORY));
        let kind = match queue {
            _ if queue == results => Kind::Results,
            _ if queue == history => Kind::Events,
            other => {
                let what =
                    format!("event: expected records of {results} or {history}, found {other}");
                return Err(OpenError::Settings(what));
            }
        };
        let mut all = self.opened.lock().await;
        if let Some(opened) = all.get(queue) {
            return Ok(Arc::clone(opened));
        }
        let source = super::pushed(&self.pudato, queue).await?;
        let consumer = Arc::clone(&source).as_consumer();
        let mut consumer = self.pudato.results_consumer(consumer, kind);
        consumer.left_alone = Some(Backoff::OUTAGE);
        let opened = Arc::new(Opened { consumer, source });
        all.insert(queue.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }
}

/// Whether the event is one that EventBridge sends on a schedule (its user guide, "Events": `source` and `detail-type`).
fn is_scheduled(event: &Value) -> bool {
    event.get("Records").is_none() && event.get("detail-type").is_some()
}

/// Writes Results to a registry, as the results consumer does. Returns what became of each.
///
/// # Errors
/// As [`RegistryStore::apply`].
pub async fn record(
    registry: &dyn RegistryStore,
    results: Vec<Reply>,
    clock: &dyn Clock,
) -> Result<Vec<Applied>, Error> {
    let recorded_at = crate::time::timestamp(clock.now_ms());
    let incoming = results.into_iter().map(|result| {
        let body = encode(&result);
        Incoming {
            identity: sha256_hex(body.as_bytes()),
            body: body.into(),
            result: Arc::new(result),
            recorded_at: recorded_at.clone(),
        }
    });
    registry.apply(incoming.collect()).await
}
