//! Receives from SQS.

use super::entries::Answers;
use super::error::{failed, without_namespace};
use super::event_source::EventSource;
use super::handled::Handled;
use super::publisher::SnsPublisher;
use super::wire::{self, Origin, OtherAttributes};
use super::{Shared, dead_letters, receipt, settle};
use crate::{
    ClaimStore, Consumer, Deleted, Delivery, Error, ErrorKind, Hold, IdempotencyRecord,
    IdempotencyStore, Kept, Lease, Limits, Outgoing, Receive, Settlement,
};
use async_trait::async_trait;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName,
    SendMessageBatchRequestEntry,
};
use futures_util::future::join_all;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Entries of one batch (behaviours.md, row 3).
const BATCH: usize = 10;

/// How long a batch is filled while others are on their way.
pub(super) const FILL: Duration = Duration::from_millis(50);
/// After a receive that found some messages and not as many as it asked for, the next begins no earlier than this: AWS bills calls,
/// and what comes in the meantime comes in one of them.
const GATHER: Duration = Duration::from_millis(20);

/// Receives the messages of one queue.
pub struct SqsConsumer {
    pub(super) shared: Arc<Shared>,
    pub(super) publisher: SnsPublisher,
    pub(super) queue: String,
    pub(super) url: String,
    visibility: Duration,
    pub(super) attempt_max: Option<u32>,
    /// The ARN of the dead-letter queue.
    pub(super) dead_letters: Option<String>,
    pub(super) limits: Limits,
    handled: Mutex<Handled>,
    /// Messages in hand: SQS does not give one a second time to who must send it elsewhere.
    held: Mutex<HashMap<String, Held>>,
    /// Before this no receive begins.
    next_receive: Mutex<Option<Instant>>,
    answers: Option<Arc<dyn IdempotencyStore>>,
    /// Who receives and deletes instead.
    pub(super) source: Option<EventSource>,
    pub(super) claims: Option<Arc<dyn ClaimStore>>,
}

/// A message in hand.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) body: String,
    pub(super) attributes: BTreeMap<String, String>,
    /// Those that are no texts.
    pub(super) others: HashMap<String, MessageAttributeValue>,
    /// Which attempt this is.
    pub(super) attempt: Option<u32>,
    until_ms: u64,
}

/// Milliseconds, as far as they can be written.
fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds, rounded up: SQS knows no others.
fn seconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX)
}

