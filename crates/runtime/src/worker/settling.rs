//! Settling what was handled, however long the fabric takes to take it.

use super::Running;
use crate::answering::Prepared;
use crate::board::{Cause, OnBoard};
use crate::leases::Held;
use crate::process::Outcome;
use pudato_handler::FollowUp;
use pudato_messaging::{Deleted, Error, ErrorKind, Lease};
use std::time::Duration;

/// What a message was answered with, and what follows later.
type Answer<'a> = (&'a Outcome, Option<&'a FollowUp>);

impl Running {
    /// Makes ready what follows from a handled message.
    pub(super) async fn prepare(
        &self,
        outcome: &Outcome,
        follow_up: Option<&FollowUp>,
    ) -> Result<Prepared, Error> {
        let limits = self.worker.consumer.limits();
        let answering = self.worker.answering();
        answering.prepare(outcome, follow_up, &limits).await
    }

    /// Publishes what follows from a handled message, and deletes it. `prepared` is what became of making it ready.
    pub(super) async fn settle(
        &self,
        held: &Held,
        lease: Lease,
        answer: Answer<'_>,
        prepared: Option<Result<Prepared, Error>>,
        noted: &OnBoard,
    ) -> Result<(), Error> {
        let settled = self.settle_until(held, lease, answer, prepared, noted);
        match settled.await? {
            Deleted::LeaseLost => tracing::warn!("the lease was lost; the answer is not published"),
            Deleted::Deleted | Deleted::Unknown => {
                let result = &answer.0.result;
                tracing::debug!(status = ?result.status, duration_ms = result.duration_ms, "answered");
            }
        }
        Ok(())
    }

    /// Settles, and while the fabric or the store of claims does not take it keeps the message and tries again: a topic that is gone
    /// for a while must not spend the attempts of a command that was handled.
    async fn settle_until(
        &self,
        held: &Held,
        mut lease: Lease,
        answer: Answer<'_>,
        first: Option<Result<Prepared, Error>>,
        noted: &OnBoard,
    ) -> Result<Deleted, Error> {
        let (mut prepared, mut unprepared) = match first {
            Some(Ok(prepared)) => (Some(prepared), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let mut failures = 0;
        let mut since_ms = None;
        loop {
            let receipt = lease.receipt.clone();
            let tried = match unprepared.take() {
                Some(error) => Err(error),
                None => self.try_to_settle(lease, answer, &mut prepared).await,
            };
            let error = match tried {
                Err(error) if can_pass(error.kind) => error,
                settled => {
                    self.takes_answers(failures > 0);
                    return settled;
                }
            };
            failures += 1;
            if failures == 1 {
                self.keep_answer(answer.0, prepared.is_some()).await;
            }
            if error.kind == ErrorKind::Denied {
                tracing::error!(%error, "the answer may not be published; receiving stops until it may");
            } else if !self.breaker.is_open() {
                tracing::warn!(%error, "the answer cannot be published; receiving stops until it can");
            }
            let clock = &self.worker.processor.clock;
            let now_ms = clock.now_ms();
            self.breaker.open(now_ms, &error.to_string());
            let what = format!("its answer cannot be published: {error}");
            self.stops(Cause::Answers, &what, Some(noted));
            let since_ms = *since_ms.get_or_insert(now_ms);
            let what = format!("the fabric, which does not take its answer: {error}");
            let _wait = noted.waits_since(&what, since_ms);
            // Renewed at the next look, and from then on at half.
            let deadline_ms = 0;
            held.put_back(Lease {
                receipt,
                deadline_ms,
            })
            .await;
            let is_turn = self.wait_to_settle(failures, held).await;
            if !is_turn {
                // Nobody may be left who would ask whether the fabric is back: the next message does.
                self.takes_answers(true);
            }
            // Nobody else takes it.
            let Some(own) = held.take().await else {
                return Err(error);
            };
            if !is_turn {
                // It is answered the same, by whoever receives it next.
                let _ = self.worker.consumer.release(own, Duration::ZERO).await;
                return Err(error);
            }
            lease = own;
        }
    }

    async fn try_to_settle(
        &self,
        lease: Lease,
        (outcome, follow_up): Answer<'_>,
        prepared: &mut Option<Prepared>,
    ) -> Result<Deleted, Error> {
        let settlement = match prepared {
            Some(prepared) => prepared.settlement(lease),
            None => {
                let made = self.prepare(outcome, follow_up).await?;
                prepared.insert(made).settlement(lease)
            }
        };
        self.settler.settle(settlement).await
    }

    /// Where an answer could not even be made ready it is kept all the same, so that its effect is not made again by whoever receives the
    /// message next.
    async fn keep_answer(&self, outcome: &Outcome, is_prepared: bool) {
        let Some(answered) = outcome.answered.clone().filter(|_| !is_prepared) else {
            return;
        };
        if let Err(error) = self.worker.processor.idempotency.finish(answered).await {
            tracing::warn!(%error, "the answer could not be kept");
        }
    }

    /// Waits until it is this settlement's turn to be tried again; false when it drains or its lease was lost.
    async fn wait_to_settle(&self, failures: u32, held: &Held) -> bool {
        let clock = &*self.worker.processor.clock;
        tokio::select! {
            biased;
            () = held.lost.cancelled() => false,
            () = self.drain.cancelled() => false,
            turn = self.breaker.turn(failures, clock, &self.worker.chance) => turn.is_some(),
        }
    }
}

/// Whether the same settlement may succeed later.
fn can_pass(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Denied
    )
}
