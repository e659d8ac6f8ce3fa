//! The results consumer: writes every Result and its lineage to the registry, and Events to its history.

mod tally;

pub use tally::Tally;

use crate::board::{Board, Cause};
use crate::envelope::EnvelopePolicy;
use crate::identity::sha256_hex;
use crate::pace::{Backoff, Jitter, ReceiveBackoff, millis, sleep_or_drain};
use crate::receive::AdaptiveReceiver;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pudato_messaging::claims::{self, ClaimStore};
use pudato_messaging::{Clock, Consumer, Deleted, Delivery, Error, ErrorKind, Lease};
use pudato_protocol::{Event, Message, Result as Reply, Timestamp, decode, decode_claim};
use pudato_registry::{Applied, Incoming, IncomingEvent, RegistryStore};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tally::Report;
use tokio_util::sync::CancellationToken;

/// Results of one transaction of the registry: enough that its commit costs little per Result, few enough that the first
/// does not wait long for the last.
const BATCH_MAX: usize = 1_000;
/// Bytes of them after which no more are received, nor fetched from claims.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// Batches that are written at once, beside the one that is received.
const WRITING_MAX: usize = 2;
/// How often it is said what became of them.
const REPORT_EVERY_MS: u64 = 60_000;

/// Reads the results queue, or a queue of Events, and writes to the registry.
pub struct ResultsConsumer {
    /// The queue.
    pub consumer: Arc<dyn Consumer>,
    /// Where it is written to.
    pub registry: Arc<dyn RegistryStore>,
    /// What its messages may be wrapped in.
    pub envelopes: EnvelopePolicy,
    /// Where large messages lie.
    pub claims: Arc<dyn ClaimStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// For waiting times.
    pub jitter: Arc<Jitter>,
    /// What the queue carries.
    pub kind: Kind,
    /// How long a received message is hidden from others.
    pub visibility: Duration,
    /// How long what could not be written is left alone when it drains; nothing where another reads it at once.
    pub left_alone: Option<Backoff>,
    /// Where it is noted that it cannot go on.
    pub board: Board,
}

/// What a queue carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Results, which are applied to steps.
    Results,
    /// Events, which are kept for `pudato trace` and `pudato events tail`.
    Events,
}

/// The subscriber that keeps Events for `pudato trace` and `pudato events tail`, as it appears in the names of its queues.
pub const HISTORY: &str = "history";
/// Results, as they appear in the names of their topic and queues.
pub const RESULTS: &str = "results";

/// Messages that were read, and the right to delete them. The leases stand in the order of the messages.
struct Held {
    leases: Vec<Lease>,
    parsed: Parsed,
    /// The most attempts that any of them had.
    attempts: u32,
}

enum Parsed {
    Results(Vec<Incoming>),
    Events(Vec<IncomingEvent>),
}

impl ResultsConsumer {
    /// Consumes until `drain` is cancelled; what was received by then is applied first. A message is deleted only after
    /// the registry has it.
    ///
    /// # Errors
    /// The queue does not exist, or may not be read.
    pub async fn run(&self, drain: CancellationToken) -> Result<(), Error> {
        let mut backoff = ReceiveBackoff::default();
        let mut report = Report::default();
        // While one batch is written the next is received: by one poll at a time, which on SQS is what an idle queue costs.
        let mut writing = FuturesUnordered::new();
        let mut gathering = None;
        loop {
            let gather = gathering.get_or_insert_with(|| Box::pin(self.gather()));
            let received = tokio::select! {
                biased;
                Some(tally) = writing.next() => {
                    report.add(tally);
                    continue;
                }
                () = drain.cancelled() => break,
                received = gather, if writing.len() < WRITING_MAX => received,
            };
            gathering = None;
            if self.clock.now_ms() >= report.next_ms {
                report.log(self.kind);
                report.next_ms = self.clock.now_ms() + REPORT_EVERY_MS;
            }
            match received {
                Ok(deliveries) => {
                    if backoff.renew() {
                        self.board.goes_on(self.named(), Cause::Receive);
                    }
                    if !deliveries.is_empty() {
                        writing.push(self.apply(deliveries, &drain));
                    }
                }
                Err(error) => {
                    let why = error.to_string();
                    self.board.stops(self.named(), Cause::Receive, &why, None);
                    let mut wait = pin!(backoff.wait(error, &*self.clock, &self.jitter, &drain));
                    let waited = loop {
                        tokio::select! {
                            biased;
                            Some(tally) = writing.next() => report.add(tally),
                            waited = &mut wait => break waited,
                        }
                    };
                    if let Err(error) = waited {
                        while writing.next().await.is_some() {}
                        return Err(error);
                    }
                }
            }
        }
        while let Some(tally) = writing.next().await {
            report.add(tally);
        }
        report.log(self.kind);
        Ok(())
    }

