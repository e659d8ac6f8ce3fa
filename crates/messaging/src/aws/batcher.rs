//! Sends messages of one topic in batches, because AWS bills calls, not messages.
//!
//! A message that arrives while no call is running is sent at once. While calls are running, messages collect until there are ten entries,
//! the bytes of a batch, or 50 ms have passed.

use super::calls::Calls;
use super::entries::BatchOutcome;
use super::error::failed;
use super::publisher::MESSAGE_BYTES;
use super::wire;
use crate::{ClaimStore, Clock, Error, ErrorKind, Limits, Message, claims};
use aws_sdk_sns::types::PublishBatchRequestEntry;
use futures_util::future::join_all;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

/// The most concurrent calls for one topic. Beyond that, messages and their publishers wait.
const CALLS_MAX: usize = 4;
/// The most groups of messages that wait for a batch.
const WAITING_MAX: usize = 100;
/// The most tries of an entry that failed in a call that succeeded.
const TRIES_MAX: u32 = 5;
/// The longest wait before the second try. It doubles with each further try.
const BACKOFF: Duration = Duration::from_millis(100);

/// A message, and the publisher that waits for its id.
struct Waiting {
    message: Message,
    answer: oneshot::Sender<Result<String, Error>>,
}

/// The queue of messages for one topic.
#[derive(Clone)]
pub(super) struct Batcher {
    queue: mpsc::Sender<Vec<Waiting>>,
}

/// Sends batches to one topic.
pub(super) struct Sender {
    pub(super) sns: aws_sdk_sns::Client,
    pub(super) calls: Calls,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) claims: Option<Arc<dyn ClaimStore>>,
    pub(super) topic_arn: String,
    pub(super) limits: Limits,
    /// The most bytes of a message or a batch that the topic has proved to take. Some topics take less than they state.
    pub(super) bytes_max: Arc<AtomicUsize>,
}

impl Batcher {
    pub(super) fn start(sender: Sender) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let sender = Arc::new(sender);
        tokio::spawn(run(sender, waiting));
        Self { queue }
    }

    /// Sends the valid messages, together where they fit. Returns the results in the order of the messages, including those for invalid
    /// ones.
    pub(super) async fn send(
        &self,
        messages: Vec<Result<Message, Error>>,
    ) -> Vec<Result<String, Error>> {
        let gone = || {
            Error::new(
                ErrorKind::Unavailable,
                "publish: the program is shutting down",
            )
        };
        let (mut group, mut answers) = (Vec::new(), Vec::with_capacity(messages.len()));
        for message in messages {
            answers.push(message.map(|message| {
                let (answer, answered) = oneshot::channel();
                group.push(Waiting { message, answer });
                answered
            }));
        }
        if !group.is_empty() {
            // If this fails, receiving the answers fails as well.
            let _ = self.queue.send(group).await;
        }
        let answers = answers.into_iter().map(|answer| async move {
            match answer {
                Ok(answered) => answered.await.unwrap_or_else(|_| Err(gone())),
                Err(error) => Err(error),
            }
        });
        join_all(answers).await
    }
}

async fn run(sender: Arc<Sender>, mut waiting: mpsc::Receiver<Vec<Waiting>>) {
    let calls = Arc::new(Semaphore::new(CALLS_MAX));
    let mut left: VecDeque<Waiting> = VecDeque::new();
    loop {
        if left.is_empty() {
            match waiting.recv().await {
                Some(group) => left.extend(group),
                None => return,
            }
        }
        let Ok(permit) = Arc::clone(&calls).acquire_owned().await else {
            return;
        };
        // This call has a permit as well.
        let others = CALLS_MAX - 1 - calls.available_permits();
        let until = Instant::now() + sender.limits.batch_fill;
        let batch = loop {
            // No more than fits into one call: the rest waits in the bounded channel.
            while left.len() < sender.limits.batch_entries_max
                && let Ok(group) = waiting.try_recv()
            {
                left.extend(group);
            }
            let bytes_max = sender.bytes_max.load(Ordering::Relaxed);
            let (count, is_full) = fitting(&left, sender.limits.batch_entries_max, bytes_max);
            if is_full || others == 0 {
                break left.drain(..count).collect();
            }
            match timeout_at(until, waiting.recv()).await {
                Ok(Some(group)) => left.extend(group),
                _ => break left.drain(..count).collect(),
            }
        };
        let sender = Arc::clone(&sender);
        tokio::spawn(async move {
            sender.send(batch).await;
            drop(permit);
        });
    }
}

