//! Puts messages of one topic together: AWS bills calls, not messages.
//!
//! A message that comes while nothing is on its way is sent at once. While calls are on their way, what comes is kept until there
//! are ten entries, the bytes of a batch, or 50 ms have passed.

use super::error::{entry, failed};
use super::wire;
use crate::{Error, ErrorKind, Limits, Outgoing};
use aws_sdk_sns::types::PublishBatchRequestEntry;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

/// Batches of one topic on their way at once; more wait, and who publishes waits with them.
const CALLS_MAX: usize = 4;
/// Messages that wait for a batch.
const WAITING_MAX: usize = 100;
/// How long a batch is filled while others are on their way.
const FILL: Duration = Duration::from_millis(50);
/// How often an entry is tried that failed though its batch did not.
const TRIES_MAX: u32 = 5;
/// Longest wait before the second try; it doubles.
const BACKOFF: Duration = Duration::from_millis(100);

/// A message and who waits for its id.
struct Waiting {
    message: Outgoing,
    answer: oneshot::Sender<Result<String, Error>>,
}

/// The messages of one topic.
#[derive(Clone)]
pub(super) struct Batcher {
    queue: mpsc::Sender<Waiting>,
}

struct Sender {
    sns: aws_sdk_sns::Client,
    topic_arn: String,
    limits: Limits,
}

impl Batcher {
    pub(super) fn start(sns: aws_sdk_sns::Client, topic_arn: String, limits: Limits) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        let sender = Arc::new(Sender {
            sns,
            topic_arn,
            limits,
        });
        tokio::spawn(run(sender, waiting));
        Self { queue }
    }

    /// Answers the message's id when SNS has it.
    pub(super) async fn send(&self, message: Outgoing) -> Result<String, Error> {
        let (answer, answered) = oneshot::channel();
        let gone = || Error::new(ErrorKind::Unavailable, "publish: the program ends");
        let waiting = Waiting { message, answer };
        self.queue.send(waiting).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn run(sender: Arc<Sender>, mut waiting: mpsc::Receiver<Waiting>) {
    let calls = Arc::new(Semaphore::new(CALLS_MAX));
    let mut left_over = None;
    loop {
        let first = match left_over.take() {
            Some(first) => first,
            None => match waiting.recv().await {
                Some(first) => first,
                None => return,
            },
        };
        let Ok(permit) = Arc::clone(&calls).acquire_owned().await else {
            return;
        };
        // Our own call is one of them.
        let others = CALLS_MAX - 1 - calls.available_permits();
        let until = Instant::now() + if others == 0 { Duration::ZERO } else { FILL };
        let mut bytes = first.message.bytes();
        let mut batch = vec![first];
        while batch.len() < sender.limits.batch_entries_max {
            let next = match waiting.try_recv() {
                Ok(next) => Some(next),
                Err(_) if others == 0 => None,
                Err(_) => timeout_at(until, waiting.recv()).await.ok().flatten(),
            };
            let Some(next) = next else {
                break;
            };
            bytes += next.message.bytes();
            if bytes > sender.limits.batch_bytes_max {
                left_over = Some(next);
                break;
            }
            batch.push(next);
        }
        let sender = Arc::clone(&sender);
        tokio::spawn(async move {
            sender.send(batch).await;
            drop(permit);
        });
    }
}

impl Sender {
    /// Sends a batch; entries that fail alone are tried again alone.
    async fn send(&self, mut batch: Vec<Waiting>) {
        for turn in 1.. {
            let answers = self.call(&batch).await;
            let mut again = Vec::new();
            for (waiting, answer) in batch.into_iter().zip(answers) {
                match answer {
                    Err(error) if error.is_retryable() && turn < TRIES_MAX => again.push(waiting),
                    answer => {
                        // Who does not wait any more is told nothing.
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

    /// One call; the answers stand in the order of the batch.
    async fn call(&self, batch: &[Waiting]) -> Vec<Result<String, Error>> {
        let all = |error: Error| {
            let each = batch
                .iter()
                .map(|_| Err(Error::new(error.kind, error.context.clone())));
            each.collect::<Vec<_>>()
        };
        let entries = batch.iter().enumerate().map(|(n, waiting)| {
            let attributes = wire::sns_attributes(&waiting.message)?;
            PublishBatchRequestEntry::builder()
                .id(n.to_string())
                .message(&waiting.message.body)
                .set_message_attributes(Some(attributes).filter(|all| !all.is_empty()))
                .build()
                .map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
        });
        let entries = match entries.collect::<Result<Vec<_>, _>>() {
            Ok(entries) => entries,
            Err(error) => return all(error),
        };
        let call = self
            .sns
            .publish_batch()
            .topic_arn(&self.topic_arn)
            .set_publish_batch_request_entries(Some(entries));
        let sent = match call.send().await {
            Ok(sent) => sent,
            Err(error) => return all(failed("publish", error)),
        };
        // An entry that the answer says nothing of may have been sent: its sender tries again.
        let silence = || Err(Error::new(ErrorKind::Unavailable, "publish: no answer"));
        let mut answers: Vec<Result<String, Error>> = batch.iter().map(|_| silence()).collect();
        for done in sent.successful() {
            let place = done.id().and_then(|id| id.parse::<usize>().ok());
            if let Some(answer) = place.and_then(|n| answers.get_mut(n)) {
                *answer = Ok(done.message_id().unwrap_or_default().to_owned());
            }
        }
        for refused in sent.failed() {
            let place = refused.id().parse::<usize>().ok();
            if let Some(answer) = place.and_then(|n| answers.get_mut(n)) {
                *answer = Err(entry("publish", refused.code(), refused.message()));
            }
        }
        answers
    }
}