impl SqsConsumer {
    pub(super) async fn new(
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
        // Some write the count as a number, some as a text.
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
            handled: Mutex::default(),
            held: Mutex::default(),
            next_receive: Mutex::default(),
            answers: None,
            source: None,
            claims: None,
            shared,
        })
    }

    /// Keeps answers in `answers` before what follows from them is published.
    #[must_use]
    pub fn with_answers(mut self, answers: Arc<dyn IdempotencyStore>) -> Self {
        self.answers = Some(answers);
        self
    }

    /// Puts a dead letter that its reason makes too large into `claims`.
    #[must_use]
    pub fn with_claims(mut self, claims: Arc<dyn ClaimStore>) -> Self {
        self.claims = Some(claims);
        self
    }

    /// Checks all that a settlement would do, before any of it is done.
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

    /// Keeps answers; false where a request is another's by now.
    pub(super) async fn keep(&self, answered: Vec<IdempotencyRecord>) -> Vec<Result<bool, Error>> {
        match &self.answers {
            Some(answers) if !answered.is_empty() => answers.finish_all(answered).await,
            _ => answered.iter().map(|_| Ok(true)).collect(),
        }
    }

    /// How long the queue hides a message that was received.
    pub fn visibility(&self) -> Duration {
        self.visibility
    }

    /// The message of a lease.
    pub(super) fn held(&self, lease: &Lease) -> Result<Held, Error> {
        let receipt = receipt::read(&self.queue, lease)?;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(receipt.message_id).cloned().ok_or_else(|| {
            let what = "lease: its message is not in hand any more";
            Error::new(ErrorKind::Invalid, what)
        })
    }

    pub(super) fn hold(&self, deliveries: &[Delivery], mut others: OtherAttributes) {
        let now_ms = self.now_ms();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // Who lost a lease does not come back for its message.
        held.retain(|_, held| held.until_ms > now_ms);
        for delivery in deliveries {
            let until_ms = now_ms.saturating_add(ms(self.limits.lease_max));
            held.insert(
                delivery.message_id.clone(),
                Held {
                    body: String::from_utf8_lossy(&delivery.body).into_owned(),
                    attributes: delivery.attributes.clone(),
                    others: others.remove(&delivery.message_id).unwrap_or_default(),
                    attempt: delivery.attempt,
                    until_ms,
                },
            );
        }
    }

    fn let_go(&self, lease: &Lease) {
        if let Ok(receipt) = receipt::read(&self.queue, lease) {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.remove(receipt.message_id);
        }
    }

    pub(super) fn context(&self) -> String {
        format!("queue {}", self.queue)
    }

    fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    /// Deletes again what was deleted before: its handler ran, and SQS forgot.
    async fn delete_again(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let handled = |delivery: &Delivery| {
            let handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
            handled.contains(&delivery.message_id)
        };
        let (again, new): (Vec<_>, Vec<_>) = deliveries.into_iter().partition(handled);
        if !again.is_empty() {
            tracing::debug!(count = again.len(), queue = %self.queue, "deleted before and delivered again");
            let leases = again.into_iter().map(|delivery| delivery.lease);
            self.delete(leases.collect()).await;
        }
        new
    }

    async fn delete_batch(&self, leases: &[Lease]) -> Vec<Result<Deleted, Error>> {
        let mut answers = Answers::new("delete");
        let mut entries = Vec::new();
        for lease in leases {
            match receipt::read(&self.queue, lease) {
                Err(error) => answers.refused(error),
                Ok(receipt) => {
                    let built = DeleteMessageBatchRequestEntry::builder()
                        .id(answers.sent())
                        .receipt_handle(receipt.handle)
                        .build();
                    entries.extend(built.ok());
                }
            }
        }
        if entries.is_empty() {
            return answers.into_vec();
        }
        let call = self
            .shared
            .sqs
            .delete_message_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries));
        match call.send().await {
            Err(error) => answers.all_failed(&failed(&self.context(), error)),
            Ok(done) => {
                let mut handled = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
                for deleted in done.successful() {
                    let Some(n) = answers.place(deleted.id()) else {
                        continue;
                    };
                    answers.set(n, Ok(Deleted::Unknown));
                    if let Ok(receipt) = receipt::read(&self.queue, &leases[n]) {
                        handled.insert(receipt.message_id, self.now_ms());
                    }
                }
                for refused in done.failed() {
                    // It was handed out here, so it is no forgery: it is old, and SQS says nothing more of it. (SQS itself accepts
                    // an old one; ministack 1.5.33 does not.)
                    match answers.place(refused.id()) {
                        Some(n)
                            if without_namespace(refused.code()) == "ReceiptHandleIsInvalid" =>
                        {
                            answers.set(n, Ok(Deleted::Unknown));
                        }
                        _ => answers.failed(refused.id(), refused.code(), refused.message()),
                    }
                }
            }
        }
        answers.into_vec()
    }

    /// All batches at once: none waits for another's call.
    async fn renew_all(
        &self,
        sqs: &aws_sdk_sqs::Client,
        mut leases: Vec<&mut Lease>,
        want: Duration,
    ) -> Vec<Result<(), Error>> {
        let batches = leases.chunks_mut(BATCH);
        let calls = batches.map(|batch| self.renew_batch(sqs, batch, want));
        join_all(calls).await.into_iter().flatten().collect()
    }

    async fn renew_batch(
        &self,
        sqs: &aws_sdk_sqs::Client,
        leases: &mut [&mut Lease],
        want: Duration,
    ) -> Vec<Result<(), Error>> {
        let now_ms = self.now_ms();
        let mut answers = Answers::new("renew");
        let mut entries = Vec::new();
        for lease in leases.iter() {
            match self.check_renewal(lease, want, now_ms) {
                Err(error) => answers.refused(error),
                Ok(handle) => {
                    let built = ChangeMessageVisibilityBatchRequestEntry::builder()
                        .id(answers.sent())
                        .receipt_handle(handle)
                        .visibility_timeout(seconds(want))
                        .build();
                    entries.extend(built.ok());
                }
            }
        }
        if entries.is_empty() {
            return answers.into_vec();
        }
        let call = sqs
            .change_message_visibility_batch()
            .queue_url(&self.url)
            .set_entries(Some(entries));
        match call.send().await {
            Err(error) => answers.all_failed(&failed(&self.context(), error)),
            Ok(done) => {
                for renewed in done.successful() {
                    if let Some(n) = answers.place(renewed.id()) {
                        answers.set(n, Ok(()));
                        leases[n].deadline_ms = now_ms.saturating_add(ms(want));
                    }
                }
                for refused in done.failed() {
                    answers.failed(refused.id(), refused.code(), refused.message());
                }
            }
        }
        answers.into_vec()
    }

    /// SQS refuses more than 12 hours from the receive (behaviours.md, row 11).
    fn check_renewal<'a>(
        &self,
        lease: &'a Lease,
        want: Duration,
        now_ms: u64,
    ) -> Result<&'a str, Error> {
        let receipt = receipt::read(&self.queue, lease)?;
        // SQS counts whole seconds.
        let held_s = now_ms.saturating_sub(receipt.received_ms) / 1_000;
        if held_s.saturating_add(want.as_secs()) > self.limits.lease_max.as_secs() {
            let what = "lease: at most 12 hours from the receive";
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(receipt.handle)
    }
}