    /// Receives what waits, up to a batch, and waits for the first message alone. A gather that is dropped while it waits has leased
    /// only messages that come again when their leases end.
    async fn gather(&self) -> Result<Vec<Delivery>, Error> {
        let mut receiver = AdaptiveReceiver::new(&*self.consumer);
        let mut all = receiver.receive(BATCH_MAX).await?;
        let bytes = |all: &[Delivery]| all.iter().map(|one| one.body.len()).sum::<usize>();
        while receiver.is_busy() && all.len() < BATCH_MAX && bytes(&all) < BATCH_BYTES_MAX {
            match receiver.receive(BATCH_MAX - all.len()).await {
                Ok(more) => all.extend(more),
                // What was received is applied; a failure that lasts shows again at the next receive.
                Err(_) => break,
            }
        }
        Ok(all)
    }

    /// Writes messages to the registry, then deletes them. Returns what became of them.
    pub async fn apply(&self, deliveries: Vec<Delivery>, drain: &CancellationToken) -> Tally {
        let mut tally = Tally::default();
        let mut held = Held::new(self.kind);
        let mut bytes = 0;
        for delivery in deliveries {
            match self.parse(&delivery, &mut held.parsed).await {
                Ok(more) => {
                    held.attempts = held.attempts.max(delivery.attempt.unwrap_or(1));
                    held.leases.push(delivery.lease);
                    bytes += more;
                    // Pointers are small and what they point at is not: a thousand of them would not fit into memory.
                    if bytes >= BATCH_BYTES_MAX {
                        let full = std::mem::replace(&mut held, Held::new(self.kind));
                        self.write(full, &mut tally, drain).await;
                        bytes = 0;
                    }
                }
                Err(error)
                    if matches!(
                        error.kind,
                        ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::Failed
                    ) =>
                {
                    tracing::warn!(%error, "a claim or a certificate cannot be fetched; its message comes again");
                    let after = Backoff::PROBE.wait(1, &self.jitter);
                    let _ = self.consumer.release(delivery.lease, after).await;
                }
                Err(error) => {
                    tally.dead_lettered += 1;
                    self.dead_letter(delivery.lease, &error.to_string()).await;
                }
            }
        }
        if !held.leases.is_empty() {
            self.write(held, &mut tally, drain).await;
        }
        tracing::debug!(?tally, kind = ?self.kind, "applied");
        tally
    }

    /// Writes, and while the registry cannot be reached keeps the leases and tries again.
    async fn write(&self, held: Held, tally: &mut Tally, drain: &CancellationToken) {
        let Held {
            mut leases,
            parsed,
            attempts,
        } = held;
        let mut failures = 0;
        loop {
            match self.write_and_hold(&parsed, &mut leases).await {
                Ok(outcomes) => {
                    if failures > 0 {
                        self.board.goes_on(self.named(), Cause::Backend);
                    }
                    for outcome in outcomes {
                        match outcome {
                            Applied::Applied => tally.applied += 1,
                            Applied::Duplicate => tally.duplicate += 1,
                            Applied::Superseded => tally.superseded += 1,
                            Applied::Skipped => tally.skipped += 1,
                            Applied::Mismatched => tally.claimed += 1,
                        }
                    }
                    return self.delete(leases).await;
                }
                Err(error) if error.is_retryable() => {
                    failures += 1;
                    tracing::warn!(%error, failures, "the registry is unavailable; nothing is deleted");
                    let why = format!("the registry is unavailable: {error}");
                    self.board.stops(self.named(), Cause::Backend, &why, None);
                    if drain.is_cancelled() {
                        self.board.goes_on(self.named(), Cause::Backend);
                        let left_alone = self.left_alone.as_ref();
                        for lease in leases {
                            let after =
                                left_alone.map(|wait| wait.wait_long(attempts, &self.jitter));
                            let after = after.unwrap_or_default();
                            let _ = self.consumer.release(lease, after).await;
                        }
                        return;
                    }
                    self.pause(failures, drain).await;
                    self.renew(&mut leases).await;
                }
                // One of them cannot be written; the others must not suffer from it.
                Err(error) if leases.len() == 1 => {
                    tally.dead_lettered += 1;
                    for lease in leases {
                        self.dead_letter(lease, &error.to_string()).await;
                    }
                    return;
                }
                Err(_) => {
                    let held = Held {
                        leases,
                        parsed,
                        attempts,
                    };
                    let (half, rest) = held.split();
                    Box::pin(self.write(half, tally, drain)).await;
                    return Box::pin(self.write(rest, tally, drain)).await;
                }
            }
        }
    }

