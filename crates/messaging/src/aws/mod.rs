//! SNS and SQS without a layer in between: a topic is an SNS topic, and a queue is an SQS queue that subscribes to it.
//!
//! This backend cannot tell whether a delete with an old receipt deleted a message ([`Deleted::Unknown`](crate::Deleted)), and it cannot
//! find messages on all queues by an attribute.

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
pub use connect::{Identity, Places, http_client, sdk_config, sdk_config_of};
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
    /// A client for renewals with connections of its own. It is created with the first renewal, because a Lambda function never renews.
    renewals: OnceLock<aws_sdk_sqs::Client>,
    sts: aws_sdk_sts::Client,
    calls: Calls,
    clock: Arc<dyn Clock>,
    /// The ARN of each topic, by the name that pudato uses.
    topics: RwLock<BTreeMap<String, String>>,
    /// The URL of each queue, by the name that pudato uses.
    queues: RwLock<BTreeMap<String, String>>,
}

impl AwsFabric {
    /// Uses the configuration of the SDK ([`sdk_config`]). `places` holds the addresses of topics and queues.
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

    /// A publisher for all topics. All publishers share their batches.
    pub fn publisher(&self) -> SnsPublisher {
        self.publisher.clone()
    }

    /// The number of calls of each operation so far, by names such as `SQS ReceiveMessage`.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        self.shared.calls.all()
    }

    /// The ARNs of the known topics.
    pub fn topic_arns(&self) -> Vec<String> {
        let topics = self.shared.topics.read();
        let topics = topics.unwrap_or_else(PoisonError::into_inner);
        topics.values().cloned().collect()
    }

    /// Opens a consumer of `queue`.
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

    /// The URL of a queue: from the configuration, or from SQS.
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
        let context = format!("{what} {name}: its address is not configured");
        Error::new(ErrorKind::NotFound, context)
    })
}
