//! The loop that receives the messages of one service, and obeys what [`crate::process`] decides about each.

mod settling;
mod telling;

use crate::answering::Answering;
use crate::board::{Board, Cause, OnBoard};
use crate::breaker::{Breaker, Outage};
use crate::chance::{Backoff, Chance};
use crate::identity;
use crate::leases::{Held, InHand, Keeper, Leases};
use crate::outbox::Outbox;
use crate::patience::Patience;
use crate::process::{Decision, Incoming, Processor, Read, at_last_unread};
use crate::settler::Settler;
use crate::spawn::Spawn;
use futures_util::future::join_all;
use pudato_messaging::{Consumer, Delivery, Error, Receive, RunningRequest};
use pudato_protocol::Status;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Messages that may wait for their settlement beside those whose handlers run: while one commit or call is on its way,
/// handlers go on.
const SETTLING: usize = 64;
/// A handler that took less is quick: what waits for it in hand waits less than a receive takes.
const QUICK_MS: u64 = 50;
/// A request that runs elsewhere is looked at again no sooner and no later than this.
const BUSY_MS_MIN: u64 = 500;
const BUSY_MS_MAX: u64 = 20_000;
/// Giving back takes no longer, beyond the grace time: a fabric that hangs must not keep a program from ending.
const GIVE_BACK_MS_MAX: u64 = 10_000;
/// Receives at once.
pub(crate) const CALLS_MAX: usize = 4;
/// The same where calls are billed: those that find nothing are in vain.
pub(crate) const CALLS_MAX_BILLED: usize = 2;
/// Most messages of several receives at once.
const QUICK_BATCH_MAX: usize = RECEIVE_MAX * CALLS_MAX;
/// Longest long poll (SQS, behaviours.md row 14).
const WAIT: Duration = Duration::from_secs(20);
/// Most messages of one receive.
const RECEIVE_MAX: usize = 10;

/// A worker of one service.
pub struct Worker {
    /// Decides about messages.
    pub processor: Arc<Processor>,
    /// The service's queue.
    pub consumer: Arc<dyn Consumer>,
    /// Makes Results and Events ready.
    pub outbox: Outbox,
    /// Where Results go.
    pub results_topic: String,
    /// Where Events go.
    pub events_topic: String,
    /// For waiting times.
    pub chance: Arc<Chance>,
    /// Starts tasks.
    pub spawn: Arc<dyn Spawn>,
    /// Messages in hand at once.
    pub concurrency: usize,
    /// How long a received message is hidden from others.
    pub visibility: Duration,
    /// How long a drain waits for what is in hand.
    pub grace: Duration,
    /// Where it is noted what is in hand and what that waits for.
    pub board: Board,
}

struct Running {
    worker: Worker,
    leases: Arc<Leases>,
    settler: Settler,
    breaker: Breaker,
    /// One for each handler that may run.
    handlers: Arc<Semaphore>,
    /// One for each message that may be in hand, from its receive until it is settled.
    in_hand: Arc<Semaphore>,
    in_hand_max: u32,
    /// Whether the last handler was.
    is_quick: AtomicBool,
    /// Cancelled when what is in hand shall be given back.
    abort: CancellationToken,
    /// Cancelled when nothing more shall begin.
    drain: CancellationToken,
}

impl Worker {
    /// Receives and handles messages until `drain` is cancelled; then finishes what is in hand, or gives it back after
    /// the grace time, and returns.
    ///
    /// # Errors
    /// The queue does not exist, or the worker may not read it.
    pub async fn run(self, drain: CancellationToken) -> Result<(), Error> {
        let (settler, settling) = Settler::new(
            Arc::clone(&self.consumer),
            Arc::clone(&self.processor.clock),
        );
        let spawn = Arc::clone(&self.spawn);
        spawn.spawn(Box::pin(settling));
        let concurrency = self.concurrency.max(1);
        let running = Arc::new(Running {
            leases: Arc::new(Leases::new(self.visibility)),
            settler,
            breaker: Breaker::new(),
            handlers: Arc::new(Semaphore::new(concurrency)),
            in_hand: Arc::new(Semaphore::new(concurrency + SETTLING)),
            in_hand_max: u32::try_from(concurrency + SETTLING).unwrap_or(u32::MAX),
            is_quick: AtomicBool::new(false),
            abort: CancellationToken::new(),
            drain,
            worker: self,
        });
        let stop = CancellationToken::new();
        // Also where this is dropped before its end: nobody would settle what is renewed.
        let _stops = stop.clone().drop_guard();
        let (keeper, leases) = (running.worker.keeper(), Arc::clone(&running.leases));
        // Handlers may keep every thread of theirs busy.
        spawn.spawn_apart(
            "pudato-leases",
            Box::pin(async move { leases.keep(&keeper, &stop).await }),
        );
        let outcome = running.receive().await;
        running.finish().await;
        outcome
    }

