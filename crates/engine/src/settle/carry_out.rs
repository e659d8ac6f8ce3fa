//! Carries out a decision. The worker and the Lambda function share this code and differ only in their [`Policy`].

use super::{Prepared, Preparer};
use crate::pace::{Backoff, Jitter};
use crate::process::{Decision, Incoming, Outcome};
use pudato_handler::FollowUp;
use pudato_messaging::{Clock, Consumer, Deleted, Error, IdempotencyStore, Lease};
use pudato_protocol::Result as Reply;
use std::time::Duration;

/// The answer to a message, and the Command that follows it later.
pub type Answer<'a> = (&'a Outcome, Option<&'a FollowUp>);

/// The ports for settling.
#[derive(Clone, Copy)]
pub struct Settling<'a> {
    /// The queue that the message came from.
    pub consumer: &'a dyn Consumer,
    /// The store of answers.
    pub idempotency: &'a dyn IdempotencyStore,
    /// Makes Results, Events and follow-ups ready.
    pub preparer: Preparer<'a>,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// Jitter for waiting times.
    pub jitter: &'a Jitter,
}

/// The differences between the worker and a Lambda function.
pub trait Policy: Sync {
    /// How long a message is delayed if it is released because a backend is unavailable; `attempt` counts from 1.
    fn unavailable_for(&self, attempt: u32) -> Duration;

    /// Publishes the answer, stores it and deletes the message. `prepared` is the answer as messages, or the reason why they could not be
    /// made.
    fn settle(
        &self,
        lease: Lease,
        answer: Answer<'_>,
        prepared: Result<Prepared, Error>,
    ) -> impl Future<Output = Result<Deleted, Error>> + Send;
}

impl Settling<'_> {
    /// Makes an answer ready, publishes and stores it, and deletes the message. Storing a claim may take minutes, so the lease is still
    /// renewed meanwhile, and taken only then.
    async fn answer(
        self,
        policy: &impl Policy,
        lease: impl Future<Output = Option<Lease>>,
        answer: Answer<'_>,
    ) -> Result<(), Error> {
        let (outcome, follow_up) = answer;
        let limits = self.consumer.limits();
        let prepared = self.preparer.prepare(outcome, follow_up, &limits).await;
        let Some(lease) = lease.await else {
            return Ok(());
        };
        match policy.settle(lease, answer, prepared).await? {
            Deleted::LeaseLost => tracing::warn!("the lease was lost; the answer is not published"),
            Deleted::Deleted | Deleted::Unknown => {
                let result = &outcome.result;
                tracing::debug!(status = ?result.status, duration_ms = result.duration_ms, "the command was answered");
            }
        }
        Ok(())
    }

    /// Dead-letters the message, and publishes the Result for its sender.
    async fn reject(self, lease: Lease, why: &str, result: Option<&Reply>) -> Result<(), Error> {
        let publish = self.preparer.result(result).await?;
        self.consumer.dead_letter(lease, why, publish).await
    }

    /// Stores an answer that could not be made ready, so that the next receiver of the message does not repeat its effect.
    pub async fn keep_answer(&self, outcome: &Outcome) {
        let Some(answered) = outcome.answered.clone() else {
            return;
        };
        if let Err(error) = self.idempotency.finish(answered).await {
            tracing::warn!(%error, "the answer could not be stored");
        }
    }
}

/// Carries out a decision. `lease` is `None` if the lease is lost; then nothing happens. A message that cannot be settled stays on its queue
/// and is redelivered.
pub async fn carry_out(
    settling: Settling<'_>,
    policy: &impl Policy,
    message: &Incoming,
    lease: impl Future<Output = Option<Lease>>,
    decision: Decision,
) {
    let Settling {
        consumer,
        clock,
        jitter,
        ..
    } = settling;
    let attempt = message.attempt.unwrap_or(1);
    let settled = match decision {
        Decision::Done(outcome) => settling.answer(policy, lease, (&outcome, None)).await,
        Decision::Pending(outcome, follow_up) => {
            let answer = (&*outcome, Some(&*follow_up));
            settling.answer(policy, lease, answer).await
        }
        Decision::Retry { why, after } => {
            let Some(lease) = lease.await else { return };
            let after = after.unwrap_or_else(|| Backoff::RETRY.wait(attempt, jitter));
            tracing::warn!(%why, after_s = after.as_secs(), "the command failed; it will be redelivered");
            consumer.release(lease, after).await
        }
        Decision::Busy { until_ms } => {
            let Some(lease) = lease.await else { return };
            let left_ms = until_ms.saturating_sub(clock.now_ms());
            tracing::info!("the same request is running elsewhere; the message is released");
            let after = Duration::from_millis(left_ms);
            consumer.release(lease, after).await
        }
        Decision::Unavailable { why } => {
            let Some(lease) = lease.await else { return };
            let after = policy.unavailable_for(attempt);
            tracing::warn!(%why, after_s = after.as_secs(), "a backend is unavailable; the message is released");
            consumer.hand_back(lease, after).await
        }
        Decision::Reject { why, result } => {
            let Some(lease) = lease.await else { return };
            tracing::error!(%why, "the message cannot be handled; it moves to the dead-letter queue");
            settling.reject(lease, &why, result.as_deref()).await
        }
    };
    if let Err(error) = settled {
        let message_id = &message.message_id;
        tracing::warn!(%error, message_id, "the message could not be settled; it will be redelivered");
    }
}
