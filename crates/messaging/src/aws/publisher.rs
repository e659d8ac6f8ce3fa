//! Publishes to SNS.

use super::Shared;
use super::batcher::{Batcher, Sender};
use super::error::failed;
use super::sqs::queue::FILL;
use crate::{ClaimStore, Error, ErrorKind, Limits, Message, Publisher};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// What SNS takes if the topic states no limit, and at least whatever limit it states.
pub(super) const MESSAGE_BYTES: usize = 262_144;

/// Publishes to topics, in batches. Clones share their batches.
#[derive(Clone)]
pub struct SnsPublisher {
    shared: Arc<Shared>,
    /// The topics. Concurrent publishers ask SNS once for each.
    topics: Arc<Mutex<HashMap<String, Arc<OnceCell<Topic>>>>>,
    /// Stores messages that a topic refuses for their size.
    claims: Option<Arc<dyn ClaimStore>>,
}

#[derive(Clone)]
struct Topic {
    /// The limit that the topic states. Messages are prepared for it, and may still become claims on the way.
    said: Limits,
    /// The limit that the topic has shown in practice.
    bytes_max: Arc<AtomicUsize>,
    batcher: Batcher,
}

impl Topic {
    fn limits(&self) -> Limits {
        let bytes = self.bytes_max.load(Ordering::Relaxed);
        Limits {
            message_bytes_max: bytes,
            batch_bytes_max: bytes,
            ..self.said.clone()
        }
    }
}

impl SnsPublisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            topics: Arc::default(),
            claims: None,
        }
    }

    /// Stores messages that a topic refuses for their size in `claims`.
    pub(super) fn with_claims(mut self, claims: Arc<dyn ClaimStore>) -> Self {
        self.claims = Some(claims);
        self
    }

    /// Refuses a message above the limit that `topic` states.
    pub(super) async fn check(&self, topic: &str, message: &Message) -> Result<(), Error> {
        self.topic(topic).await?.said.check(message)
    }

    /// As [`Publisher::publish`], for any number and size of messages.
    pub(super) async fn publish_any(
        &self,
        topic: &str,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        let topic = self.topic(topic).await?;
        // SNS silently drops characters that a queue cannot carry, so they are refused here.
        let checked = messages.into_iter().map(|message| {
            topic.said.check(&message)?;
            Ok(message)
        });
        Ok(topic.batcher.send(checked.collect()).await)
    }

    /// The topic, with its effective limit.
    async fn topic(&self, name: &str) -> Result<Topic, Error> {
        let known = {
            let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(topics.entry(name.to_owned()).or_default())
        };
        known.get_or_try_init(|| self.ask(name)).await.cloned()
    }

    async fn ask(&self, name: &str) -> Result<Topic, Error> {
        let arn = self.shared.topic(name)?;
        let asked = self.shared.sns.get_topic_attributes().topic_arn(&arn);
        let found = asked.send().await;
        let found = found.map_err(|error| failed(&format!("topic {name}"), error));
        let said = match found {
            Ok(found) => found
                .attributes
                .and_then(|mut all| all.remove("MaximumMessageSize")),
            // A role may be allowed to publish but not to ask for the limit, such as a handler's with `sns:Publish` alone. It then
            // publishes what every topic takes.
            Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Invalid) => {
                tracing::debug!(%error, "the limit of the topic cannot be read; pudato uses the one that every topic has");
                None
            }
            Err(error) => return Err(error),
        };
        let bytes = said
            .and_then(|text| text.parse().ok())
            .unwrap_or(MESSAGE_BYTES);
        let limits = Limits {
            message_bytes_max: bytes,
            batch_bytes_max: bytes,
            batch_fill: FILL,
            ..Limits::SQS
        };
        let bytes_max = Arc::new(AtomicUsize::new(bytes));
        let sender = Sender {
            sns: self.shared.sns.clone(),
            calls: self.shared.calls.clone(),
            clock: Arc::clone(&self.shared.clock),
            claims: self.claims.clone(),
            topic_arn: arn,
            limits: limits.clone(),
            bytes_max: Arc::clone(&bytes_max),
        };
        Ok(Topic {
            batcher: Batcher::start(sender),
            said: limits,
            bytes_max,
        })
    }
}

#[async_trait]
impl Publisher for SnsPublisher {
    async fn limits(&self, topic: &str) -> Result<Limits, Error> {
        Ok(self.topic(topic).await?.limits())
    }

    async fn publish(
        &self,
        topic: &str,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        let said = self.topic(topic).await?.said;
        said.check_batch(messages.iter())?;
        self.publish_any(topic, messages).await
    }
}
