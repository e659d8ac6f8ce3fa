//! Handles one message, from its receive until its decision is carried out.

use super::settling::KeepUntilSettled;
use super::{QUICK_MS, Running, span};
use crate::board::{Cause, OnBoard};
use crate::identity;
use crate::leases::{Held, InHand};
use crate::pace::breaker::Outage;
use crate::pace::millis;
use crate::process::{Decision, Incoming, Read, at_last_unread};
use crate::settle::carry_out;
use pudato_messaging::{Delivery, RunningRequest};
use pudato_protocol::Status;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument;

/// The time between two checks of a request that is running elsewhere.
const BUSY_MS_MIN: u64 = 500;
const BUSY_MS_MAX: u64 = 20_000;

impl Running {
    /// Takes on a message; `None` if this worker is handling it already. Such a message came again because its lease ended, and its handler
    /// continues under the new lease: nothing failed, so nothing is restarted and no attempt is spent.
    pub(super) async fn take_in_hand(&self, delivery: Delivery) -> Option<(Incoming, InHand)> {
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
                tracing::warn!(%message_id, "a message was redelivered while its handler runs; the handler continues");
                self.worker.consumer.excuse(&ended).await;
                None
            }
        }
    }

    pub(super) async fn handle(&self, message: Incoming, in_hand: InHand) {
        // Other messages do not wait for a settlement that may take long.
        let is_quick = self.is_quick.load(Ordering::Relaxed);
        let _settled_soon = is_quick.then(|| self.settler.announce());
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
        self.decide_and_settle(&message, hand, read, (handler, began_ms))
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
                    // A message that can be read says nothing about the backend of its handler.
                    if outage.failures() > 0 {
                        self.is_back(true);
                    }
                    return read;
                }
            }
        }
    }

    async fn decide_and_settle(
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
                never = self.report_waits(&read.command, hand.noted) => match never {},
            },
            Err(decision) => decision,
        };
        // The handler is done, so another may run while this message is settled.
        drop(handler);
        let took_ms = self
            .worker
            .processor
            .clock
            .now_ms()
            .saturating_sub(began_ms);
        self.is_quick.store(took_ms < QUICK_MS, Ordering::Relaxed);
        let settling = self.worker.settling();
        let policy = KeepUntilSettled {
            running: self,
            hand,
        };
        carry_out(settling, &policy, message, hand.held.take(), decision).await;
    }

    /// Decides. While a backend is down, decides again without spending an attempt.
    async fn decide(&self, message: &Incoming, read: &Read, hand: Hand<'_>) -> Decision {
        let held = hand.held;
        let processor = &self.worker.processor;
        let lease_max = read.action.map_or(Duration::MAX, |action| action.lease_max);
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
            let until_ms = processor.clock.now_ms().saturating_add(millis(lease_max));
            held.runs(until_ms, request.clone());
            hand.noted.runs_until(Some(until_ms));
            let decision = tokio::select! {
                biased;
                () = held.lost.cancelled() => return lost(),
                () = self.abort.cancelled() => return given_back(),
                decision = processor.decide(message, read) => decision,
            };
            // The request is renewed until its answer is ready to be sent.
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

    /// Waits until the request of this message may be free. Returns false if the message must be released instead.
    async fn wait_for_another(&self, until_ms: u64, hand: Hand<'_>) -> bool {
        let clock = &*self.worker.processor.clock;
        let what = "the same request, which another worker is running or was running";
        // The sender gets the Result of the first copy under the same correlation id, and a Result for each copy would be billed.
        let _wait = hand.noted.waits_untold(what);
        let now_ms = clock.now_ms();
        let jitter_ms = self.worker.jitter.up_to(BUSY_MS_MIN);
        let look_ms = until_ms.clamp(now_ms + BUSY_MS_MIN, now_ms + BUSY_MS_MAX) + jitter_ms;
        tracing::debug!("the same request is running elsewhere; the worker waits for it");
        tokio::select! {
            biased;
            () = hand.held.lost.cancelled() => false,
            () = self.drain.cancelled() => false,
            () = clock.sleep_until(look_ms) => true,
        }
    }

    /// Waits until it is this message's turn to probe. Returns the decision about it if it is not kept.
    async fn wait_out(&self, outage: &mut Outage, why: String, hand: Hand<'_>) -> Option<Decision> {
        let clock = &*self.worker.processor.clock;
        if self.breaker.is_doubtful(outage, clock.now_ms()) {
            // It blocked the other messages long enough. From now on it spends its own attempts.
            let why = format!(
                "{why}; it failed for minutes while other commands of this service succeeded"
            );
            self.is_back(true);
            return Some(Decision::Retry { why, after: None });
        }
        if !self.breaker.is_open() {
            tracing::warn!(%why, "a backend is unavailable; receiving stops until it is back");
        }
        self.breaker.open(clock.now_ms());
        self.stops(Cause::Backend, &why, Some(hand.noted));
        let what = format!("a backend that is unavailable: {why}");
        let _wait = hand.noted.waits_since(&what, outage.since_ms());
        let is_turn = tokio::select! {
            biased;
            () = hand.held.lost.cancelled() => false,
            () = self.drain.cancelled() => false,
            turn = self.breaker.turn(outage.failures(), clock, &self.worker.jitter) => turn.is_some(),
        };
        if is_turn {
            return None;
        }
        // There may be no other message left to probe whether the backend is back; the next one does.
        self.is_back(true);
        Some(Decision::Unavailable { why })
    }
}

/// Whether the action was done, as opposed to only answered.
fn is_done(decision: &Decision) -> bool {
    match decision {
        Decision::Done(outcome) => outcome.result.status != Status::Error,
        Decision::Pending(..) => true,
        _ => false,
    }
}

/// A message in flight: its lease, and its note on the board.
#[derive(Clone, Copy)]
pub(super) struct Hand<'a> {
    pub(super) held: &'a Held,
    pub(super) noted: &'a OnBoard,
}

fn lost() -> Decision {
    Decision::Retry {
        why: "its lease or its time limit ended".into(),
        after: Some(Duration::ZERO),
    }
}

fn given_back() -> Decision {
    Decision::Unavailable {
        why: "the worker is stopping".into(),
    }
}
