//! Publishes to SNS.

use super::Shared;
use super::batcher::Batcher;
use super::consumer::FILL;
use super::error::failed;
use crate::{Error, ErrorKind, Limits, Outgoing, Publisher};
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// What SNS takes where a topic says nothing else (behaviours.md, row 5).
const MESSAGE_BYTES: usize = 262_144;

/// Publishes to topics, in batches. Clones share their batches.
#[derive(Clone)]
pub struct SnsPublisher {
    shared: Arc<Shared>,
    /// Each is asked for once, however many want it at the same time.
    topics: Arc<Mutex<HashMap<String, Arc<OnceCell<Topic>>>>>,
}

#[derive(Clone)]
struct Topic {
    limits: Limits,
    batcher: Batcher,
}

impl SnsPublisher {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            topics: Arc::default(),
        }
    }

    /// As [`Publisher::publish`], of any number and size.
    pub(super) async fn publish_any(
        &self,
        topic: &str,
        messages: Vec<Outgoing>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        let topic = self.topic(topic).await?;
        // SNS drops silently what a queue cannot take: it is refused here.
        let checked = messages.into_iter().map(|message| {
            topic.limits.check(&message)?;
            Ok(message)
        });
        Ok(topic.batcher.send(checked.collect()).await)
    }

    /// The topic, with the limit that is in force there.
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
            // Who may publish and not ask publishes what every topic takes: a handler's role has `sns:Publish` alone.
            Err(error) if matches!(error.kind, ErrorKind::Denied | ErrorKind::Invalid) => {
                tracing::debug!(%error, "the limits of every topic are used");
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
        Ok(Topic {
            batcher: Batcher::start(
                self.shared.sns.clone(),
                self.shared.calls.clone(),
                arn,
                limits.clone(),
            ),
            limits,
        })
    }
}

#[async_trait]
impl Publisher for SnsPublisher {
    async fn limits(&self, topic: &str) -> Result<Limits, Error> {
        Ok(self.topic(topic).await?.limits)
    }

    async fn publish(
        &self,
        topic: &str,
        messages: Vec<Outgoing>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        let limits = self.topic(topic).await?.limits;
        limits.check_batch(messages.iter())?;
        self.publish_any(topic, messages).await
    }
}