    /// Writes, and holds the leases meanwhile: what comes again before it is deleted is written twice, and spends attempts.
    async fn write_and_hold(
        &self,
        parsed: &Parsed,
        leases: &mut [Lease],
    ) -> Result<Vec<Applied>, pudato_registry::Error> {
        let half_ms = millis(self.visibility / 2);
        let mut writing = pin!(self.write_once(parsed));
        loop {
            let half_over_ms = self.clock.now_ms().saturating_add(half_ms.max(1));
            tokio::select! {
                biased;
                written = &mut writing => return written,
                () = self.clock.sleep_until(half_over_ms) => self.renew(leases).await,
            }
        }
    }

    /// Its name among those that read queues.
    fn named(&self) -> &'static str {
        match self.kind {
            Kind::Results => RESULTS,
            Kind::Events => HISTORY,
        }
    }

    async fn write_once(&self, parsed: &Parsed) -> Result<Vec<Applied>, pudato_registry::Error> {
        match parsed {
            Parsed::Results(results) => self.registry.apply(results.clone()).await,
            Parsed::Events(events) => {
                self.registry.record_events(events.clone()).await?;
                Ok(Vec::new())
            }
        }
    }

    /// A lease that is lost stays in its place: applying its message once more changes nothing, and deleting it leaves it
    /// to whoever holds it now.
    async fn renew(&self, leases: &mut [Lease]) {
        let all = leases.iter_mut().collect();
        for outcome in self.consumer.renew(all, self.visibility).await {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a lease was lost");
            }
        }
    }

    async fn delete(&self, mut leases: Vec<Lease>) {
        let entries_max = self.consumer.limits().batch_entries_max;
        let mut calls = Vec::new();
        while !leases.is_empty() {
            let batch = leases.drain(..leases.len().min(entries_max)).collect();
            calls.push(self.consumer.delete(batch));
        }
        let outcomes = futures_util::future::join_all(calls).await;
        for outcome in outcomes.into_iter().flatten() {
            match outcome {
                Ok(Deleted::Deleted | Deleted::Unknown) => {}
                // It comes again and is found to be applied.
                Ok(Deleted::LeaseLost) => {
                    tracing::debug!(
                        "a message was applied after its lease had ended; it comes again"
                    )
                }
                Err(error) => {
                    tracing::warn!(%error, "a message was applied but not deleted; it comes again")
                }
            }
        }
    }

    async fn dead_letter(&self, lease: Lease, reason: &str) {
        tracing::error!(reason, kind = ?self.kind, "a message is dead-lettered");
        if let Err(error) = self.consumer.dead_letter(lease, reason, Vec::new()).await {
            tracing::warn!(%error, "a message could not be dead-lettered; it comes again");
        }
    }

    /// Answers how many bytes it takes.
    async fn parse(&self, delivery: &Delivery, parsed: &mut Parsed) -> Result<usize, Error> {
        let now_ms = self.clock.now_ms();
        self.envelopes.check(&delivery.body, now_ms).await?;
        let resolved = claims::resolve(&delivery.body, &delivery.attributes, &*self.claims).await?;
        let (body, recorded_at) = (&resolved.body, Timestamp::from_unix_ms(self.clock.now_ms()));
        let identity = sha256_hex(body);
        let text = || Arc::from(String::from_utf8_lossy(body));
        match parsed {
            Parsed::Results(results) => results.push(Incoming {
                result: Arc::new(read::<Reply>(body, resolved.is_claim)?),
                identity,
                body: text(),
                recorded_at,
            }),
            Parsed::Events(events) => events.push(IncomingEvent {
                event: Arc::new(read::<Event>(body, resolved.is_claim)?),
                // One that was published twice, because the answer to the first call was lost, is one.
                identity,
                body: text(),
                recorded_at,
            }),
        }
        Ok(body.len())
    }

    async fn pause(&self, failures: u32, drain: &CancellationToken) {
        let wait = Backoff::PROBE.wait(failures, &self.jitter);
        let until_ms = self.clock.now_ms() + millis(wait).max(100);
        sleep_or_drain(&*self.clock, until_ms, drain).await;
    }
}

fn read<M: Message>(body: &[u8], is_claim: bool) -> Result<M, Error> {
    let read = if is_claim {
        decode_claim(body)
    } else {
        decode(body)
    };
    read.map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()).with_source(error))
}

impl Held {
    fn new(kind: Kind) -> Self {
        Self {
            leases: Vec::new(),
            parsed: match kind {
                Kind::Results => Parsed::Results(Vec::new()),
                Kind::Events => Parsed::Events(Vec::new()),
            },
            attempts: 1,
        }
    }

    fn split(mut self) -> (Self, Self) {
        let half = self.leases.len() / 2;
        let leases = self.leases.split_off(half);
        let parsed = match &mut self.parsed {
            Parsed::Results(results) => Parsed::Results(results.split_off(half)),
            Parsed::Events(events) => Parsed::Events(events.split_off(half)),
        };
        let attempts = self.attempts;
        let rest = Self {
            leases,
            parsed,
            attempts,
        };
        (self, rest)
    }
}
