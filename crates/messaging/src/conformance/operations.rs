//! Operations on queues: browse, replay, purge, explain.

use super::Bench;
use super::steps::*;
use crate::{DeadLetter, ErrorKind, QueueConfig};

/// Browsing changes nothing.
pub async fn browsing_shows_the_oldest_messages_and_changes_nothing(bench: &dyn Bench) {
    let work = work(bench).await;
    for body in ["1", "2", "3"] {
        send(bench, "work", with(message(body), "trace", body)).await;
    }
    for _ in 0..3 {
        let stored = bench.operations().browse("work", 2).await.expect("known");
        let shown: Vec<_> = stored.iter().map(|it| it.body.as_slice()).collect();
        assert_eq!(shown, [b"1", b"2"]);
        assert_eq!(stored[0].queue, "work");
        assert_eq!(stored[0].attributes["trace"], "1");
        assert_eq!(
            (stored[0].receive_count, stored[0].first_received_ms),
            (0, None)
        );
    }
    let deliveries = take(&work).await;
    assert!(
        deliveries
            .iter()
            .all(|delivery| delivery.attempt == Some(1))
    );
    let stored = bench.operations().browse("work", 10).await.expect("known");
    assert_eq!(stored.len(), 3, "what is leased is shown as well");
    assert_eq!(stored[0].receive_count, 1);
    assert_eq!(stored[0].visible_at_ms, deliveries[0].lease.deadline_ms);
}

/// Attempts count deliveries to workers: a message that a worker dead-lettered at its second attempt had two, however often it was browsed.
pub async fn looking_again_and_again_is_no_attempt(bench: &dyn Bench) {
    let work = work_with_dead(bench, 2).await;
    for body in ["given up", "moved"] {
        send(bench, "work", message(body)).await;
    }
    for delivery in take(&work).await {
        let released = work
            .release(delivery.lease, std::time::Duration::ZERO)
            .await;
        released.expect("given back");
    }
    for delivery in take(&work).await {
        assert_eq!(delivery.attempt, Some(2));
        if body(&delivery) == "given up" {
            let given_up = work.dead_letter(delivery.lease, "reason", Vec::new());
            given_up.await.expect("moved");
        }
    }
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    for look in 1..=4 {
        let stored = bench.operations().browse("dead", 10).await.expect("known");
        assert_eq!(stored.len(), 2, "look {look}");
        for one in stored {
            match one.body.as_slice() {
                b"given up" => assert_eq!(one.attempts, Some(2), "look {look}"),
                // SQS does not report this for messages that it moved itself.
                _ => assert!(
                    matches!(one.attempts, Some(2) | None),
                    "look {look}: {one:?}"
                ),
            }
        }
    }
}

/// A search by correlation id finds its messages on any queue.
pub async fn messages_are_found_by_an_attribute_on_any_queue(bench: &dyn Bench) {
    let work = work_with_dead(bench, 5).await;
    for body in ["1", "2"] {
        send(bench, "work", with(message(body), "correlation_id", "x")).await;
    }
    send(bench, "work", with(message("3"), "correlation_id", "x%")).await;
    send(bench, "work", with(message("4"), "other", "x")).await;
    let first = poll(&work, 1, std::time::Duration::ZERO).await.remove(0);
    let given_up = work.dead_letter(first.lease, "reason", Vec::new()).await;
    given_up.expect("moved");
    let found = bench.operations().find("correlation_id", "x").await;
    let mut queues: Vec<_> = found
        .expect("searched")
        .into_iter()
        .map(|it| it.queue)
        .collect();
    queues.sort();
    assert_eq!(queues, ["dead", "work"]);
    let found = bench.operations().find("correlation_id", "%").await;
    assert!(found.expect("searched").is_empty());
}

/// Line 40.
pub async fn replayed_messages_return_to_their_own_sources(bench: &dyn Bench) {
    let queues = vec![
        QueueConfig::new("first").redrive(1, "dead"),
        QueueConfig::new("second").redrive(1, "dead"),
        QueueConfig::new("dead"),
    ];
    declare(bench, queues).await;
    for name in ["first", "second"] {
        send(bench, name, with(message(name), "trace", name)).await;
        one(&consumer(bench, name).await).await;
    }
    bench.pass(VISIBILITY).await;
    for name in ["first", "second"] {
        nothing(&consumer(bench, name).await).await;
    }
    let mut ids = dead_ids(bench).await;
    assert_eq!(ids.len(), 2);
    ids.push("gone".into());
    let moved = bench.operations().replay("dead", &ids, None).await;
    assert_eq!(moved.expect("replayed"), 2);
    nothing(&consumer(bench, "dead").await).await;
    for name in ["first", "second"] {
        let delivery = one(&consumer(bench, name).await).await;
        assert_eq!(body(&delivery), name);
        assert_eq!(delivery.attributes["trace"], name);
        assert_eq!(delivery.attempt, Some(1));
        assert_eq!(delivery.dead_letter, None);
    }
}

/// A named queue receives the messages instead.
pub async fn replayed_messages_go_to_the_queue_that_is_named(bench: &dyn Bench) {
    given_up(bench).await;
    declare(bench, vec![QueueConfig::new("other")]).await;
    let ids = dead_ids(bench).await;
    let moved = bench.operations().replay("dead", &ids, Some("other")).await;
    assert_eq!(moved.expect("replayed"), 1);
    one(&consumer(bench, "other").await).await;
    nothing(&consumer(bench, "work").await).await;
    let again = bench.operations().replay("dead", &ids, Some("other")).await;
    assert_eq!(again.expect("nothing to do"), 0);
}