#[async_trait]
impl Consumer for SqsConsumer {
    fn limits(&self) -> Limits {
        self.limits.clone()
    }

    async fn receive(&self, receive: Receive) -> Result<Vec<Delivery>, Error> {
        self.limits.check_receive(receive)?;
        if receive.wait > Duration::ZERO {
            let next = *self
                .next_receive
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(next) = next {
                sleep_until(next).await;
            }
        }
        let received_ms = self.now_ms();
        let call = self
            .shared
            .sqs
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(receive.max).unwrap_or(1))
            .wait_time_seconds(seconds(receive.wait))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .customize()
            // Whoever receives tries again, and says so: a call that hangs shows after one attempt's time.
            .config_override(aws_sdk_sqs::Config::builder().retry_config(RetryConfig::disabled()));
        let received = call.send().await;
        let received = received.map_err(|error| failed(&self.context(), error))?;
        let origin = Origin {
            queue: &self.queue,
            // A long poll may have waited before it received.
            received_ms: received_ms.max(self.now_ms().saturating_sub(1_000)),
            visibility_ms: ms(self.visibility),
            attempt_max: self.attempt_max,
        };
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            self.shared.calls.empty_receive();
        }
        let bodies = messages.iter().filter_map(|message| message.body.as_ref());
        let bytes = bodies.map(String::len).sum();
        self.shared.calls.carried("SQS ReceiveMessage", bytes);
        let is_some = !messages.is_empty() && messages.len() < receive.max;
        let next = is_some.then(|| Instant::now() + GATHER);
        *self
            .next_receive
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = next;
        let others = wire::other_attributes(&messages);
        let messages = messages.into_iter();
        let deliveries = messages.map(|message| wire::delivery(message, &origin));
        let new = self.delete_again(deliveries.collect()).await;
        self.hold(&new, others);
        Ok(new)
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

    /// As the default, over connections that nothing else uses: those of the others go on with the tasks of their own runtime, which may
    /// be busy.
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
        let handle = self.check_renewal(&lease, after, self.now_ms())?;
        let call = self
            .shared
            .sqs
            .change_message_visibility()
            .queue_url(&self.url)
            .receipt_handle(handle)
            .visibility_timeout(seconds(after));
        let released = call.send().await;
        released.map_err(|error| failed(&self.context(), error))?;
        self.let_go(&lease);
        Ok(())
    }

    async fn dead_letter(
        &self,
        lease: Lease,
        reason: &str,
        publish: Vec<(String, Outgoing)>,
    ) -> Result<(), Error> {
        dead_letters::give_up(self, lease, reason, publish).await
    }

    async fn schedule(
        &self,
        messages: Vec<(Duration, Outgoing)>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        self.limits
            .check_batch(messages.iter().map(|(_, message)| message))?;
        let mut answers = Answers::new("schedule");
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
