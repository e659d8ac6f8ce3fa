//! A message that was handed back unhandled keeps its attempts, on the fabrics that count attempts themselves.

use pudato_messaging::local::LocalFabric;
use pudato_messaging::memory::MemoryFabric;
use pudato_messaging::{
    Consumer, ManualClock, Message, Publisher, QueueConfig, Receive, Subscription, Topology,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

fn topology() -> Topology {
    Topology {
        topics: vec!["work".into()],
        queues: vec![
            QueueConfig::new("work").redrive(2, "dead"),
            QueueConfig::new("dead"),
        ],
        subscriptions: vec![Subscription::new("work", "work")],
    }
}

async fn keeps_its_attempts(publisher: &dyn Publisher, consumer: &dyn Consumer) {
    let message = Message {
        body: "{}".into(),
        attributes: BTreeMap::new(),
    };
    let sent = publisher.publish("work", vec![message]).await;
    assert!(sent.expect("accepted").iter().all(Result::is_ok));
    let receive = async || {
        let wait = Duration::ZERO;
        let received = consumer.receive(Receive { max: 1, wait }).await;
        received.expect("received").pop()
    };
    // More often than the queue allows attempts.
    for _ in 0..5 {
        let delivery = receive().await.expect("it is visible again");
        assert_eq!(delivery.attempt, Some(1));
        let handed = consumer.hand_back(delivery.lease, Duration::ZERO).await;
        handed.expect("handed back");
    }
    for attempt in [1, 2] {
        let delivery = receive().await.expect("it is visible again");
        assert_eq!(delivery.attempt, Some(attempt));
        let released = consumer.release(delivery.lease, Duration::ZERO).await;
        released.expect("released");
    }
    assert!(receive().await.is_none(), "its attempts are over");
}

#[tokio::test]
async fn on_the_embedded_fabric() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Arc::new(ManualClock::at(1_000_000));
    let fabric = LocalFabric::open(folder.path(), clock).expect("opens");
    fabric.declare(topology()).await.expect("declared");
    let consumer = fabric.consumer("work").await.expect("declared");
    keeps_its_attempts(&fabric, &consumer).await;
}

#[tokio::test]
async fn on_the_fabric_in_memory() {
    let fabric = MemoryFabric::new(Arc::new(ManualClock::at(1_000_000)));
    fabric.declare(topology()).await.expect("declared");
    let consumer = fabric.consumer("work").await.expect("declared");
    keeps_its_attempts(&fabric, &consumer).await;
}
