//! Everything that follows from a handled message happens together, before the message is deleted.

use super::Bench;
use super::steps::*;
use crate::{
    BeginOutcome, Consumer, Deleted, ErrorKind, IdempotencyRecord, Key, QueueConfig, Settlement,
};
use std::sync::Arc;
use std::time::Duration;

/// One settlement does everything.
pub async fn a_settlement_publishes_schedules_keeps_the_answer_and_deletes(bench: &dyn Bench) {
    let (work, results) = desk(bench).await;
    let mut settlement = Settlement::of(handled(bench, &work).await);
    settlement
        .publish
        .push(("results".into(), message("result")));
    settlement
        .schedule
        .push((seconds(30), message("follow-up")));
    settlement.answered = Some(answered("owner"));
    let deleted = settle(&work, settlement).await.expect("settled");
    assert_ne!(deleted, Deleted::LeaseLost);
    assert_eq!(body(&one(&results).await), "result");
    nothing(&work).await;
    bench.pass(seconds(30)).await;
    let follow_up = one(&work).await;
    assert_eq!(body(&follow_up), "follow-up");
    finish(&work, follow_up.lease).await;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
}

/// A backend whose settle stores the answer does so together with the rest; with others, the loop calls `finish` before it settles.
pub async fn the_answer_of_a_settlement_is_given_when_the_request_comes_again(bench: &dyn Bench) {
    let (work, _) = desk(bench).await;
    let mut settlement = Settlement::of(handled(bench, &work).await);
    settlement.answered = Some(answered("owner"));
    settle(&work, settlement).await.expect("settled");
    let again = begin(bench, "another").await;
    let answer = "answer".to_owned();
    assert_eq!(again, BeginOutcome::Done { answer });
}

/// A consumer that lost its lease settles nothing; the new holder will. For backends whose settle is one transaction.
pub async fn a_lost_lease_settles_nothing(bench: &dyn Bench) {
    let (work, results) = desk(bench).await;
    let lost = handled(bench, &work).await;
    bench.pass(VISIBILITY).await;
    let held = one(&work).await.lease;
    let mut settlement = Settlement::of(lost);
    settlement
        .publish
        .push(("results".into(), message("stale")));
    settlement.schedule.push((Duration::ZERO, message("stale")));
    settlement.answered = Some(answered("owner"));
    let deleted = settle(&work, settlement).await.expect("accepted");
    assert_eq!(deleted, Deleted::LeaseLost);
    nothing(&results).await;
    nothing(&work).await;
    assert_eq!(begin(bench, "another").await, BeginOutcome::New);
    let mut settlement = Settlement::of(held);
    settlement
        .publish
        .push(("results".into(), message("fresh")));
    settle(&work, settlement).await.expect("settled");
    assert_eq!(body(&one(&results).await), "fresh");
}

/// A second settle of the same message repeats nothing. For backends whose settle is one transaction.
pub async fn settling_twice_publishes_once(bench: &dyn Bench) {
    let (work, results) = desk(bench).await;
    let lease = handled(bench, &work).await;
    for lease in [copy(&lease), lease] {
        let mut settlement = Settlement::of(lease);
        settlement
            .publish
            .push(("results".into(), message("result")));
        settle(&work, settlement).await.expect("accepted");
    }
    one(&results).await;
}