/// Line 41, as far as the verb goes: one that cannot be finished moves nothing.
pub async fn a_replay_without_a_way_back_moves_nothing(bench: &dyn Bench) {
    given_up(bench).await;
    send(bench, "dead", message("sent here by hand")).await;
    let ids = dead_ids(bench).await;
    assert_eq!(ids.len(), 2);
    let operations = bench.operations();
    let refused = operations.replay("dead", &ids, None).await;
    assert_eq!(kind(refused), ErrorKind::NotFound);
    let refused = operations.replay("dead", &ids, Some("unknown")).await;
    assert_eq!(kind(refused), ErrorKind::NotFound);
    let refused = operations.replay("dead", &[], Some("unknown")).await;
    assert_eq!(kind(refused), ErrorKind::NotFound);
    assert_eq!(dead_ids(bench).await, ids);
    nothing(&consumer(bench, "work").await).await;
}

/// Line 41: messages of a queue that is not a dead-letter queue have no way back.
pub async fn a_replay_from_an_ordinary_queue_is_refused(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let stored = bench.operations().browse("work", 1).await.expect("known");
    let ids = [stored[0].message_id.clone()];
    let refused = bench.operations().replay("work", &ids, None).await;
    assert_eq!(kind(refused), ErrorKind::NotFound);
    one(&work).await;
}

/// A replay fences the lease that was held on the dead-letter queue.
pub async fn a_lease_on_a_replayed_message_is_lost(bench: &dyn Bench) {
    given_up(bench).await;
    let dead = consumer(bench, "dead").await;
    let lost = one(&dead).await.lease;
    let ids = dead_ids(bench).await;
    bench
        .operations()
        .replay("dead", &ids, None)
        .await
        .expect("replayed");
    assert_ne!(
        delete(&dead, lost).await.expect("accepted"),
        crate::Deleted::Deleted
    );
    one(&consumer(bench, "work").await).await;
}

/// Only the named messages are purged.
pub async fn a_purge_by_ids_takes_only_what_it_names(bench: &dyn Bench) {
    let work = work(bench).await;
    for body in ["1", "2", "3"] {
        send(bench, "work", message(body)).await;
    }
    let stored = bench.operations().browse("work", 10).await.expect("known");
    let id = stored[1].message_id.clone();
    let ids = [id.clone(), id, "gone".into()];
    let purged = bench.operations().purge("work", Some(&ids)).await;
    assert_eq!(purged.expect("known"), 1);
    let purged = bench.operations().purge("work", Some(&[])).await;
    assert_eq!(purged.expect("known"), 0);
    assert_eq!(bodies(&take(&work).await), ["1", "3"]);
}

/// The sender of a message that the broker moved is notified once.
pub async fn a_message_moved_by_the_broker_is_explained_once(bench: &dyn Bench) {
    let work = work_with_dead(bench, 1).await;
    declare(bench, vec![QueueConfig::new("results")]).await;
    send(bench, "work", message("a")).await;
    one(&work).await;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    let (operations, id) = (bench.operations(), dead_ids(bench).await.remove(0));
    let told = |topic: &str| vec![(topic.to_owned(), message("error"))];
    let refused = operations
        .explain("dead", &id, "why", told("nowhere"))
        .await;
    assert_eq!(kind(refused), ErrorKind::NotFound);
    for expected in [true, false] {
        let explained = operations
            .explain("dead", &id, "why", told("results"))
            .await;
        assert_eq!(explained.expect("known"), expected);
    }
    one(&consumer(bench, "results").await).await;
    let dead = one(&consumer(bench, "dead").await).await;
    let (source, reason) = ("work".into(), Some("why".into()));
    assert_eq!(dead.dead_letter, Some(DeadLetter { source, reason }));
}

/// A dead letter without a reason is found behind any number that have one.
pub async fn what_nobody_explained_is_found_behind_what_was(bench: &dyn Bench) {
    let work = work_with_dead(bench, 1).await;
    for name in ["a", "b", "c"] {
        send(bench, "work", message(name)).await;
        let lease = one(&work).await.lease;
        let given_up = work.dead_letter(lease, "reason", Vec::new()).await;
        given_up.expect("moved");
    }
    let unexplained = bench.operations().unexplained("dead", 10).await;
    assert_eq!(unexplained.expect("known"), []);
    send(bench, "work", message("moved by the broker")).await;
    one(&work).await;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    let unexplained = bench.operations().unexplained("dead", 1).await;
    let unexplained = unexplained.expect("known");
    assert_eq!(unexplained.len(), 1);
    assert_eq!(
        unexplained[0].body,
        message("moved by the broker").body.into_bytes()
    );
    assert_eq!(dead_ids(bench).await.len(), 4);
}

/// A reason from a consumer stays. A message that is gone, or that came from no other queue, gets none.
pub async fn only_what_the_broker_moved_is_explained(bench: &dyn Bench) {
    given_up(bench).await;
    send(bench, "dead", message("sent here by hand")).await;
    declare(bench, vec![QueueConfig::new("results")]).await;
    let mut ids = dead_ids(bench).await;
    ids.push("gone".into());
    for id in ids {
        let told = vec![("results".to_owned(), message("error"))];
        let explained = bench.operations().explain("dead", &id, "why", told).await;
        assert!(!explained.expect("known"), "{id}");
    }
    nothing(&consumer(bench, "results").await).await;
}

/// Puts one message on the queue `dead`, given up by a consumer of `work`.
async fn given_up(bench: &dyn Bench) {
    let work = work_with_dead(bench, 5).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    let given_up = work.dead_letter(lease, "reason", Vec::new()).await;
    given_up.expect("moved");
}

async fn dead_ids(bench: &dyn Bench) -> Vec<String> {
    let stored = bench.operations().browse("dead", 100).await.expect("known");
    stored.into_iter().map(|it| it.message_id).collect()
}
