//! Helpers for parents and children.

use pudato_messaging::local::{LocalConsumer, LocalFabric};
use pudato_messaging::{Consumer, Receive};
use pudato_messaging::{
    Delivery, Message, Operations, Publisher, QueueConfig, Stored, Subscription, SystemClock,
    Topology,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The queues that subscribe to the topic `work`.
pub const QUEUES: [&str; 3] = ["first", "second", "third"];

/// The fabric in `folder` on the machine's clock. `work` goes to three queues, `results` and `commands` to one each.
pub async fn open(folder: &Path) -> LocalFabric {
    let fabric = LocalFabric::open(folder, Arc::new(SystemClock)).expect("opens");
    fabric.declare(topology()).await.expect("declared");
    fabric
}

fn topology() -> Topology {
    let mut queues: Vec<_> = QUEUES.map(QueueConfig::new).into();
    queues.push(QueueConfig::new("results"));
    queues.push(QueueConfig::new("commands").redrive(5, "dead"));
    queues.push(QueueConfig::new("dead"));
    // No test here waits for the end of a lease, and a slow machine must not cause it.
    for queue in &mut queues {
        queue.visibility = Duration::from_secs(3_600);
    }
    let hears = |topic: &'static str| move |queue| Subscription::new(topic, queue);
    let mut subscriptions: Vec<_> = QUEUES.map(hears("work")).into();
    subscriptions.push(Subscription::new("results", "results"));
    subscriptions.push(Subscription::new("commands", "commands"));
    Topology {
        topics: vec!["work".into(), "results".into(), "commands".into()],
        queues,
        subscriptions,
    }
}

/// A message of some pages, so that a commit takes a while.
pub fn message(name: &str) -> Message {
    Message {
        body: format!("{name} {}", "x".repeat(20_000)),
        attributes: BTreeMap::new(),
    }
}

pub fn name(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.split(' ').next().unwrap_or_default().to_owned()
}

pub async fn send(fabric: &LocalFabric, topic: &str, name: &str) {
    let sent = fabric.publish(topic, vec![message(name)]).await;
    let entries = sent.expect("accepted");
    assert!(entries.iter().all(Result::is_ok), "{entries:?}");
}

pub async fn take(consumer: &LocalConsumer, max: usize) -> Vec<Delivery> {
    let wait = Duration::ZERO;
    let received = consumer.receive(Receive { max, wait }).await;
    received.expect("received")
}

/// The names of the messages on `queue`, each of which must be there once.
pub async fn names(fabric: &LocalFabric, queue: &str) -> BTreeSet<String> {
    let stored: Vec<Stored> = fabric.browse(queue, 100_000).await.expect("known");
    let names: BTreeSet<_> = stored.iter().map(|stored| name(&stored.body)).collect();
    assert_eq!(names.len(), stored.len(), "{queue} holds a message twice");
    names
}

/// Checks every page of the database.
pub async fn sound(fabric: &LocalFabric) {
    let found = fabric.check().await.expect("readable");
    assert!(found.is_empty(), "{found:?}");
}
