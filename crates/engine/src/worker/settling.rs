//! Settles an answer, however long the fabric takes to accept it.

use super::Running;
use super::handling::Hand;
use crate::board::{Cause, OnBoard};
use crate::leases::Held;
use crate::settle::{Answer, Policy, Prepared};
use pudato_messaging::{Deleted, Error, ErrorKind, Lease};
use std::time::Duration;

/// The worker's policy: a message that waits for a backend is released at once for other workers, and an answer that cannot be published is
/// kept with its lease until it can be.
pub(super) struct KeepUntilSettled<'a> {
    pub(super) running: &'a Running,
    pub(super) hand: Hand<'a>,
}

impl Policy for KeepUntilSettled<'_> {
    fn unavailable_for(&self, _: u32) -> Duration {
        Duration::ZERO
    }

    async fn settle(
        &self,
        lease: Lease,
        answer: Answer<'_>,
        prepared: Result<Prepared, Error>,
    ) -> Result<Deleted, Error> {
        let Hand { held, noted } = self.hand;
        let settled = self
            .running
            .settle_until(held, lease, answer, prepared, noted);
        settled.await
    }
}

impl Running {
    /// Settles a message. While the fabric or the claim store does not accept it, keeps the message and tries again: a topic that is
    /// missing for a while must not spend the attempts of a command that was handled.
    async fn settle_until(
        &self,
        held: &Held,
        mut lease: Lease,
        answer: Answer<'_>,
        first: Result<Prepared, Error>,
        noted: &OnBoard,
    ) -> Result<Deleted, Error> {
        let (mut prepared, mut unprepared) = match first {
            Ok(prepared) => (Some(prepared), None),
            Err(error) => (None, Some(error)),
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
            if failures == 1 && prepared.is_none() {
                self.worker.settling().keep_answer(answer.0).await;
            }
            if error.kind == ErrorKind::Denied {
                tracing::error!(%error, "the worker may not publish the answer; receiving stops until it may");
            } else if !self.breaker.is_open() {
                tracing::warn!(%error, "the answer cannot be published; receiving stops until it can");
            }
            let clock = &self.worker.processor.clock;
            let now_ms = clock.now_ms();
            self.breaker.open(now_ms);
            let what = format!("its answer cannot be published: {error}");
            self.stops(Cause::Answers, &what, Some(noted));
            let since_ms = *since_ms.get_or_insert(now_ms);
            let what = format!("the fabric, which does not take its answer: {error}");
            let _wait = noted.waits_since(&what, since_ms);
            // Renewed in the next round, and from then on at half its time.
            let deadline_ms = 0;
            held.put_back(Lease {
                receipt,
                deadline_ms,
            })
            .await;
            let is_turn = self.wait_to_settle(failures, held).await;
            if !is_turn {
                // There may be no other message left to probe whether the fabric is back; the next one does.
                self.takes_answers(true);
            }
            // No other consumer takes the message.
            let Some(own) = held.take().await else {
                return Err(error);
            };
            if !is_turn {
                // The next receiver of the message gives the same answer.
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
                let settling = self.worker.settling();
                let limits = settling.consumer.limits();
                let made = settling
                    .preparer
                    .prepare(outcome, follow_up, &limits)
                    .await?;
                prepared.insert(made).settlement(lease)
            }
        };
        self.settler.settle(settlement).await
    }

    /// Waits until it is this settlement's turn to be retried. Returns false if the worker drains or the lease is lost.
    async fn wait_to_settle(&self, failures: u32, held: &Held) -> bool {
        let clock = &*self.worker.processor.clock;
        tokio::select! {
            biased;
            () = held.lost.cancelled() => false,
            () = self.drain.cancelled() => false,
            turn = self.breaker.turn(failures, clock, &self.worker.jitter) => turn.is_some(),
        }
    }
}

/// Whether the same settlement may succeed later.
fn can_pass(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Unavailable | ErrorKind::NotFound | ErrorKind::Denied | ErrorKind::Failed
    )
}
