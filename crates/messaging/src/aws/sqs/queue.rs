//! One SQS queue: its attributes, and the port that the other files of this folder implement together.

use super::event_source::EventSource;
use super::held::Held;
use super::recently_deleted::RecentlyDeleted;
use super::{dead_letters, receipt, settle};
use crate::aws::Shared;
use crate::aws::entries::BatchOutcome;
use crate::aws::error::failed;
use crate::aws::publisher::SnsPublisher;
use crate::aws::wire;
use crate::{
    ClaimStore, Consumer, Deleted, Delivery, Error, Hold, IdempotencyRecord, IdempotencyStore,
    Kept, Lease, Limits, Message, Receive, Settlement,
};
use async_trait::async_trait;
use aws_sdk_sqs::types::{QueueAttributeName, SendMessageBatchRequestEntry};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The most entries of one batch.
pub(super) const BATCH: usize = 10;

/// How long a batch waits for more entries while other calls are running.
pub(in crate::aws) const FILL: Duration = Duration::from_millis(50);

/// Receives the messages of one queue.
pub struct SqsConsumer {
    pub(super) shared: Arc<Shared>,
    pub(super) publisher: SnsPublisher,
    pub(super) queue: String,
    pub(super) url: String,
    pub(super) visibility: Duration,
    pub(super) attempt_max: Option<u32>,
    /// The ARN of the dead-letter queue.
    pub(super) dead_letters: Option<String>,
    pub(super) limits: Limits,
    pub(super) recently_deleted: Mutex<RecentlyDeleted>,
    /// The messages in progress. Dead-lettering needs their bodies, which SQS does not return again.
    pub(super) held: Mutex<HashMap<String, Held>>,
    /// The earliest time of the next receive.
    pub(super) next_receive: Mutex<Option<Instant>>,
    pub(super) answers: Option<Arc<dyn IdempotencyStore>>,
    /// The event source that receives and deletes in place of this consumer.
    pub(super) source: Option<EventSource>,
    pub(super) claims: Option<Arc<dyn ClaimStore>>,
}

/// Milliseconds, saturating.
pub(super) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds, rounded up, because SQS accepts no fractions.
pub(super) fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX)
}

impl SqsConsumer {
    pub(in crate::aws) async fn new(
        shared: Arc<Shared>,
        publisher: SnsPublisher,
        queue: &str,
    ) -> Result<Self, Error> {
        let url = shared.queue(queue).await?;
        let asked = shared
            .sqs
            .get_queue_attributes()
            .queue_url(&url)
            .attribute_names(QueueAttributeName::All);
        let found = asked.send().await;
        let found = found.map_err(|error| failed(&format!("queue {queue}"), error))?;
        let attributes = found.attributes.unwrap_or_default();
        let number = |name: QueueAttributeName| attributes.get(&name)?.parse::<u64>().ok();
        let visibility = number(QueueAttributeName::VisibilityTimeout).unwrap_or(30);
        let bytes = number(QueueAttributeName::MaximumMessageSize);
        let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
        let redrive: Value = attributes
            .get(&QueueAttributeName::RedrivePolicy)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        // AWS writes the count as a number, some emulators as a text.
        let count = &redrive["maxReceiveCount"];
        let count = count
            .as_u64()
            .or_else(|| count.as_str().and_then(|text| text.parse().ok()));
        Ok(Self {
            publisher,
            queue: queue.to_owned(),
            url,
            visibility: Duration::from_secs(visibility),
            attempt_max: count.and_then(|count| u32::try_from(count).ok()),
            dead_letters: redrive["deadLetterTargetArn"].as_str().map(str::to_owned),
            limits: Limits {
                message_bytes_max: bytes.unwrap_or(Limits::SQS.message_bytes_max),
                batch_fill: FILL,
                ..Limits::SQS
            },
            recently_deleted: Mutex::default(),
            held: Mutex::default(),
            next_receive: Mutex::default(),
            answers: None,
            source: None,
            claims: None,
            shared,
        })
    }

    /// Stores answers in `answers` before the messages that follow from them are published.
    #[must_use]
    pub fn with_answers(mut self, answers: Arc<dyn IdempotencyStore>) -> Self {
        self.answers = Some(answers);
        self
    }

    /// Stores a dead letter in `claims` if its reason makes it too large.
    #[must_use]
    pub fn with_claims(mut self, claims: Arc<dyn ClaimStore>) -> Self {
        self.claims = Some(claims);
        self
    }