/// A settlement that cannot publish keeps its message, and is refused before anything is done.
pub async fn a_settlement_that_is_refused_leaves_its_message(bench: &dyn Bench) {
    let (work, results) = desk(bench).await;
    let lease = handled(bench, &work).await;
    let good = || vec![("results".to_owned(), message("result"))];
    let refused = [
        (("nowhere", message("a")), None, ErrorKind::NotFound),
        (("results", message("")), None, ErrorKind::Invalid),
        (
            ("results", message("a")),
            Some((seconds(901), message("a"))),
            ErrorKind::Invalid,
        ),
        (
            ("results", message("a")),
            Some((Duration::ZERO, message("\0"))),
            ErrorKind::Invalid,
        ),
    ];
    for ((topic, last), schedule, expected) in refused {
        let mut settlement = Settlement::of(copy(&lease));
        settlement.publish = good();
        settlement.publish.push((topic.into(), last));
        settlement.schedule.extend(schedule);
        assert_eq!(kind(settle(&work, settlement).await), expected);
    }
    let unknown = settle(&work, Settlement::of(forged("garbage"))).await;
    assert_eq!(kind(unknown), ErrorKind::Invalid);
    nothing(&results).await;
    bench.pass(VISIBILITY).await;
    one(&work).await;
}

/// An entry does not affect its neighbours.
pub async fn one_refused_settlement_of_a_batch_fails_alone(bench: &dyn Bench) {
    let (work, results) = desk(bench).await;
    for body in ["1", "2", "3"] {
        send(bench, "work", message(body)).await;
    }
    let deliveries = take(&work).await;
    assert_eq!(deliveries.len(), 3);
    let settlements = deliveries.into_iter().map(|delivery| {
        let topic = if delivery.body == b"2" {
            "nowhere"
        } else {
            "results"
        };
        let publish = vec![(topic.to_owned(), message(&body(&delivery)))];
        Settlement {
            publish,
            ..Settlement::of(delivery.lease)
        }
    });
    let entries = work.settle(settlements.collect()).await;
    assert_eq!(
        entries.iter().filter(|entry| entry.is_err()).count(),
        1,
        "{entries:?}"
    );
    assert_eq!(bodies(&take(&results).await), ["1", "3"]);
    bench.pass(VISIBILITY).await;
    assert_eq!(body(&one(&work).await), "2");
}

/// A late worker has not handled its message in vain, if nobody else received it.
pub async fn a_settlement_after_the_end_of_its_lease_counts_while_nobody_else_received(
    bench: &dyn Bench,
) {
    let (work, results) = desk(bench).await;
    let mut settlement = Settlement::of(handled(bench, &work).await);
    settlement
        .publish
        .push(("results".into(), message("result")));
    bench.pass(VISIBILITY + seconds(5)).await;
    let deleted = settle(&work, settlement).await.expect("settled");
    assert_ne!(deleted, Deleted::LeaseLost);
    assert_eq!(body(&one(&results).await), "result");
    nothing(&work).await;
}

/// The queues `work` and `results`, and a request that `owner` has begun.
async fn desk(bench: &dyn Bench) -> (Arc<dyn Consumer>, Arc<dyn Consumer>) {
    declare(
        bench,
        vec![QueueConfig::new("work"), QueueConfig::new("results")],
    )
    .await;
    assert_eq!(begin(bench, "owner").await, BeginOutcome::New);
    (
        consumer(bench, "work").await,
        consumer(bench, "results").await,
    )
}

async fn handled(bench: &dyn Bench, work: &Arc<dyn Consumer>) -> crate::Lease {
    send(bench, "work", message("command")).await;
    one(work).await.lease
}

async fn settle(work: &Arc<dyn Consumer>, settlement: Settlement) -> Result<Deleted, crate::Error> {
    let mut entries = work.settle(vec![settlement]).await;
    assert_eq!(entries.len(), 1, "one answer per settlement");
    entries.remove(0)
}

fn key() -> Key {
    Key {
        service: "storage".into(),
        key: "request".into(),
    }
}

fn answered(owner: &str) -> IdempotencyRecord {
    IdempotencyRecord {
        fingerprint: None,
        key: key(),
        owner: owner.into(),
        answer: "answer".into(),
    }
}

async fn begin(bench: &dyn Bench, owner: &str) -> BeginOutcome {
    let begun = bench
        .idempotency()
        .begin(&key(), "payload", owner, seconds(10))
        .await;
    begun.expect("the store answers")
}
