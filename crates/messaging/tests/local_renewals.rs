//! Renewals of the embedded fabric wait only for the running commit.

use pudato_messaging::local::LocalFabric;
use pudato_messaging::{
    Consumer, IdempotencyStore, Key, Message, Publisher, QueueConfig, Receive, RunningRequest,
    Subscription, SystemClock, Topology,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::{JoinSet, yield_now};

/// Many groups (`GROUP_MAX` in `local/writer.rs` is 256).
const PUBLISHES: usize = 2_000;
const VISIBILITY: Duration = Duration::from_secs(60);

fn message(n: usize) -> Message {
    Message {
        body: format!("{{\"n\": {n}}}"),
        attributes: BTreeMap::new(),
    }
}

#[tokio::test]
async fn renewals_go_before_all_that_waits_to_be_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let fabric = LocalFabric::open(folder.path(), Arc::new(SystemClock)).expect("opens");
    let topology = Topology {
        topics: vec!["work".into()],
        queues: vec![QueueConfig::new("work")],
        subscriptions: vec![Subscription::new("work", "work")],
    };
    fabric.declare(topology).await.expect("declared");
    let sent = fabric.publish("work", vec![message(0)]).await;
    assert!(sent.expect("accepted").iter().all(Result::is_ok));
    let consumer = Arc::new(fabric.consumer("work").await.expect("declared"));
    let wait = Duration::ZERO;
    let received = consumer.receive(Receive { max: 1, wait }).await;
    let mut lease = received.expect("received").remove(0).lease;

    // As another process that writes: this one has no turn until it is done.
    let turn = File::open(folder.path().join("fabric.lock")).expect("there");
    turn.lock().expect("locked");
    let order = Arc::new(Mutex::new(Vec::new()));
    let said = |what: &'static str| {
        let order = Arc::clone(&order);
        move || order.lock().expect("no panic").push(what)
    };
    let begun = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for n in 1..=PUBLISHES {
        let (fabric, said, begun) = (fabric.clone(), said("publish"), Arc::clone(&begun));
        tasks.spawn(async move {
            begun.fetch_add(1, Ordering::Relaxed);
            let sent = fabric.publish("work", vec![message(n)]).await;
            assert!(sent.expect("accepted").iter().all(Result::is_ok));
            said();
        });
    }
    // One thread runs all tasks, so at this point each running task has sent its operation.
    let until = async |count: usize| {
        while begun.load(Ordering::Relaxed) < count {
            yield_now().await;
        }
    };
    until(PUBLISHES).await;
    let (held, renewed, begins) = (Arc::clone(&consumer), said("lease"), Arc::clone(&begun));
    tasks.spawn(async move {
        begins.fetch_add(1, Ordering::Relaxed);
        let renewed_all = held.renew(vec![&mut lease], VISIBILITY).await;
        assert!(renewed_all.iter().all(Result::is_ok), "{renewed_all:?}");
        renewed();
    });
    let (answers, renewed, begins) = (fabric.clone(), said("request"), Arc::clone(&begun));
    tasks.spawn(async move {
        begins.fetch_add(1, Ordering::Relaxed);
        let running = RunningRequest {
            key: Key {
                service: "storage".into(),
                key: "a".into(),
            },
            fingerprint: "payload".into(),
            owner: "owner".into(),
        };
        let renewed_all = answers.renew_all(&[running], VISIBILITY).await;
        assert!(matches!(renewed_all[..], [Ok(true)]), "{renewed_all:?}");
        renewed();
    });
    until(PUBLISHES + 2).await;
    turn.unlock().expect("unlocked");
    while let Some(task) = tasks.join_next().await {
        task.expect("no panic");
    }
    let order = order.lock().expect("no panic");
    assert_eq!(order.len(), PUBLISHES + 2);
    for what in ["lease", "request"] {
        let place = order.iter().position(|said| *said == what);
        let place = place.expect("it was renewed");
        // They were sent last, and one group may have been running.
        assert!(place < 300, "{what}: {place} were answered before");
    }
}
