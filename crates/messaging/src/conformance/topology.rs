//! Topics, queues and subscriptions are declared, and repeating a declaration changes nothing.

use super::Bench;
use super::steps::*;
use crate::{ErrorKind, QueueConfig, Subscription, Topology};
use std::collections::BTreeMap;

/// Line 53.
pub async fn declaring_the_same_again_keeps_the_queue_and_its_messages(bench: &dyn Bench) {
    let work = work_with_dead(bench, 3).await;
    send(bench, "work", message("a")).await;
    let again = work_with_dead(bench, 3).await;
    one(&again).await;
    nothing(&work).await;
}

/// Line 53: different attributes are refused, and nothing else of that call is done either.
pub async fn declaring_a_queue_with_other_attributes_is_refused(bench: &dyn Bench) {
    work_with_dead(bench, 3).await;
    let mut visibility = QueueConfig::new("work").redrive(3, "dead");
    visibility.visibility = seconds(61);
    let mut delay = QueueConfig::new("work").redrive(3, "dead");
    delay.delay = seconds(1);
    let count = QueueConfig::new("work").redrive(4, "dead");
    let none = QueueConfig::new("work");
    for other in [visibility, delay, count, none] {
        let queues = vec![QueueConfig::new("new"), QueueConfig::new("dead"), other];
        let topology = Topology {
            topics: vec!["new".into()],
            queues,
            ..Topology::default()
        };
        assert_eq!(kind(bench.declare(topology).await), ErrorKind::Invalid);
    }
    let unknown = bench.consumer("new").await.map(|_| ());
    assert_eq!(kind(unknown), ErrorKind::NotFound);
    assert_eq!(
        kind(bench.publisher().limits("new").await),
        ErrorKind::NotFound
    );
}

/// Line 53: whoever comes first makes it.
pub async fn concurrent_declarations_give_one_queue(bench: &dyn Bench) {
    let declaring = || declare(bench, vec![QueueConfig::new("work")]);
    tokio::join!(declaring(), declaring(), declaring(), declaring());
    send(bench, "work", message("a")).await;
    one(&consumer(bench, "work").await).await;
}

/// Line 54.
pub async fn bad_names_are_refused(bench: &dyn Bench) {
    let long = "a".repeat(81);
    for name in [
        "",
        "a/b",
        "../../etc/passwd",
        "a b",
        "a.b",
        "ä",
        "a\0",
        &long,
    ] {
        let queues = vec![QueueConfig::new(name)];
        let as_queue = Topology {
            queues,
            ..Topology::default()
        };
        assert_eq!(
            kind(bench.declare(as_queue).await),
            ErrorKind::Invalid,
            "{name:?}"
        );
        let as_topic = Topology {
            topics: vec![name.into()],
            ..Topology::default()
        };
        assert_eq!(
            kind(bench.declare(as_topic).await),
            ErrorKind::Invalid,
            "{name:?}"
        );
    }
    declare(
        bench,
        vec![QueueConfig::new("a".repeat(80)), QueueConfig::new("A-z_0")],
    )
    .await;
}

/// Line 55.
pub async fn every_verb_of_an_unknown_queue_or_topic_says_so(bench: &dyn Bench) {
    work(bench).await;
    let (operations, ids) = (bench.operations(), vec!["id".to_owned()]);
    for name in ["unknown", "../work", ""] {
        let kinds = [
            kind(bench.consumer(name).await.map(|_| ())),
            kind(bench.publisher().publish(name, vec![message("a")]).await),
            kind(bench.publisher().limits(name).await),
            kind(operations.counts(name).await),
            kind(operations.browse(name, 1).await),
            kind(operations.purge(name, None).await),
            kind(operations.purge(name, Some(&ids)).await),
            kind(operations.replay(name, &ids, None).await),
            kind(operations.replay("work", &ids, Some(name)).await),
            kind(operations.explain(name, "id", "reason", Vec::new()).await),
        ];
        assert_eq!(kinds, [ErrorKind::NotFound; 10], "{name:?}");
    }
}

/// Lines 37 and 39.
pub async fn a_dead_letter_queue_must_exist_elsewhere_and_allow_a_receive(bench: &dyn Bench) {
    let unknown = QueueConfig::new("work").redrive(3, "unknown");
    let itself = QueueConfig::new("work").redrive(3, "work");
    let never = QueueConfig::new("work").redrive(0, "dead");
    for queue in [unknown, itself, never] {
        let queues = vec![queue, QueueConfig::new("dead")];
        let topology = Topology {
            queues,
            ..Topology::default()
        };
        assert_eq!(kind(bench.declare(topology).await), ErrorKind::Invalid);
    }
    assert_eq!(
        kind(bench.consumer("dead").await.map(|_| ())),
        ErrorKind::NotFound
    );
}

/// Line 61.
pub async fn subscribing_twice_is_once_and_with_another_filter_is_refused(bench: &dyn Bench) {
    let subscribe = |filter: &[&str]| {
        let mut subscription = Subscription::new("news", "work");
        let values: Vec<String> = filter.iter().map(|value| (*value).into()).collect();
        subscription.filter = BTreeMap::from([("kind".into(), values)]);
        Topology {
            topics: vec!["news".into()],
            queues: vec![QueueConfig::new("work")],
            subscriptions: vec![subscription],
        }
    };
    for _ in 0..2 {
        let declared = bench.declare(subscribe(&["a", "b"])).await;
        declared.expect("the same each time");
    }
    let refused = bench.declare(subscribe(&["a"])).await;
    assert_eq!(kind(refused), ErrorKind::Invalid);
    let work = consumer(bench, "work").await;
    send(bench, "news", with(message("once"), "kind", "b")).await;
    one(&work).await;
}

/// A subscription to a missing topic, or of a missing queue, is refused.
pub async fn a_subscription_needs_its_topic_and_its_queue(bench: &dyn Bench) {
    for (topic, queue) in [("unknown", "work"), ("work", "unknown")] {
        let topology = Topology {
            topics: vec!["work".into()],
            queues: vec![QueueConfig::new("work")],
            subscriptions: vec![Subscription::new(topic, queue)],
        };
        assert_eq!(kind(bench.declare(topology).await), ErrorKind::Invalid);
    }
}
