//! SNS and SQS, used directly: a topic is an SNS topic, a queue an SQS queue that hears it.
//!
//! What this backend cannot tell: whether a delete with an old receipt deleted anything ([`Deleted::Unknown`](crate::Deleted)), and
//! the messages of all queues by an attribute.

mod batcher;
mod connect;
mod consumer;
mod dead_letters;
mod declare;
mod error;
mod handled;
mod operations;
mod publisher;
mod receipt;
mod settle;
mod wire;

pub use connect::Places;
pub use consumer::SqsConsumer;
pub use publisher::SnsPublisher;

use crate::{Clock, Error, ErrorKind, Topology};
use error::failed;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// SNS and SQS of one account and region. Clones share their connections.
#[derive(Clone)]
pub struct AwsFabric {
    shared: Arc<Shared>,
    publisher: SnsPublisher,
}

struct Shared {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    clock: Arc<dyn Clock>,
    /// The ARN of each topic, by the name that pudato calls it.
    topics: RwLock<BTreeMap<String, String>>,
    /// The URL of each queue, likewise.
    queues: RwLock<BTreeMap<String, String>>,
}

impl AwsFabric {
    /// Connects by the SDK's own chain of credentials, region, profile and endpoint. `places` says where topics and queues are.
    pub async fn connect(places: Places, clock: Arc<dyn Clock>) -> Self {
        let config = connect::config(places.endpoint.as_deref()).await;
        Self::with_config(&config, places, clock)
    }

    /// As [`Self::connect`], with what the caller has configured.
    pub fn with_config(
        config: &aws_config::SdkConfig,
        places: Places,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let sns = aws_sdk_sns::Client::new(config);
        let sqs = aws_sdk_sqs::Client::new(config);
        let shared = Arc::new(Shared {
            sns,
            sqs,
            clock,
            topics: RwLock::new(places.topics),
            queues: RwLock::new(places.queues),
        });
        Self {
            publisher: SnsPublisher::new(Arc::clone(&shared)),
            shared,
        }
    }

    /// Publishes to its topics. All who publish share their batches.
    pub fn publisher(&self) -> SnsPublisher {
        self.publisher.clone()
    }

    /// A consumer of `queue`.
    ///
    /// # Errors
    /// `NotFound`: the queue is unknown or gone.
    pub async fn consumer(&self, queue: &str) -> Result<SqsConsumer, Error> {
        SqsConsumer::new(Arc::clone(&self.shared), self.publisher(), queue).await
    }

    /// Creates topics, queues and subscriptions; what exists with the same attributes stays as it is. For emulators and tests:
    /// Terraform is the way on AWS.
    ///
    /// # Errors
    /// `Invalid`: see [`Topology::check`]; or something exists with other attributes.
    pub async fn declare(&self, topology: Topology) -> Result<(), Error> {
        declare::declare(&self.shared, topology).await
    }
}

impl Shared {
    fn topic(&self, name: &str) -> Result<String, Error> {
        find(&self.topics, "topic", name)
    }

    /// The URL of a queue: that was named, or asked for by its name.
    async fn queue(&self, name: &str) -> Result<String, Error> {
        if let Ok(known) = find(&self.queues, "queue", name) {
            return Ok(known);
        }
        let asked = self.sqs.get_queue_url().queue_name(name).send().await;
        let found = asked.map_err(|error| failed(&format!("queue {name}"), error))?;
        let url = found.queue_url.unwrap_or_default();
        self.remember_queue(name, &url);
        Ok(url)
    }

    fn remember_topic(&self, name: &str, arn: &str) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(name.to_owned(), arn.to_owned());
    }

    fn remember_queue(&self, name: &str, url: &str) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.insert(name.to_owned(), url.to_owned());
    }
}

fn find(
    places: &RwLock<BTreeMap<String, String>>,
    what: &str,
    name: &str,
) -> Result<String, Error> {
    let places = places.read().unwrap_or_else(PoisonError::into_inner);
    places.get(name).cloned().ok_or_else(|| {
        let context = format!("{what} {name}: nobody said where it is");
        Error::new(ErrorKind::NotFound, context)
    })
}
