//! Carries out a decision. The worker and the Lambda function share this code and differ only in their [`Policy`].

use super::{Prepared, Preparer};
use crate::pace::{Backoff, Jitter};
use crate::process::{Decision, Incoming, Outcome};
use pudato_handler::FollowUp;
use pudato_messaging::{Clock, Consumer, Deleted, Error, IdempotencyStore, Lease};
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
    /// Makes the answer of a decision ready, if it has one. Storing a claim may take minutes, so this happens while the lease is still
    /// renewed.
    pub async fn prepare(&self, decision: &Decision) -> Option<Result<Prepared, Error>> {
        let (outcome, follow_up) = match decision {
            Decision::Done(outcome) => (outcome, None),
            Decision::Pending(outcome, follow_up) => (outcome, Some(&**follow_up)),
            _ => return None,
        };
        let limits = self.consumer.limits();
        Some(self.preparer.prepare(outcome, follow_up, &limits).await)
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

/// Carries out a decision. `prepared` is the return value of [`Settling::prepare`]. A message that cannot be settled stays on its queue and
/// is redelivered.
pub async fn carry_out(
    settling: Settling<'_>,
    policy: &impl Policy,
    (message, lease): (&Incoming, Lease),
    decision: Decision,
    prepared: Option<Result<Prepared, Error>>,
) {
    let settled = match (decision, prepared) {
        (Decision::Done(outcome), Some(prepared)) => {
            publish(policy, lease, (&outcome, None), prepared).await
        }
        (Decision::Pending(outcome, follow_up), Some(prepared)) => {
            publish(policy, lease, (&outcome, Some(&follow_up)), prepared).await
        }
        (decision, _) => turn_away(settling, policy, (message, lease), decision).await,
    };
    if let Err(error) = settled {
        let message_id = &message.message_id;
        tracing::warn!(%error, message_id, "the message could not be settled; it will be redelivered");
    }
}

async fn publish(
    policy: &impl Policy,
    lease: Lease,
    answer: Answer<'_>,
    prepared: Result<Prepared, Error>,
) -> Result<(), Error> {
    match policy.settle(lease, answer, prepared).await? {
        Deleted::LeaseLost => tracing::warn!("the lease was lost; the answer is not published"),
        Deleted::Deleted | Deleted::Unknown => {
            let result = &answer.0.result;
            tracing::debug!(status = ?result.status, duration_ms = result.duration_ms, "the command was answered");
        }
    }
    Ok(())
}

/// Releases the message or dead-letters it.
async fn turn_away(
    settling: Settling<'_>,
    policy: &impl Policy,
    (message, lease): (&Incoming, Lease),
    decision: Decision,
) -> Result<(), Error> {
    let Settling {
        consumer,
        clock,
        jitter,
        ..
    } = settling;
    let attempt = message.attempt.unwrap_or(1);
    match decision {
        Decision::Retry { why, after } => {
            let after = after.unwrap_or_else(|| Backoff::RETRY.wait(attempt, jitter));
            tracing::warn!(%why, after_s = after.as_secs(), "the command failed; it will be redelivered");
            consumer.release(lease, after).await
        }
        Decision::Busy { until_ms } => {
            let left_ms = until_ms.saturating_sub(clock.now_ms());
            tracing::info!("the same request is running elsewhere; the message is released");
            let after = Duration::from_millis(left_ms);
            consumer.release(lease, after).await
        }
        Decision::Unavailable { why } => {
            let after = policy.unavailable_for(attempt);
            tracing::warn!(%why, after_s = after.as_secs(), "a backend is unavailable; the message is released");
            consumer.release(lease, after).await
        }
        Decision::Reject { why, result } => {
            tracing::error!(%why, "the message cannot be handled; it moves to the dead-letter queue");
            let publish = settling.preparer.result(result.as_deref()).await?;
            consumer.dead_letter(lease, &why, publish).await
        }
        // Without messages there is nothing to publish. The message is redelivered and answered then.
        Decision::Done(_) | Decision::Pending(..) => consumer.release(lease, Duration::ZERO).await,
    }
}
