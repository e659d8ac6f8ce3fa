//! The same work from a load generator that does nothing else: every batch is full, and there are no decisions, no leases, no registry.

use super::installation::Installation;
use crate::Outcome;
use crate::publisher::content;
use aws_sdk_sns::types::PublishBatchRequestEntry;
use aws_sdk_sqs::config::{Credentials, Region, SharedCredentialsProvider};
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use bytes::Bytes;
use futures_util::future::try_join_all;
use object_store::ObjectStoreExt;
use object_store::aws::AmazonS3Builder;
use pudato_runtime::messaging::aws::sdk_config;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Batches on their way at once.
const IN_FLIGHT: usize = 8;
/// Messages of a call: as many as it takes, so that this has the fewest calls there can be.
const BATCH: usize = 10;
/// Bytes of a Command, a Result and an Event as pudato writes them for small objects.
const COMMAND_BYTES: usize = 1_500;
const RESULT_BYTES: usize = 1_000;
const EVENT_BYTES: usize = 400;

struct Load {
    sns: aws_sdk_sns::Client,
    sqs: aws_sdk_sqs::Client,
    store: object_store::aws::AmazonS3,
}

/// Commands per second, of calls of the same verbs, with messages of the same size.
pub fn per_second(installation: &Installation, count: usize) -> Outcome<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let credentials = Credentials::new("test", "test", None, None, "bench");
        let config = sdk_config(Some(&installation.emulator.url()))
            .await
            .into_builder()
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        let load = Arc::new(Load {
            sns: aws_sdk_sns::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            store: store(installation)?,
        });
        let mut places = Vec::new();
        for name in ["ceiling-commands", "ceiling-results", "ceiling-events"] {
            places.push(load.prepare(name).await?);
        }
        let places = Arc::new(places);
        let started = Instant::now();
        load.each(count / BATCH, |load, n| {
            let places = Arc::clone(&places);
            async move {
                let [commands, results, events] = &places[..] else {
                    return Err("three of them".into());
                };
                load.publish(&commands.0, COMMAND_BYTES).await?;
                let handles = load.receive(&commands.1).await?;
                try_join_all((0..BATCH).map(|k| load.put(n * BATCH + k))).await?;
                load.publish(&results.0, RESULT_BYTES).await?;
                load.publish(&events.0, EVENT_BYTES).await?;
                load.delete(&commands.1, &handles).await?;
                for (_, queue) in [results, events] {
                    let handles = load.receive(queue).await?;
                    load.delete(queue, &handles).await?;
                }
                Ok(())
            }
        })
        .await?;
        Ok(count as f64 / started.elapsed().as_secs_f64())
    })
}

fn store(installation: &Installation) -> Outcome<object_store::aws::AmazonS3> {
    // Its client takes what the process has agreed on.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(AmazonS3Builder::new()
        .with_endpoint(installation.emulator.url())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_bucket_name(super::installation::BUCKET)
        .build()?)
}

impl Load {
    /// A topic, and a queue that hears it.
    async fn prepare(&self, name: &str) -> Outcome<(String, String)> {
        let topic = self.sns.create_topic().name(name).send().await?;
        let topic = topic.topic_arn.ok_or("no topic")?;
        let queue = self.sqs.create_queue().queue_name(name).send().await?;
        let url = queue.queue_url.ok_or("no queue")?;
        let arn = topic.replace(":sns:", ":sqs:");
        let subscribe = self
            .sns
            .subscribe()
            .topic_arn(&topic)
            .protocol("sqs")
            .endpoint(arn);
        subscribe
            .attributes("RawMessageDelivery", "true")
            .send()
            .await?;
        Ok((topic, url))
    }

    /// Calls `call` with 0..count, [`IN_FLIGHT`] at once.
    async fn each<F, R>(self: &Arc<Self>, count: usize, call: F) -> Outcome<()>
    where
        F: Fn(Arc<Self>, usize) -> R,
        R: Future<Output = Outcome<()>>,
    {
        let next = AtomicUsize::new(0);
        let workers = (0..IN_FLIGHT).map(|_| async {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return Ok::<_, Box<dyn std::error::Error>>(());
                }
                call(Arc::clone(self), n).await?;
            }
        });
        try_join_all(workers).await?;
        Ok(())
    }

    async fn publish(&self, topic: &str, bytes: usize) -> Outcome<()> {
        let entries = (0..BATCH).map(|n| {
            PublishBatchRequestEntry::builder()
                .id(n.to_string())
                .message("x".repeat(bytes))
                .build()
        });
        let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
        let call = self.sns.publish_batch().topic_arn(topic);
        call.set_publish_batch_request_entries(Some(entries))
            .send()
            .await?;
        Ok(())
    }

    async fn put(&self, n: usize) -> Outcome<()> {
        let path = format!("ceiling/{n}").into();
        self.store
            .put(&path, Bytes::from(content(n)).into())
            .await?;
        Ok(())
    }

    async fn receive(&self, queue: &str) -> Outcome<Vec<String>> {
        let call = self.sqs.receive_message().queue_url(queue);
        let received = call.max_number_of_messages(10).send().await?;
        let messages = received.messages.unwrap_or_default().into_iter();
        Ok(messages
            .filter_map(|message| message.receipt_handle)
            .collect())
    }

    async fn delete(&self, queue: &str, handles: &[String]) -> Outcome<()> {
        if !handles.is_empty() {
            let entries = handles.iter().enumerate().map(|(n, handle)| {
                DeleteMessageBatchRequestEntry::builder()
                    .id(n.to_string())
                    .receipt_handle(handle)
                    .build()
            });
            let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
            let call = self.sqs.delete_message_batch().queue_url(queue);
            call.set_entries(Some(entries)).send().await?;
        }
        Ok(())
    }
}
