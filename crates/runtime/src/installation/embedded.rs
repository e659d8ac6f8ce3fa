//! The embedded fabric: one SQLite file in the data folder.

use super::OpenError;
use super::backend::Backend;
use super::fabric::{Consumers, Fabric, FabricFile, Parts, Profile, PushedConsumer};
use super::objects::Unlisted;
use async_trait::async_trait;
use pudato_engine::EnvelopePolicy;
use pudato_messaging::local::{LocalEventSource, LocalFabric};
use pudato_messaging::{Consumer, Delivery, Error};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The time between two searches of the dead-letter queues.
const WATCH_EVERY: Duration = Duration::from_secs(5);

pub(super) static BACKEND: Backend = Backend {
    name: "embedded",
    is_chosen_by: |_| false,
    needs_aws: false,
    unlisted: Unlisted::Folders,
    stores_answers: true,
    has_reply_queues: false,
    feeds_lambda: false,
    requires: |_| Vec::new(),
    requires_advice: "",
    open: |parts| Box::pin(open(parts)),
};

async fn open(parts: Parts<'_>) -> Result<Fabric, OpenError> {
    let fabric = LocalFabric::open(&parts.settings.data_dir, parts.clock)?;
    fabric.declare(parts.topology.clone()).await?;
    let fabric = Arc::new(fabric);
    Ok(Fabric {
        publisher: Arc::clone(&fabric) as _,
        operations: Arc::clone(&fabric) as _,
        idempotency: Arc::clone(&fabric) as _,
        consumers: Arc::new(Local(Arc::clone(&fabric))),
        // This fabric uses no envelopes.
        envelopes: EnvelopePolicy::default(),
        settles_atomically: true,
        replies: None,
        usage: None,
        file: Some(Arc::new(Local(fabric))),
        expiring_answers: None,
        known_queues: None,
        profile: Profile {
            is_shared: false,
            watch_every: WATCH_EVERY,
            queues: "queues",
            no_subscriber_advice: |_| "the program that handles it subscribes its queue when it starts",
            no_dead_letter_advice: None,
            examine: None,
        },
    })
}

struct Local(Arc<LocalFabric>);

#[async_trait]
impl Consumers for Local {
    async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error> {
        Ok(Arc::new(self.0.consumer(queue).await?))
    }

    async fn pushed(&self, queue: &str) -> Result<Option<Arc<dyn PushedConsumer>>, Error> {
        let consumer = self.0.consumer(queue).await?;
        Ok(Some(Arc::new(LocalEventSource::new(consumer))))
    }
}

impl PushedConsumer for LocalEventSource {
    fn adopt(&self, event: &Value) -> Result<Vec<Delivery>, Error> {
        Self::adopt(self, event)
    }

    fn left(&self) -> Vec<String> {
        Self::left(self)
    }

    fn visibility(&self) -> Duration {
        Self::visibility(self)
    }

    fn as_consumer(self: Arc<Self>) -> Arc<dyn Consumer> {
        self
    }
}

#[async_trait]
impl FabricFile for Local {
    async fn backup(&self, to: &Path) -> Result<(), Error> {
        self.0.backup(to).await
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        self.0.check().await
    }
}
