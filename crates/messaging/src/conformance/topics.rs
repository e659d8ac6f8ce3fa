//! A topic copies each message to its subscribers.

use super::Bench;
use super::steps::*;
use crate::{Consumer, ErrorKind, QueueConfig, Subscription, Topology};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Line 56; who counts such messages is the backend's own matter.
pub async fn a_message_that_no_queue_hears_is_accepted_and_dropped(bench: &dyn Bench) {
    let topics = vec!["news".into()];
    let topology = Topology {
        topics: topics.clone(),
        ..Topology::default()
    };
    bench.declare(topology).await.expect("declared");
    let operations = bench.operations();
    let unknown = operations
        .has_subscribers("olds")
        .await
        .expect_err("unknown");
    assert_eq!(unknown.kind, ErrorKind::NotFound);
    assert!(!operations.has_subscribers("news").await.expect("asked"));
    assert!(!send(bench, "news", message("before")).await.is_empty());
    let topology = Topology {
        topics,
        queues: vec![QueueConfig::new("work")],
        subscriptions: vec![Subscription::new("news", "work")],
    };
    bench.declare(topology).await.expect("declared");
    assert!(operations.has_subscribers("news").await.expect("asked"));
    send(bench, "news", message("after")).await;
    assert_eq!(body(&one(&consumer(bench, "work").await).await), "after");
}

/// Line 57.
pub async fn each_subscribed_queue_gets_a_copy_of_its_own(bench: &dyn Bench) {
    let queues = subscribe(bench, [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()]).await;
    send(bench, "news", message("a")).await;
    let mut ids = BTreeSet::new();
    for queue in &queues {
        let delivery = one(queue).await;
        assert_eq!(body(&delivery), "a");
        ids.insert(delivery.message_id);
        finish(queue, delivery.lease).await;
    }
    assert_eq!(ids.len(), 3);
    bench.pass(VISIBILITY).await;
    for queue in &queues {
        nothing(queue).await;
    }
}

/// Line 67.
pub async fn a_filter_passes_only_what_it_names(bench: &dyn Bench) {
    let named = |pairs: &[(&str, &[&str])]| -> BTreeMap<String, Vec<String>> {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        pairs
            .iter()
            .map(|(name, values)| ((*name).to_owned(), owned(values)))
            .collect()
    };
    let queues = subscribe(
        bench,
        [
            BTreeMap::new(),
            named(&[("kind", &["a", "b"])]),
            named(&[("kind", &["b"]), ("status", &["error"])]),
        ],
    )
    .await;
    let messages = vec![
        message("neither"),
        with(message("a"), "kind", "a"),
        with(message("b"), "kind", "b"),
        with(with(message("both"), "kind", "b"), "status", "error"),
        with(message("status"), "status", "error"),
        with(message("case"), "kind", "A"),
    ];
    let entries = bench.publisher().publish("news", messages).await;
    assert!(entries.expect("accepted").iter().all(Result::is_ok));
    let all = ["a", "b", "both", "case", "neither", "status"];
    assert_eq!(bodies(&take(&queues[0]).await), all);
    assert_eq!(bodies(&take(&queues[1]).await), ["a", "b", "both"]);
    assert_eq!(bodies(&take(&queues[2]).await), ["both"]);
}

/// A queue can subscribe to several topics.
pub async fn a_queue_hears_every_topic_it_subscribes_to(bench: &dyn Bench) {
    let topology = Topology {
        topics: vec!["results".into(), "events".into()],
        queues: vec![QueueConfig::new("work")],
        subscriptions: vec![
            Subscription::new("results", "work"),
            Subscription::new("events", "work"),
        ],
    };
    bench.declare(topology).await.expect("declared");
    send(bench, "results", message("result")).await;
    send(bench, "events", message("event")).await;
    let work = consumer(bench, "work").await;
    assert_eq!(bodies(&take(&work).await), ["event", "result"]);
}

/// Subscribes three queues to the topic `news` through these filters.
async fn subscribe(
    bench: &dyn Bench,
    filters: [BTreeMap<String, Vec<String>>; 3],
) -> Vec<Arc<dyn Consumer>> {
    let names = ["first", "second", "third"];
    let subscriptions = names
        .iter()
        .zip(filters)
        .map(|(name, filter)| Subscription {
            topic: "news".into(),
            queue: (*name).into(),
            filter,
        });
    let topology = Topology {
        topics: vec!["news".into()],
        queues: names.map(QueueConfig::new).into(),
        subscriptions: subscriptions.collect(),
    };
    bench.declare(topology).await.expect("declared");
    let mut consumers = Vec::new();
    for name in names {
        consumers.push(consumer(bench, name).await);
    }
    consumers
}
