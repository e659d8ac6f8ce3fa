//! The fabric as a set of ports. [`open`] is the one place that chooses a backend.

use super::aws;
use super::databases::Databases;
use super::embedded;
use super::places::Places;
use super::{Installation, OpenError};
use crate::names::Names;
use crate::settings::{self, Settings};
use async_trait::async_trait;
use pudato_engine::EnvelopePolicy;
use pudato_messaging::{
    ClaimStore, Clock, Consumer, Delivery, Error, IdempotencyStore, Operations, Publisher, Topology,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A fabric, behind its ports.
pub struct Fabric {
    /// Publishes to topics.
    pub publisher: Arc<dyn Publisher>,
    /// Looks at queues, replays and purges dead letters.
    pub operations: Arc<dyn Operations>,
    /// Keeps answers.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// Opens queues for reading.
    pub(crate) consumers: Arc<dyn Consumers>,
    /// Which enveloped messages are read.
    pub(crate) envelopes: EnvelopePolicy,
    /// Whether settling is one transaction.
    pub(crate) settles_atomically: bool,
    /// Queues that a caller makes for its Results, if the fabric has them.
    pub(crate) replies: Option<Arc<dyn ReplyQueues>>,
    /// Counts the calls that are billed, if any are.
    pub(crate) usage: Option<Arc<dyn Usage>>,
    /// The fabric's file in the data folder, if it has one.
    pub(crate) file: Option<Arc<dyn FabricFile>>,
    /// Answers that the results consumer deletes when they are old, if nothing else does.
    pub(crate) expiring_answers: Option<Arc<dyn IdempotencyStore>>,
    /// How the fabric differs otherwise.
    pub profile: Profile,
}

/// What a fabric takes for granted, as values.
#[derive(Clone, Copy)]
pub struct Profile {
    /// Whether programs on other machines may use the fabric too: then nobody here knows what all of its workers do.
    pub is_shared: bool,
    /// How often the dead-letter queues are looked at.
    pub watch_every: Duration,
    /// What to do about a topic of this service that nothing subscribes to.
    pub no_subscriber_advice: fn(service: &str) -> &'static str,
    /// What `pudato doctor` checks on this fabric alone.
    pub(crate) examine: Option<Examine>,
}

/// Checks an installation and returns what is wrong.
pub(crate) type Examine =
    for<'a> fn(
        &'a Installation,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<String>, OpenError>> + Send + 'a>>;

/// Opens queues for reading.
#[async_trait]
pub(crate) trait Consumers: Send + Sync {
    /// A consumer that receives.
    async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error>;

    /// A consumer of messages that the platform brings, as Lambda does; `None` if the fabric has no such platform.
    async fn pushed(&self, queue: &str) -> Result<Option<Arc<dyn PushedConsumer>>, Error>;
}

/// Settles messages that a platform brings. The platform deletes those that are not among [`PushedConsumer::left`].
pub(crate) trait PushedConsumer: Consumer {
    /// Reads the messages of an event.
    fn adopt(&self, event: &Value) -> Result<Vec<Delivery>, Error>;
    /// The ids of the messages that must come again.
    fn left(&self) -> Vec<String>;
    /// How long a received message is hidden from others.
    fn visibility(&self) -> Duration;
    /// The same consumer, as one of the loops.
    fn as_consumer(self: Arc<Self>) -> Arc<dyn Consumer>;
}

/// Makes queues for the Results of one caller.
#[async_trait]
pub(crate) trait ReplyQueues: Send + Sync {
    /// A queue that receives the Results under `correlation_id` from now on.
    async fn listen(&self, correlation_id: &str) -> Result<Box<dyn ReplyQueue>, Error>;
    /// Deletes queues that callers left behind; returns how many.
    async fn sweep(&self) -> Result<u64, Error>;
}

/// A queue for the Results of one caller.
#[async_trait]
pub(crate) trait ReplyQueue: Send + Sync {
    /// Waits up to `wait` for messages.
    async fn receive(&mut self, wait: Duration) -> Result<Vec<Delivered>, Error>;
    /// Deletes the queue.
    async fn close(self: Box<Self>);
}

/// A message on a reply queue.
pub(crate) struct Delivered {
    pub(crate) body: Vec<u8>,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// Counts calls that are billed.
pub(crate) trait Usage: Send + Sync {
    /// How often each verb was called, by `SQS ReceiveMessage` and the like.
    fn calls(&self) -> BTreeMap<String, u64>;
}

/// The fabric's own file.
#[async_trait]
pub(crate) trait FabricFile: Send + Sync {
    /// Copies it to the path `to`.
    async fn backup(&self, to: &Path) -> Result<(), Error>;
    /// Reads every page; returns what is wrong.
    async fn check(&self) -> Result<Vec<String>, Error>;
}

/// Everything that a fabric is opened with.
pub(super) struct Parts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) names: &'a Names,
    pub(super) topology: &'a Topology,
    pub(super) places: &'a Places,
    pub(super) databases: &'a Databases,
    pub(super) claims: Arc<dyn ClaimStore>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Opens the fabric that the settings choose. A new backend is a module of its own and an arm here.
pub(super) async fn open(parts: Parts<'_>) -> Result<Fabric, OpenError> {
    match parts.settings.fabric {
        settings::Fabric::Embedded => embedded::open(parts).await,
        settings::Fabric::Aws => aws::open(parts).await,
    }
}
