//! The ports of the runtime on SQS.

use crate::installation::fabric::{
    Consumers, Delivered, PushedConsumer, ReplyQueue, ReplyQueues, Usage,
};
use async_trait::async_trait;
use pudato_messaging::aws::{AwsFabric, SqsConsumer};
use pudato_messaging::{ClaimStore, Consumer, Delivery, Error, IdempotencyStore};
use pudato_storage::S3Access;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Implements everything about queues that the ports of messaging do not cover.
pub(super) struct Queues {
    pub(super) fabric: AwsFabric,
    pub(super) idempotency: Arc<dyn IdempotencyStore>,
    pub(super) claims: Arc<dyn ClaimStore>,
    pub(super) prefix: String,
    pub(super) results_topic: String,
    pub(super) s3: S3Access,
}

impl Queues {
    async fn open(&self, queue: &str) -> Result<SqsConsumer, Error> {
        let consumer = self.fabric.consumer(queue).await?;
        let consumer = consumer.with_answers(Arc::clone(&self.idempotency));
        Ok(consumer.with_claims(Arc::clone(&self.claims)))
    }
}

#[async_trait]
impl Consumers for Queues {
    async fn consumer(&self, queue: &str) -> Result<Arc<dyn Consumer>, Error> {
        Ok(Arc::new(self.open(queue).await?))
    }

    async fn pushed(&self, queue: &str) -> Result<Option<Arc<dyn PushedConsumer>>, Error> {
        Ok(Some(Arc::new(self.open(queue).await?.of_event_source())))
    }
}

impl PushedConsumer for SqsConsumer {
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
impl ReplyQueues for Queues {
    async fn listen(&self, correlation_id: &str) -> Result<Box<dyn ReplyQueue>, Error> {
        let queue = self
            .fabric
            .listen(&self.prefix, &self.results_topic, correlation_id);
        Ok(Box::new(Replies(queue.await?)))
    }

    async fn sweep(&self) -> Result<u64, Error> {
        let swept = self.fabric.sweep_replies(&self.prefix, &self.results_topic);
        Ok(swept.await? as u64)
    }
}

struct Replies(pudato_messaging::aws::ReplyQueue);

#[async_trait]
impl ReplyQueue for Replies {
    async fn receive(&mut self, wait: Duration) -> Result<Vec<Delivered>, Error> {
        let received = self.0.receive(wait).await?.into_iter();
        let delivered = received.map(|one| Delivered {
            body: one.body,
            attributes: one.attributes,
        });
        Ok(delivered.collect())
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }
}

impl Usage for Queues {
    fn calls(&self) -> BTreeMap<String, u64> {
        let mut calls = self.fabric.calls();
        calls.extend(self.s3.calls());
        calls
    }
}
