//! Settling what was handled, however long the fabric takes to take it.

use super::Running;
use crate::answering::Prepared;
use crate::process::Outcome;
use pudato_handler::FollowUp;
use pudato_messaging::{Deleted, Error, ErrorKind, Lease};
use std::pin::pin;
use std::time::Duration;

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
        lease: Lease,
        outcome: &Outcome,
        follow_up: Option<&FollowUp>,
        prepared: Option<Result<Prepared, Error>>,
    ) -> Result<(), Error> {
        let settled = self.settle_until(lease, outcome, follow_up, prepared).await;
        match settled? {
            Deleted::LeaseLost => tracing::warn!("the lease was lost; the answer is not published"),
            Deleted::Deleted | Deleted::Unknown => {
                tracing::debug!(status = ?outcome.result.status, duration_ms = outcome.result.duration_ms, "answered");
            }
        }
        Ok(())
    }

    /// Settles, and while the fabric or the store of claims does not take it keeps the message and tries again: a topic that is gone
    /// for a while must not spend the attempts of a command that was handled.
    async fn settle_until(
        &self,
        mut lease: Lease,
        outcome: &Outcome,
        follow_up: Option<&FollowUp>,
        first: Option<Result<Prepared, Error>>,
    ) -> Result<Deleted, Error> {
        let (mut prepared, mut unprepared) = match first {
            Some(Ok(prepared)) => (Some(prepared), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let mut failures = 0;
        loop {
            let receipt = lease.receipt.clone();
            let tried = match unprepared.take() {
                Some(error) => Err(error),
                None => {
                    self.try_to_settle(lease, outcome, follow_up, &mut prepared)
                        .await
                }
            };
            let error = match tried {
                Err(error) if can_pass(error.kind) => error,
                settled => {
                    self.breaker.close();
                    return settled;
                }
            };
            failures += 1;
            if failures == 1 {
                self.keep_answer(outcome, prepared.is_some()).await;
            }
            if error.kind == ErrorKind::Denied {
                tracing::error!(%error, "the answer may not be published; receiving stops until it may");
            } else if !self.breaker.is_open() {
                tracing::warn!(%error, "the answer cannot be published; receiving stops until it can");
            }
            self.breaker.open();
            lease = Lease {
                receipt,
                deadline_ms: 0,
            };
            let is_turn = self.wait_to_settle(failures, &mut lease).await;
            if !matches!(is_turn, Ok(true)) {
                // Nobody may be left who would ask whether the fabric is back: the next message does.
                self.breaker.close();
            }
            if !is_turn? {
                // It is answered the same, by whoever receives it next.
                let _ = self.worker.consumer.release(lease, Duration::ZERO).await;
                return Err(error);
            }
        }
    }

    async fn try_to_settle(
        &self,
        lease: Lease,
        outcome: &Outcome,
        follow_up: Option<&FollowUp>,
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

    /// Waits until it is this settlement's turn to be tried again, and holds its lease meanwhile; false when it drains.
    async fn wait_to_settle(&self, failures: u32, lease: &mut Lease) -> Result<bool, Error> {
        let clock = &*self.worker.processor.clock;
        let half_ms = u64::try_from(self.worker.visibility.as_millis() / 2).unwrap_or(u64::MAX);
        let mut turn = pin!(self.breaker.turn(failures, clock, &self.worker.chance));
        loop {
            let is_turn = tokio::select! {
                biased;
                () = self.drain.cancelled() => return Ok(false),
                turn = &mut turn => turn.is_some(),
                () = clock.sleep_until(clock.now_ms() + half_ms.max(1)) => false,
            };
            let (consumer, want) = (&self.worker.consumer, self.worker.visibility);
            for renewed in consumer.renew(vec![&mut *lease], want).await {
                match renewed {
                    Err(error) if error.kind != ErrorKind::Unavailable => return Err(error),
                    _ => {}
                }
            }
            if is_turn {
                return Ok(true);
            }
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