    fn answering(&self) -> Answering<'_> {
        Answering {
            outbox: &self.outbox,
            results_topic: &self.results_topic,
            events_topic: &self.events_topic,
        }
    }

    fn keeper(&self) -> Keeper {
        Keeper {
            consumer: Arc::clone(&self.consumer),
            idempotency: Arc::clone(&self.processor.idempotency),
            clock: Arc::clone(&self.processor.clock),
        }
    }
}

impl Running {
    async fn receive(self: &Arc<Self>) -> Result<(), Error> {
        let mut patience = Patience::default();
        // After full batches there is probably more: then receives do not wait, and more of them run at once the longer it lasts.
        let mut calls = 0;
        let calls_max = match self.worker.consumer.limits().batch_fill.is_zero() {
            true => CALLS_MAX,
            false => CALLS_MAX_BILLED,
        };
        loop {
            let is_one = tokio::select! {
                biased;
                () = self.drain.cancelled() => return Ok(()),
                is_one = self.breaker.closed(&*self.worker.processor.clock) => is_one,
            };
            let Some(room) = self.room().await else {
                return Ok(());
            };
            let max = if is_one { 1 } else { room };
            let received = tokio::select! {
                biased;
                () = self.drain.cancelled() => return Ok(()),
                received = self.poll(max, calls) => received,
            };
            match received {
                Ok(deliveries) => {
                    if patience.renew() {
                        self.goes_on(Cause::Receive);
                    }
                    let is_full = deliveries.len() >= max.min(RECEIVE_MAX * calls.max(1));
                    calls = if is_full {
                        (calls * 2).clamp(1, calls_max)
                    } else {
                        0
                    };
                    for delivery in deliveries {
                        // Held from now on, since its task may begin late.
                        let Some((message, in_hand)) = self.take_in_hand(delivery).await else {
                            continue;
                        };
                        let Ok(permit) = Arc::clone(&self.in_hand).acquire_owned().await else {
                            return Ok(());
                        };
                        let running = Arc::clone(self);
                        self.worker.spawn.spawn(Box::pin(async move {
                            running.handle(message, in_hand).await;
                            drop(permit);
                        }));
                    }
                }
                Err(error) => {
                    self.stops(Cause::Receive, &error.to_string(), None);
                    let (clock, chance) = (&self.worker.processor.clock, &self.worker.chance);
                    patience.wait(error, &**clock, chance, &self.drain).await?;
                }
            }
        }
    }

    /// Waits until there is room for another message; answers for how many, `None` when it drains. Where handlers are quick,
    /// some messages wait in hand for theirs; where they are not, a message that waits here could run elsewhere.
    async fn room(&self) -> Option<usize> {
        let is_quick = self.is_quick.load(Ordering::Relaxed);
        let free = async {
            // Quick ones leave soon, so that a whole batch has room: receives cost.
            let room = if is_quick { RECEIVE_MAX as u32 } else { 1 };
            let in_hand = self.in_hand.acquire_many(room).await;
            let handler = match is_quick {
                true => None,
                false => Some(self.handlers.acquire().await),
            };
            drop((in_hand, handler));
        };
        tokio::select! {
            biased;
            () = self.drain.cancelled() => return None,
            () = free => {}
        }
        let in_hand = self.in_hand.available_permits();
        if is_quick {
            return Some(in_hand.clamp(1, QUICK_BATCH_MAX));
        }
        Some(self.handlers.available_permits().min(in_hand).max(1))
    }