    /// Checks a whole settlement before any of it is carried out.
    pub(super) async fn check(&self, settlement: &Settlement) -> Result<(), Error> {
        receipt::read(&self.queue, &settlement.lease)?;
        for (topic, message) in &settlement.publish {
            self.publisher.check(topic, message).await?;
        }
        for (delay, message) in &settlement.schedule {
            self.limits.check(message)?;
            self.limits.check_delay(*delay)?;
        }
        Ok(())
    }

    /// Stores answers. Returns false for a request that belongs to another worker by now.
    pub(super) async fn keep(&self, answered: Vec<IdempotencyRecord>) -> Vec<Result<bool, Error>> {
        match &self.answers {
            Some(answers) if !answered.is_empty() => answers.finish_all(answered).await,
            _ => answered.iter().map(|_| Ok(true)).collect(),
        }
    }

    /// The visibility timeout of the queue.
    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    pub(super) fn context(&self) -> String {
        format!("queue {}", self.queue)
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }
}

#[async_trait]
impl Consumer for SqsConsumer {
    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    async fn receive(&self, receive: Receive) -> Result<Vec<Delivery>, Error> {
        self.receive_batch(receive).await
    }

    async fn delete(&self, leases: Vec<Lease>) -> Vec<Result<Deleted, Error>> {
        let mut answers = Vec::with_capacity(leases.len());
        if let Some(source) = &self.source {
            answers = source.delete(&self.queue, &leases);
        } else {
            for batch in leases.chunks(BATCH) {
                answers.extend(self.delete_batch(batch).await);
            }
        }
        leases.iter().for_each(|lease| self.let_go(lease));
        answers
    }

    async fn renew(&self, leases: Vec<&mut Lease>, want: Duration) -> Vec<Result<(), Error>> {
        self.renew_all(&self.shared.sqs, leases, want).await
    }

    /// As the default, but over connections reserved for renewals. Other connections share their tasks with a runtime that may be busy.
    async fn hold(&self, held: Vec<Hold<'_>>, want: Duration) -> Vec<Result<Kept, Error>> {
        let (leases, kept): (Vec<_>, Vec<_>) = held
            .into_iter()
            .map(|held| (held.lease, Kept::renewed(held.request)))
            .unzip();
        let renewed = self.renew_all(self.shared.renewals(), leases, want).await;
        let entries = renewed.into_iter().zip(kept);
        entries
            .map(|(renewed, kept)| renewed.map(|()| kept))
            .collect()
    }

    async fn release(&self, lease: Lease, after: Duration) -> Result<(), Error> {
        self.release_one(lease, after).await
    }

    async fn dead_letter(
        &self,
        lease: Lease,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<(), Error> {
        dead_letters::give_up(self, lease, reason, publish).await
    }

    async fn schedule(
        &self,
        messages: Vec<(Duration, Message)>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        self.limits
            .check_batch(messages.iter().map(|(_, message)| message))?;
        let mut answers = BatchOutcome::new("schedule");
        let mut entries = Vec::new();
        for (delay, message) in &messages {
            let checked = self
                .limits
                .check(message)
                .and_then(|()| self.limits.check_delay(*delay))
                .and_then(|()| wire::sqs_attributes(&message.attributes));
            match checked {
                Err(error) => answers.refused(error),
                Ok(attributes) => {
                    let built = SendMessageBatchRequestEntry::builder()
                        .id(answers.sent())
                        .message_body(&message.body)
                        .delay_seconds(seconds(*delay))
                        .set_message_attributes(Some(attributes).filter(|all| !all.is_empty()))
                        .build();
                    entries.extend(built.ok());
                }
            }
        }
        if entries.is_empty() {
            return Ok(answers.into_vec());
        }
        let call = self
            .shared
            .sqs
            .send_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries));
        let sent = call.send().await;
        let sent = sent.map_err(|error| failed(&self.context(), error))?;
        for done in sent.successful() {
            if let Some(n) = answers.place(done.id()) {
                answers.set(n, Ok(done.message_id().to_owned()));
            }
        }
        for refused in sent.failed() {
            answers.failed(refused.id(), refused.code(), refused.message());
        }
        Ok(answers.into_vec())
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<Deleted, Error>> {
        settle::settle(self, settlements).await
    }
}
