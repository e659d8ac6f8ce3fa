//! Notifies the senders of commands that the broker moved to a dead-letter queue: a worker that crashes while it runs a command cannot
//! notify the sender itself.

use crate::outbox::Outbox;
use crate::pace::{millis, sleep_or_drain};
use crate::process::{Decision, reject};
use pudato_messaging::claims;
use pudato_messaging::{Clock, Error, Operations, Stored};
use pudato_protocol::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A queue whose number of messages has not changed since all of them were explained is searched again after this many rounds.
const ROUNDS_MAX: u32 = 10;
/// The most messages to explain in one round, per queue.
const LOOK_MAX: usize = 100;

/// Watches the dead-letter queues of commands.
pub struct DeadLetterWatch {
    /// Reads the queues.
    pub operations: Arc<dyn Operations>,
    /// The dead-letter queues.
    pub queues: Vec<String>,
    /// Makes the error Results ready to be published.
    pub outbox: Outbox,
    /// The topic of Results.
    pub results_topic: String,
    /// The time between two rounds.
    pub every: Duration,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

/// What is known about a queue since the last search.
#[derive(Default)]
struct Known {
    /// How many messages it had, all of them explained.
    count: u64,
    /// How many rounds skipped it because that number was unchanged.
    rounds: u32,
}

impl DeadLetterWatch {
    /// Watches until `drain` is cancelled.
    pub async fn run(&self, drain: CancellationToken) {
        let mut known = BTreeMap::new();
        loop {
            if let Err(error) = self.round(&mut known).await {
                tracing::warn!(%error, "reading the dead-letter queues failed");
            }
            let next_ms = self.clock.now_ms().saturating_add(millis(self.every));
            if !sleep_or_drain(&*self.clock, next_ms, &drain).await {
                return;
            }
        }
    }

    /// Searches every queue once. Returns how many messages were explained.
    ///
    /// # Errors
    /// The queues cannot be reached.
    pub async fn look(&self) -> Result<u64, Error> {
        self.round(&mut BTreeMap::new()).await
    }

    /// Searches the queues that may have new messages. On SQS, searching a queue means receiving its messages, and explained messages stay
    /// there for days.
    async fn round(&self, known: &mut BTreeMap<String, Known>) -> Result<u64, Error> {
        let mut all = 0;
        for queue in &self.queues {
            let count = self.operations.counts(queue).await?.visible;
            let known = known.entry(queue.clone()).or_default();
            if count == known.count && (count == 0 || known.rounds < ROUNDS_MAX) {
                known.rounds += 1;
                continue;
            }
            let (mut explained, mut failed) = (0, 0);
            for message in self.operations.unexplained(queue, LOOK_MAX).await? {
                match self.explain(queue, &message).await {
                    Ok(is_new) => explained += u64::from(is_new),
                    Err(error) => {
                        failed += 1;
                        // The other messages are explained nevertheless.
                        tracing::warn!(%error, queue, message_id = message.message_id, "the sender of a dead letter could not be notified");
                    }
                }
            }
            // A queue with new messages may have more of them, and failed ones are retried.
            let count = if explained + failed == 0 { count } else { 0 };
            *known = Known { count, rounds: 0 };
            all += explained;
        }
        Ok(all)
    }

    async fn explain(&self, queue: &str, message: &Stored) -> Result<bool, Error> {
        let attempts = match message.attempts {
            Some(attempts) => format!("{attempts} attempts"),
            None => "as many attempts as its queue allows".to_owned(),
        };
        let why = format!(
            "gave up after {attempts}: no worker finished the command; each worker stopped or crashed while running it"
        );
        let claims = &*self.outbox.claims;
        let resolved = claims::resolve(&message.body, &message.attributes, claims).await;
        let body = resolved.map_or(message.body.clone(), |resolved| resolved.body.into_owned());
        let Decision::Reject { why, result } = reject(why, &message.attributes, Some(&body)) else {
            return Ok(false);
        };
        let mut publish = Vec::new();
        if let Some(mut result) = result {
            result.timestamp = Timestamp::from_unix_ms(self.clock.now_ms());
            let topic = self.results_topic.clone();
            let message = self.outbox.result(&topic, &result).await?;
            publish.push((topic, message));
        }
        tracing::error!(queue, message_id = message.message_id, %why, "a command was dead-lettered by the broker");
        self.operations
            .explain(queue, &message.message_id, &why, publish)
            .await
    }
}
