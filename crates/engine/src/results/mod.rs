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

/// The most Results in one transaction of the registry: enough that a commit costs little per Result, and few enough that the first does
/// not wait long for the last.
const BATCH_MAX: usize = 1_000;
/// The number of bytes after which no more Results are received, or fetched from claims.
const BATCH_BYTES_MAX: usize = 16 << 20;
/// The number of batches that are written at once while another is received.
const WRITING_MAX: usize = 2;
/// The time between two log lines with the counts.
const REPORT_EVERY_MS: u64 = 60_000;

/// Reads the results queue, or a queue of Events, and writes to the registry.
pub struct ResultsConsumer {
    /// The queue.
    pub consumer: Arc<dyn Consumer>,
    /// The registry to write to.
    pub registry: Arc<dyn RegistryStore>,
    /// The envelopes that are accepted.
    pub envelopes: EnvelopePolicy,
    /// The store of large messages.
    pub claims: Arc<dyn ClaimStore>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Jitter for waiting times.
    pub jitter: Arc<Jitter>,
    /// The kind of messages on the queue.
    pub kind: Kind,
    /// How long a received message is hidden from other consumers.
    pub visibility: Duration,
    /// The delay of messages that could not be written when the program drains; zero if another consumer can read them at once.
    pub left_alone: Option<Backoff>,
    /// Notes outages of this consumer.
    pub board: Board,
}

/// The kind of messages on a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Results, which are applied to steps.
    Results,
    /// Events, which are stored for `pudato trace` and `pudato events tail`.
    Events,
}

/// The subscriber that stores Events for `pudato trace` and `pudato events tail`, as it appears in the names of its queues.
pub const HISTORY: &str = "history";
/// The word for Results in the names of their topic and queues.
pub const RESULTS: &str = "results";

/// Messages that were read, with their leases in the same order.
struct Held {
    leases: Vec<Lease>,
    parsed: Parsed,
    /// The highest attempt number among them.
    attempts: u32,
}

/// Receives what became of each message.
type Telling<'a> = (&'a mut Tally, &'a mut (dyn FnMut(&Reply, Applied) + Send));

enum Parsed {
    Results(Vec<Incoming>),
    Events(Vec<IncomingEvent>),
}

impl ResultsConsumer {
    /// Consumes until `drain` is cancelled; messages received by then are applied first. A message is deleted only after it is in the
    /// registry.
    ///
    /// # Errors
    /// The queue does not exist, or the consumer may not read it.
    pub async fn run(&self, drain: CancellationToken) -> Result<(), Error> {
        let mut backoff = ReceiveBackoff::default();
        let mut report = Report::default();
        // While one batch is written, the next is received. Only one poll runs at a time, which on SQS is the cost of an idle queue.
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

    /// Waits for the first message, then receives up to a full batch without waiting. Dropping this future while it waits only leases
    /// messages that are redelivered when their leases end.
    async fn gather(&self) -> Result<Vec<Delivery>, Error> {
        let mut receiver = AdaptiveReceiver::new(&*self.consumer);
        let mut all = receiver.receive(BATCH_MAX).await?;
        let bytes = |all: &[Delivery]| all.iter().map(|one| one.body.len()).sum::<usize>();
        while receiver.is_busy() && all.len() < BATCH_MAX && bytes(&all) < BATCH_BYTES_MAX {
            match receiver.receive(BATCH_MAX - all.len()).await {
                Ok(more) => all.extend(more),
                // The messages received so far are applied; a lasting failure shows up again at the next receive.
                Err(_) => break,
            }
        }
        Ok(all)
    }

    /// Writes messages to the registry, then deletes them. Returns the counts of what happened to them.
    pub async fn apply(&self, deliveries: Vec<Delivery>, drain: &CancellationToken) -> Tally {
        self.apply_each(deliveries, drain, &mut |_, _| {}).await
    }

    /// As [`ResultsConsumer::apply`], and calls `told` for every Result that was written.
    pub async fn apply_each(
        &self,
        deliveries: Vec<Delivery>,
        drain: &CancellationToken,
        told: &mut (dyn FnMut(&Reply, Applied) + Send),
    ) -> Tally {
        let mut tally = Tally::default();
        let mut held = Held::new(self.kind);
        let mut bytes = 0;
        for delivery in deliveries {
            match self.parse(&delivery, &mut held.parsed).await {
                Ok(more) => {
                    held.attempts = held.attempts.max(delivery.attempt.unwrap_or(1));
                    held.leases.push(delivery.lease);
                    bytes += more;
                    // Pointers are small, but a thousand of the bodies that they point at would not fit into memory.
                    if bytes >= BATCH_BYTES_MAX {
                        let full = std::mem::replace(&mut held, Held::new(self.kind));
                        self.write(full, (&mut tally, told), drain).await;
                        bytes = 0;
                    }
                }
                Err(error)
                    if matches!(
                        error.kind,
                        ErrorKind::Unavailable | ErrorKind::Denied | ErrorKind::Failed
                    ) =>
                {
                    tracing::warn!(%error, "a claim or a certificate cannot be fetched; its message will be redelivered");
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
            self.write(held, (&mut tally, told), drain).await;
        }
        tracing::debug!(?tally, kind = ?self.kind, "the results consumer applied a batch");
        tally
    }

    /// Writes. While the registry cannot be reached, renews the leases and tries again.
    async fn write(&self, held: Held, (tally, told): Telling<'_>, drain: &CancellationToken) {
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
                    for (place, outcome) in outcomes.into_iter().enumerate() {
                        if let Parsed::Results(results) = &parsed
                            && let Some(incoming) = results.get(place)
                        {
                            told(&incoming.result, outcome);
                        }
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
                    Box::pin(self.write(half, (&mut *tally, &mut *told), drain)).await;
                    return Box::pin(self.write(rest, (tally, told), drain)).await;
                }
            }
        }
    }

    /// Writes, and renews the leases meanwhile: a message that is redelivered before it is deleted is written twice and spends attempts.
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

    /// The name of this consumer for its queue.
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

    /// A lost lease stays in its place. Applying its message once more changes nothing, and deleting it leaves the message to its new
    /// holder.
    async fn renew(&self, leases: &mut [Lease]) {
        let all = leases.iter_mut().collect();
        for outcome in self.consumer.renew(all, self.visibility).await {
            if let Err(error) = outcome {
                tracing::debug!(%error, "a lease of the results consumer was lost");
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
                // The message is redelivered, and then found to be applied already.
                Ok(Deleted::LeaseLost) => {
                    tracing::debug!(
                        "a message was applied after its lease had ended; it will be redelivered"
                    )
                }
                Err(error) => {
                    tracing::warn!(%error, "a message was applied but not deleted; it will be redelivered")
                }
            }
        }
    }

    async fn dead_letter(&self, lease: Lease, reason: &str) {
        tracing::error!(reason, kind = ?self.kind, "a message was dead-lettered");
        if let Err(error) = self.consumer.dead_letter(lease, reason, Vec::new()).await {
            tracing::warn!(%error, "a message could not be dead-lettered; it will be redelivered");
        }
    }

    /// Adds a message, and returns its size in bytes.
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
                // A message that was published twice, because the answer to the first call was lost, counts once.
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