    /// Receives up to `max` messages: in one call that waits, or in `calls` at once that do not.
    async fn poll(&self, max: usize, calls: usize) -> Result<Vec<Delivery>, Error> {
        let receive = |max, wait| self.worker.consumer.receive(Receive { max, wait });
        if calls == 0 {
            return receive(max.min(RECEIVE_MAX), WAIT).await;
        }
        let calls = (0..max).step_by(RECEIVE_MAX).take(calls);
        let calls = calls.map(|from| receive((max - from).min(RECEIVE_MAX), Duration::ZERO));
        let mut all = Vec::with_capacity(max);
        let mut failure = None;
        for received in join_all(calls).await {
            match received {
                Ok(deliveries) => all.extend(deliveries),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            // What was received is handled; a failure that lasts shows again.
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(all),
        }
    }

    /// Waits for what is in hand; what takes longer than the grace time is given back.
    async fn finish(&self) {
        let clock = &self.worker.processor.clock;
        let grace_ms = u64::try_from(self.worker.grace.as_millis()).unwrap_or(u64::MAX);
        let until_ms = clock.now_ms().saturating_add(grace_ms);
        tokio::select! {
            biased;
            _ = self.in_hand.acquire_many(self.in_hand_max) => return,
            () = clock.sleep_until(until_ms) => {}
        }
        tracing::warn!("the grace time is over; what is in hand is given back");
        self.abort.cancel();
        let until_ms = clock.now_ms() + GIVE_BACK_MS_MAX;
        tokio::select! {
            biased;
            _ = self.in_hand.acquire_many(self.in_hand_max) => {}
            () = clock.sleep_until(until_ms) => {
                tracing::warn!("the fabric does not answer; what is in hand comes again after its lease");
            }
        }
    }

    /// Takes a message in hand; `None` where it is in hand already. It came again because its lease ended, and its handler goes on under
    /// the new lease: nothing failed, so nothing is begun again and no attempt is spent.
    async fn take_in_hand(&self, delivery: Delivery) -> Option<(Incoming, InHand)> {
        let Delivery {
            message_id,
            body,
            attributes,
            attempt,
            attempt_max,
            lease,
            ..
        } = delivery;
        let message = Incoming {
            message_id,
            body,
            attributes,
            attempt,
            attempt_max,
        };
        match self.leases.go_on(&message.message_id, lease).await {
            Err(lease) => {
                let in_hand = self.leases.hold(&message.message_id, lease);
                Some((message, in_hand))
            }
            Ok(ended) => {
                let message_id = &message.message_id;
                tracing::warn!(%message_id, "a message came again while its handler runs; the handler goes on");
                self.worker.consumer.excuse(&ended).await;
                None
            }
        }
    }

    async fn handle(&self, message: Incoming, in_hand: InHand) {
        // Others do not wait for the settlement of one that may take long.
        let is_quick = self.is_quick.load(Ordering::Relaxed);
        let _settled_soon = is_quick.then(|| self.settler.take_in_hand());
        let noted = self.worker.board.take(self.entry(&message));
        // The semaphore is never closed.
        let Ok(handler) = Arc::clone(&self.handlers).acquire_owned().await else {
            return;
        };
        let began_ms = self.worker.processor.clock.now_ms();
        let hand = Hand {
            held: &in_hand.held,
            noted: &noted,
        };
        let mut read = self.until_read(&message, hand).await;
        if let Ok(read) = &mut read {
            noted.is_command(&read.command);
            read.waits = noted.waits();
        }
        let span = span(&message, read.as_ref().ok());
        self.obey(&message, hand, read, (handler, began_ms))
            .instrument(span)
            .await;
    }

    async fn until_read(&self, message: &Incoming, hand: Hand<'_>) -> Result<Read, Decision> {
        let mut outage = Outage::default();
        loop {
            match self.worker.processor.read(message).await {
                Err(Decision::Unavailable { why }) => {
                    if let Some(decision) = self.wait_out(&mut outage, why, hand).await {
                        return Err(at_last_unread(decision, message));
                    }
                }
                read => {
                    // That others can be read says nothing about the backend of a handler.
                    if outage.failures() > 0 {
                        self.is_back(true);
                    }
                    return read;
                }
            }
        }
    }

    async fn obey(
        &self,
        message: &Incoming,
        hand: Hand<'_>,
        read: Result<Read, Decision>,
        (handler, began_ms): (OwnedSemaphorePermit, u64),
    ) {
        let decision = match read {
            Ok(read) => tokio::select! {
                biased;
                decision = self.decide(message, &read, hand) => decision,
                never = self.tell_of_waits(&read.command, hand.noted) => match never {},
            },
            Err(decision) => decision,
        };
        // The handler is done; the next may run while this message is settled.
        drop(handler);
        let took_ms = self
            .worker
            .processor
            .clock
            .now_ms()
            .saturating_sub(began_ms);
        self.is_quick.store(took_ms < QUICK_MS, Ordering::Relaxed);
        // A claim may take minutes to be stored: meanwhile the lease is held.
        let prepared = match &decision {
            Decision::Done(outcome) => Some(self.prepare(outcome, None).await),
            Decision::Pending(outcome, follow_up) => {
                Some(self.prepare(outcome, Some(follow_up)).await)
            }
            _ => None,
        };
        let Some(lease) = hand.held.take().await else {
            return;
        };
        let consumer = &self.worker.consumer;
        let settled = match decision {
            Decision::Done(outcome) => {
                let answer = (&*outcome, None);
                self.settle(hand.held, lease, answer, prepared, hand.noted)
                    .await
            }
            Decision::Pending(outcome, follow_up) => {
                let answer = (&*outcome, Some(&*follow_up));
                self.settle(hand.held, lease, answer, prepared, hand.noted)
                    .await
            }
            Decision::Retry { why, after } => {
                let attempt = message.attempt.unwrap_or(1);
                let after =
                    after.unwrap_or_else(|| Backoff::RETRY.wait(attempt, &self.worker.chance));
                tracing::warn!(%why, after_s = after.as_secs(), "it is tried again");
                consumer.release(lease, after).await
            }
            Decision::Busy { until_ms } => {
                let now_ms = self.worker.processor.clock.now_ms();
                let left = Duration::from_millis(until_ms.saturating_sub(now_ms));
                tracing::info!("the same request runs elsewhere; it is given back");
                consumer.release(lease, left).await
            }
            Decision::Unavailable { why } => {
                tracing::warn!(%why, "it is given back");
                consumer.release(lease, Duration::ZERO).await
            }
            Decision::Reject { why, result } => {
                tracing::error!(%why, "it is dead-lettered");
                match self.worker.answering().told(result.as_deref()).await {
                    Ok(publish) => consumer.dead_letter(lease, &why, publish).await,
                    Err(error) => Err(error),
                }
            }
        };
        if let Err(error) = settled {
            // The message stays where it is and comes again.
            tracing::warn!(%error, "it could not be settled");
        }
    }

    /// Decides, and while a backend is down decides again, without spending an attempt.
    async fn decide(&self, message: &Incoming, read: &Read, hand: Hand<'_>) -> Decision {
        let held = hand.held;
        let processor = &self.worker.processor;
        let lease_max = read.action.map_or(Duration::MAX, |action| action.lease_max);
        let lease_max_ms = u64::try_from(lease_max.as_millis()).unwrap_or(u64::MAX);
        let request = read.key.clone().zip(read.action).map(|(key, action)| {
            let fingerprint = identity::fingerprint(&read.command, action.name);
            RunningRequest {
                key,
                fingerprint,
                owner: read.owner.clone(),
            }
        });
        let mut outage = Outage::default();
        loop {
            let until_ms = processor.clock.now_ms().saturating_add(lease_max_ms);
            held.runs(until_ms, request.clone());
            hand.noted.runs_until(Some(until_ms));
            let decision = tokio::select! {
                biased;
                () = held.lost.cancelled() => return lost(),
                () = self.abort.cancelled() => return given_back(),
                decision = processor.decide(message, read) => decision,
            };
            // The request is renewed on until its answer is ready to be sent.
            let is_answered = matches!(decision, Decision::Done(_) | Decision::Pending(..));
            held.runs(u64::MAX, request.clone().filter(|_| is_answered));
            hand.noted.runs_until(None);
            if let Decision::Busy { until_ms } = decision {
                if self.wait_for_another(until_ms, hand).await {
                    continue;
                }
                return decision;
            }
            let Decision::Unavailable { why } = decision else {
                self.is_back(outage.failures() > 0);
                if is_done(&decision) {
                    self.breaker.succeeded();
                }
                return decision;
            };
            if let Some(decision) = self.wait_out(&mut outage, why, hand).await {
                return processor.at_last(decision, message, &read.command);
            }
        }
    }

    /// Waits until the request of this message may be free; false when the message shall be given back instead.
    async fn wait_for_another(&self, until_ms: u64, hand: Hand<'_>) -> bool {
        let clock = &*self.worker.processor.clock;
        let what = "the same request, which another worker has or had in hand";
        // Its sender hears from the first copy under the same correlation id, and a Result for each copy would be billed.
        let _wait = hand.noted.waits_untold(what);
        let now_ms = clock.now_ms();
        let jitter_ms = self.worker.chance.up_to(BUSY_MS_MIN);
        let look_ms = until_ms.clamp(now_ms + BUSY_MS_MIN, now_ms + BUSY_MS_MAX) + jitter_ms;
        tracing::debug!("the same request runs elsewhere; it is waited for");
        tokio::select! {
            biased;
            () = hand.held.lost.cancelled() => false,
            () = self.drain.cancelled() => false,
            () = clock.sleep_until(look_ms) => true,
        }
    }

    /// Waits until it is this message's turn to ask again; answers what shall become of it where it is not kept.
    async fn wait_out(&self, outage: &mut Outage, why: String, hand: Hand<'_>) -> Option<Decision> {
        let clock = &*self.worker.processor.clock;
        if self.breaker.is_doubtful(outage, clock.now_ms()) {
            // It held the others up long enough: from now on it spends its own attempts.
            let why = format!(
                "{why}; it failed for minutes while other commands of this service succeeded"
            );
            self.is_back(true);
            return Some(Decision::Retry { why, after: None });
        }
        if !self.breaker.is_open() {
            tracing::warn!(%why, "a backend is unavailable; receiving stops until it is back");
        }
        self.breaker.open(clock.now_ms(), &why);
        self.stops(Cause::Backend, &why, Some(hand.noted));
        let what = format!("a backend that is unavailable: {why}");
        let _wait = hand.noted.waits_since(&what, outage.since_ms());
        let is_turn = tokio::select! {
            biased;
            () = hand.held.lost.cancelled() => false,
            () = self.drain.cancelled() => false,
            turn = self.breaker.turn(outage.failures(), clock, &self.worker.chance) => turn.is_some(),
        };
        if is_turn {
            return None;
        }
        // Nobody may be left who would ask whether the backend is back: the next message does.
        self.is_back(true);
        Some(Decision::Unavailable { why })
    }
}

/// Whether the action was done, and not only answered.
fn is_done(decision: &Decision) -> bool {
    match decision {
        Decision::Done(outcome) => outcome.result.status != Status::Error,
        Decision::Pending(..) => true,
        _ => false,
    }
}

/// A message in hand: its lease, and the note of it that others see.
#[derive(Clone, Copy)]
struct Hand<'a> {
    held: &'a Held,
    noted: &'a OnBoard,
}

fn lost() -> Decision {
    Decision::Retry {
        why: "its lease or its time was over".into(),
        after: Some(Duration::ZERO),
    }
}

fn given_back() -> Decision {
    Decision::Unavailable {
        why: "the worker stops".into(),
    }
}

pub(crate) fn span(message: &Incoming, read: Option<&Read>) -> tracing::Span {
    let command = read.map(|read| &read.command);
    let given = message.attributes.get("correlation_id").map(String::as_str);
    let id = command.map(|command| command.correlation_id.as_str());
    tracing::info_span!(
        "command",
        correlation_id = id.or(given),
        job_id = command.and_then(|command| command.job_id.as_deref()),
        step_id = command.and_then(|command| command.step_id.as_deref()),
        attempt = message.attempt,
    )
}
