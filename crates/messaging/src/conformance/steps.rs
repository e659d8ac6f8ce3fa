//! The steps of the promises.

use super::Bench;
use crate::{
    Consumer, Deleted, Delivery, Error, ErrorKind, Lease, Message, QueueConfig, Receive,
    Subscription, Topology,
};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// The visibility timeout of a queue by default.
pub(super) const VISIBILITY: Duration = Duration::from_secs(60);
/// The visibility timeout for promises that let it pass several times, because with real time the test must wait.
pub(super) const BRIEF: Duration = Duration::from_secs(5);
/// The longest long poll.
pub(super) const WAIT: Duration = Duration::from_secs(20);
/// On a manual clock, only a step that hangs takes this long.
const HANGS: Duration = Duration::from_secs(180);

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) fn message(body: &str) -> Message {
    Message {
        body: body.to_owned(),
        attributes: BTreeMap::new(),
    }
}

pub(super) fn with(mut message: Message, name: &str, value: &str) -> Message {
    message.attributes.insert(name.into(), value.into());
    message
}

/// Declares `queues`, each subscribed to a topic of its own name.
pub(super) async fn declare(bench: &dyn Bench, queues: Vec<QueueConfig>) {
    let names = || queues.iter().map(|queue| queue.name.clone());
    let topology = Topology {
        topics: names().collect(),
        subscriptions: names()
            .map(|name| Subscription::new(name.clone(), name))
            .collect(),
        queues,
    };
    bench.declare(topology).await.expect("declared");
}

pub(super) async fn consumer(bench: &dyn Bench, queue: &str) -> Arc<dyn Consumer> {
    bench.consumer(queue).await.expect("the queue is declared")
}

/// The queue `work`, subscribed to the topic `work`.
pub(super) async fn work(bench: &dyn Bench) -> Arc<dyn Consumer> {
    declare(bench, vec![QueueConfig::new("work")]).await;
    consumer(bench, "work").await
}

/// As [`work`], with the dead-letter queue `dead` after `max` receives.
pub(super) async fn work_with_dead(bench: &dyn Bench, max: u32) -> Arc<dyn Consumer> {
    let queues = vec![
        QueueConfig::new("work").redrive(max, "dead"),
        QueueConfig::new("dead"),
    ];
    declare(bench, queues).await;
    consumer(bench, "work").await
}

/// A queue with the visibility timeout [`BRIEF`].
pub(super) fn brief(name: &str) -> QueueConfig {
    let mut queue = QueueConfig::new(name);
    queue.visibility = BRIEF;
    queue
}

pub(super) async fn send(bench: &dyn Bench, topic: &str, message: Message) -> String {
    let sent = bench.publisher().publish(topic, vec![message]).await;
    let mut entries = sent.expect("the call is accepted");
    assert_eq!(entries.len(), 1, "one answer per message");
    entries.remove(0).expect("the message is accepted")
}

/// The error for a single message, from the call or from its entry.
pub(super) async fn refusal(bench: &dyn Bench, topic: &str, message: Message) -> ErrorKind {
    let sent = bench.publisher().publish(topic, vec![message]).await;
    match sent {
        Err(error) => error.kind,
        Ok(mut entries) => kind(entries.remove(0)),
    }
}

/// Receives all available messages with a short poll.
pub(super) async fn take(consumer: &Arc<dyn Consumer>) -> Vec<Delivery> {
    poll(consumer, 10, Duration::ZERO).await
}

pub(super) async fn poll(
    consumer: &Arc<dyn Consumer>,
    max: usize,
    wait: Duration,
) -> Vec<Delivery> {
    for _ in 0..2 {
        match within(consumer.receive(Receive { max, wait })).await {
            // Retries as every caller does: a connection that the server just closed breaks no promise.
            Err(error) if error.is_retryable() => {}
            received => return received.expect("a receive in its range is accepted"),
        }
    }
    let received = within(consumer.receive(Receive { max, wait })).await;
    received.expect("a receive in its range is accepted")
}

/// Receives exactly one message with a short poll.
pub(super) async fn one(consumer: &Arc<dyn Consumer>) -> Delivery {
    let mut deliveries = take(consumer).await;
    assert_eq!(deliveries.len(), 1, "{deliveries:?}");
    deliveries.remove(0)
}

/// Expects a short poll to find nothing.
pub(super) async fn nothing(consumer: &Arc<dyn Consumer>) {
    let deliveries = take(consumer).await;
    assert!(deliveries.is_empty(), "{deliveries:?}");
}

/// Deletes one message and returns the outcome.
pub(super) async fn delete(consumer: &Arc<dyn Consumer>, lease: Lease) -> Result<Deleted, Error> {
    let mut entries = consumer.delete(vec![lease]).await;
    assert_eq!(entries.len(), 1, "one answer per lease");
    entries.remove(0)
}

/// Deletes the caller's message; a backend that cannot tell may say so.
pub(super) async fn finish(consumer: &Arc<dyn Consumer>, lease: Lease) {
    let deleted = delete(consumer, lease).await.expect("deleted");
    assert_ne!(deleted, Deleted::LeaseLost);
}

pub(super) async fn renew(
    consumer: &Arc<dyn Consumer>,
    lease: &mut Lease,
    want: Duration,
) -> Result<(), Error> {
    let mut entries = consumer.renew(vec![lease], want).await;
    assert_eq!(entries.len(), 1, "one answer per lease");
    entries.remove(0)
}

/// A second lease with the same receipt, as a confused caller might have.
pub(super) fn copy(lease: &Lease) -> Lease {
    Lease {
        receipt: lease.receipt.clone(),
        deadline_ms: lease.deadline_ms,
    }
}

/// A lease that no backend issued.
pub(super) fn forged(receipt: &str) -> Lease {
    Lease {
        receipt: receipt.to_owned(),
        deadline_ms: 0,
    }
}

pub(super) fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    let mut bodies: Vec<_> = deliveries.iter().map(body).collect();
    bodies.sort();
    bodies
}

pub(super) fn body(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.clone()).expect("bodies are text")
}

/// The kind of an expected error.
pub(super) fn kind<T: Debug>(outcome: Result<T, Error>) -> ErrorKind {
    outcome.expect_err("this is refused").kind
}

/// Fails a step that hangs, which would otherwise stop the whole run.
pub(super) async fn within<T>(step: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANGS, step)
        .await
        .expect("this step ends while time stands still")
}

/// Asserts that two instants, in milliseconds, are equal within the bench's resolution.
pub(super) fn assert_same_time(bench: &dyn Bench, one_ms: u64, other_ms: u64) {
    let tick_ms = u64::try_from(bench.tick().as_millis()).unwrap_or(u64::MAX);
    let apart_ms = one_ms.abs_diff(other_ms);
    assert!(apart_ms < tick_ms, "{one_ms} and {other_ms} are apart");
}