/// The number of messages from the front that fit into one call, and whether the call is then full.
fn fitting(left: &VecDeque<Waiting>, entries_max: usize, bytes_max: usize) -> (usize, bool) {
    let mut bytes = 0;
    for (n, waiting) in left.iter().enumerate() {
        bytes += waiting.message.bytes();
        if n == entries_max || (n > 0 && bytes > bytes_max) {
            return (n, true);
        }
    }
    (left.len(), left.len() == entries_max)
}

impl Sender {
    /// Sends a batch. Entries that fail alone are retried alone.
    async fn send(&self, mut batch: Vec<Waiting>) {
        for turn in 1.. {
            let messages: Vec<&Message> = batch.iter().map(|waiting| &waiting.message).collect();
            let answers = self.call(&messages).await;
            let answers = self.smaller(&messages, answers).await;
            let mut again = Vec::new();
            for (waiting, answer) in batch.into_iter().zip(answers) {
                match answer {
                    Err(error) if error.is_retryable() && turn < TRIES_MAX => again.push(waiting),
                    answer => {
                        // The publisher may be gone.
                        let _ = waiting.answer.send(answer);
                    }
                }
            }
            if again.is_empty() {
                return;
            }
            batch = again;
            let longest = BACKOFF * 2_u32.pow(turn - 1);
            sleep(longest.mul_f64(fastrand::f64())).await;
        }
    }

    /// Retries messages that may have been refused for their size. A topic may take less than it states, and the error code does not
    /// distinguish this from other faults of a message. A message from a call larger than every topic takes is therefore sent once more:
    /// alone, and as a claim if it is itself that large. If that works, the size was the cause, and the stated limit is no longer trusted.
    async fn smaller(
        &self,
        batch: &[&Message],
        mut answers: Vec<Result<String, Error>>,
    ) -> Vec<Result<String, Error>> {
        let bytes: usize = batch.iter().map(|message| message.bytes()).sum();
        if bytes <= MESSAGE_BYTES {
            return answers;
        }
        for (message, answer) in batch.iter().zip(&mut answers) {
            let kind = answer.as_ref().err().map(|error| error.kind);
            if !matches!(kind, Some(ErrorKind::Invalid | ErrorKind::TooLarge)) {
                continue;
            }
            let is_large = message.bytes() > MESSAGE_BYTES;
            let again = match (&self.claims, is_large) {
                (_, false) => self.call(&[message]).await.pop(),
                (None, true) => None,
                (Some(claims), true) => {
                    let claim = claims::put((*message).clone(), &**claims, &*self.clock).await;
                    match claim {
                        Ok(claim) => self.call(&[&claim]).await.pop(),
                        Err(error) => Some(Err(error)),
                    }
                }
            };
            if let Some(again) = again {
                if again.is_ok()
                    && self.bytes_max.fetch_min(MESSAGE_BYTES, Ordering::Relaxed) > MESSAGE_BYTES
                {
                    let topic = &self.topic_arn;
                    tracing::warn!(
                        topic,
                        "the topic takes less than its MaximumMessageSize; pudato sends every message over {MESSAGE_BYTES} bytes as a claim from now on"
                    );
                }
                *answer = again;
            }
        }
        answers
    }

    /// Makes one call. Returns the results in the order of the batch.
    async fn call(&self, batch: &[&Message]) -> Vec<Result<String, Error>> {
        let mut answers = BatchOutcome::new("publish");
        let mut entries = Vec::new();
        for message in batch {
            match wire::sns_attributes(message) {
                Err(error) => answers.refused(error),
                Ok(attributes) => {
                    let built = PublishBatchRequestEntry::builder()
                        .id(answers.sent())
                        .message(&message.body)
                        .set_message_attributes(Some(attributes).filter(|all| !all.is_empty()))
                        .build();
                    entries.extend(built.ok());
                }
            }
        }
        if entries.is_empty() {
            return answers.into_vec();
        }
        let bytes = batch.iter().map(|message| message.bytes()).sum();
        self.calls.carried("SNS PublishBatch", bytes);
        let call = self
            .sns
            .publish_batch()
            .topic_arn(&self.topic_arn)
            .set_publish_batch_request_entries(Some(entries));
        match call.send().await {
            Err(error) => answers.all_failed(&failed("publish", error)),
            Ok(sent) => {
                for done in sent.successful() {
                    if let Some(n) = done.id().and_then(|id| answers.place(id)) {
                        answers.set(n, Ok(done.message_id().unwrap_or_default().to_owned()));
                    }
                }
                for refused in sent.failed() {
                    answers.failed(refused.id(), refused.code(), refused.message());
                }
            }
        }
        answers.into_vec()
    }
}
