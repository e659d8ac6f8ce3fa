//! SNS and SQS, used directly: a topic is an SNS topic, a queue an SQS queue that hears it.
//!
//! What this backend cannot tell: whether a delete with an old receipt deleted anything ([`Deleted::Unknown`](crate::Deleted)), and
//! the messages of all queues by an attribute.

mod batcher;
mod calls;
mod connect;
mod entries;
mod error;
mod idempotency;
mod operations;
mod publisher;
mod replies;
mod signature;
mod sqs;
mod topology;
mod wire;

pub use calls::{BEYOND_64_KB, EMPTY_RECEIVES};
pub use connect::{Places, http_client, sdk_config};
pub use idempotency::DynamoIdempotencyStore;
pub use publisher::SnsPublisher;
pub use replies::{Reply, ReplyQueue};
pub use signature::{Fetch, OldestSignature, Signatures};
pub use sqs::SqsConsumer;
pub use topology::{Difference, Wrong};

use crate::{ClaimStore, Clock, Error, ErrorKind};
use calls::Calls;
use error::failed;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// SNS and SQS of one account and region. Clones share their connections.
#[derive(Clone)]
pub struct AwsFabric {
    shared: Arc<Shared>,
    publisher: SnsPublisher,
}

struct Shared {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    /// For renewals alone, with connections of its own; made when the first is due, since a Lambda never renews.
    renewals: OnceLock<aws_sdk_sqs::Client>,
    sts: aws_sdk_sts::Client,
    calls: Calls,
    clock: Arc<dyn Clock>,
    /// The ARN of each topic, by the name that pudato calls it.
    topics: RwLock<BTreeMap<String, String>>,
    /// The URL of each queue, likewise.
    queues: RwLock<BTreeMap<String, String>>,
}

impl AwsFabric {
    /// Uses what the SDK's configuration says ([`sdk_config`]); `places` says where topics and queues are.
    pub fn new(config: &aws_config::SdkConfig, places: Places, clock: Arc<dyn Clock>) -> Self {
        let calls = Calls::default();
        let sns = aws_sdk_sns::config::Builder::from(config).interceptor(calls.clone());
        let sns = aws_sdk_sns::Client::from_conf(sns.build());
        let sqs = aws_sdk_sqs::config::Builder::from(config).interceptor(calls.clone());
        let sqs = aws_sdk_sqs::Client::from_conf(sqs.build());
        let sts = aws_sdk_sts::Client::new(config);
        let shared = Arc::new(Shared {
            sns,
            sqs,
            renewals: OnceLock::new(),
            sts,
            calls,
            clock,
            topics: RwLock::new(places.topics),
            queues: RwLock::new(places.queues),
        });
        Self {
            publisher: SnsPublisher::new(Arc::clone(&shared)),
            shared,
        }
    }

    /// Stores messages in `claims` if a topic refuses them for their size, although its own limit allows them.
    #[must_use]
    pub fn with_claims(mut self, claims: Arc<dyn ClaimStore>) -> Self {
        self.publisher = self.publisher.with_claims(claims);
        self
    }

    /// Publishes to its topics. All who publish share their batches.
    pub fn publisher(&self) -> SnsPublisher {
        self.publisher.clone()
    }

    /// How often each verb of SNS and SQS was called since this was made, by `SQS ReceiveMessage` and the like.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.shared.calls.all()
    }

    /// The ARNs of the topics that are known.
    pub fn topic_arns(&self) -> Vec<String> {
        let topics = self.shared.topics.read();
        let topics = topics.unwrap_or_else(PoisonError::into_inner);
        topics.values().cloned().collect()
    }

    /// A consumer of `queue`.
    ///
    /// # Errors
    /// `NotFound`: the queue is unknown or gone.
    pub async fn consumer(&self, queue: &str) -> Result<SqsConsumer, Error> {
        SqsConsumer::new(Arc::clone(&self.shared), self.publisher(), queue).await
    }
}

impl Shared {
    fn renewals(&self) -> &aws_sdk_sqs::Client {
        self.renewals.get_or_init(|| {
            let config = self.sqs.config().to_builder().http_client(http_client());
            aws_sdk_sqs::Client::from_conf(config.build())
        })
    }

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

    fn forget_queue(&self, name: &str) {
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.remove(name);
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
