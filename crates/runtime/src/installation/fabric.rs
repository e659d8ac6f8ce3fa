//! The fabric as a struct of ports.

use super::databases::Databases;
use super::places::Places;
use super::{Installation, OpenError};
use crate::names::Names;
use crate::settings::Settings;
use async_trait::async_trait;
use pudato_engine::EnvelopePolicy;
use pudato_messaging::{
    ClaimStore, Clock, Consumer, Delivery, Error, IdempotencyStore, Operations, Publisher, Topology,
};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// A fabric, as a struct of ports. Callers use the ports and never ask which backend is behind them.
pub struct Fabric {
    /// Publishes to topics.
    pub publisher: Arc<dyn Publisher>,
    /// Browses queues, replays and purges dead letters.
    pub operations: Arc<dyn Operations>,
    /// Stores the answers of requests.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// Opens queues for reading.
    pub(crate) consumers: Arc<dyn Consumers>,
    /// Decides which enveloped messages are accepted.
    pub(crate) envelopes: EnvelopePolicy,
    /// Whether settling is one transaction. If not, answers are stored before they are published.
    pub(crate) settles_atomically: bool,
    /// Creates queues for the Results of one caller, if the fabric can.
    pub(crate) replies: Option<Arc<dyn ReplyQueues>>,
    /// Counts billed calls, if the fabric bills calls.
    pub(crate) usage: Option<Arc<dyn Usage>>,
    /// The fabric's file in the data folder, if it has one.
    pub(crate) file: Option<Arc<dyn FabricFile>>,
    /// The store from which the results consumer deletes old answers; `None` if the store expires them by itself.
    pub(crate) expiring_answers: Option<Arc<dyn IdempotencyStore>>,
    /// The names of the queues whose setting (`PUDATO_.._QUEUE_URL`) is set, on a fabric where no others exist; `None` if all queues exist.
    pub(crate) known_queues: Option<BTreeSet<&'static str>>,
    /// The other differences between fabrics, as values.
    pub profile: Profile,
}

/// The differences between fabrics that are not ports, as values: callers read a value and never match on the fabric.
#[derive(Clone, Copy)]
pub struct Profile {
    /// Whether programs on other machines may use the fabric too. If so, no single machine knows what all workers are doing.
    pub is_shared: bool,
    /// The time between two searches of the dead-letter queues.
    pub watch_every: Duration,
    /// What messages to users call its queues.
    pub queues: &'static str,
    /// The remedy if the topic of this service has no subscriber.
    pub no_subscriber_advice: fn(service: &str) -> &'static str,
    /// Why a dead letter may exist and not be found; `None` if it would be found.
    pub no_dead_letter_advice: Option<&'static str>,
    /// The checks of `pudato doctor` for this fabric only.
    pub(crate) examine: Option<Examine>,
}

/// Checks an installation and returns the problems found.
pub(crate) type Examine =
    for<'a> fn(
        &'a Installation,
    ) -> Pin<Box<dyn Future<Output = Result<Vec<String>, OpenError>> + Send + 'a>>;

/// Opens queues for reading.
#[async_trait]
pub(crate) trait Consumers: Send + Sync {
    /// A consumer that receives by itself.
    async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error>;

    /// A consumer of messages that the platform delivers, as Lambda does; `None` if the fabric has no such platform.
    async fn pushed(&self, queue: &str) -> Result<Option<Arc<dyn PushedConsumer>>, Error>;
}

/// Settles messages that a platform delivers. The platform deletes those that are not among [`PushedConsumer::left`].
pub(crate) trait PushedConsumer: Consumer {
    /// Reads the messages of an event.
    fn adopt(&self, event: &Value) -> Result<Vec<Delivery>, Error>;
    /// The ids of the messages that must be redelivered.
    fn left(&self) -> Vec<String>;
    /// How long a received message is hidden from other consumers.
    fn visibility(&self) -> Duration;
    /// The same consumer, as the loops use it.
    fn as_consumer(self: Arc<Self>) -> Arc<dyn Consumer>;
}

/// Creates queues for the Results of one caller.
#[async_trait]
pub(crate) trait ReplyQueues: Send + Sync {
    /// Creates a queue that receives the Results under `correlation_id` from now on.
    async fn listen(&self, correlation_id: &str) -> Result<Box<dyn ReplyQueue>, Error>;
    /// Deletes queues that callers left behind. Returns how many.
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

/// Counts billed calls.
pub(crate) trait Usage: Send + Sync {
    /// The number of calls by verb, such as `SQS ReceiveMessage`.
    fn calls(&self) -> BTreeMap<String, u64>;
}

/// The fabric's own file.
#[async_trait]
pub(crate) trait FabricFile: Send + Sync {
    /// Copies the file to the path `to`.
    async fn backup(&self, to: &Path) -> Result<(), Error>;
    /// Reads every page. Returns the problems found.
    async fn check(&self) -> Result<Vec<String>, Error>;
}

/// The arguments for opening a fabric.
pub(super) struct Parts<'a> {
    pub(super) settings: &'a Settings,
    pub(super) names: &'a Names,
    pub(super) topology: &'a Topology,
    pub(super) places: &'a Places,
    pub(super) databases: &'a Databases,
    pub(super) claims: Arc<dyn ClaimStore>,
    pub(super) clock: Arc<dyn Clock>,
}
