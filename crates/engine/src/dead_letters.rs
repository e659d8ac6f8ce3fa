//! Tells the senders of commands that the broker moved to a dead-letter queue, where no worker could: one that crashes
//! with the command in hand says nothing.

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

/// A queue that has as many messages as when all of them were known is looked at again after so many rounds.
const ROUNDS_MAX: u32 = 10;
/// Most messages explained in one round and queue.
const LOOK_MAX: usize = 100;

/// Watches the dead-letter queues of commands.
pub struct DeadLetterWatch {
    /// Looks at queues.
    pub operations: Arc<dyn Operations>,
    /// The dead-letter queues.
    pub queues: Vec<String>,
    /// Makes the error Results ready.
    pub outbox: Outbox,
    /// Where they go.
    pub results_topic: String,
    /// How often the queues are looked at.
    pub every: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// What is known of a queue since it was looked at.
#[derive(Default)]
struct Known {
    /// How many messages it had, all of them explained.
    count: u64,
    /// How often it was not looked at since, because it still had as many.
    rounds: u32,
}

impl DeadLetterWatch {
    /// Watches until `drain` is cancelled.
    pub async fn run(&self, drain: CancellationToken) {
        let mut known = BTreeMap::new();
        loop {
            if let Err(error) = self.round(&mut known).await {
                tracing::warn!(%error, "the dead-letter queues could not be looked at");
            }
            let next_ms = self.clock.now_ms().saturating_add(millis(self.every));
            if !sleep_or_drain(&*self.clock, next_ms, &drain).await {
                return;
            }
        }
    }

    /// Looks at every queue once; answers how many messages were explained.
    ///
    /// # Errors
    /// The queues cannot be reached.
    pub async fn look(&self) -> Result<u64, Error> {
        self.round(&mut BTreeMap::new()).await
    }

    /// Looks at the queues that may have something new: on SQS looking is receiving, and what lies there comes again for days.
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
                        // The others are explained all the same.
                        tracing::warn!(%error, queue, message_id = message.message_id, "its sender could not be told");
                    }
                }
            }
            // Where there was something new there may be more, and what failed is tried again.
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
        tracing::error!(queue, message_id = message.message_id, %why, "a command was given up");
        self.operations
            .explain(queue, &message.message_id, &why, publish)
            .await
    }
}
