//! A message that cannot be handled is moved and never lost. A test of a cloud marks the promises that the cloud cannot keep: there, a
//! dead-lettered copy may have another id, and attempts are approximate.

use super::Bench;
use super::steps::*;
use crate::{DeadLetter, Deleted, ErrorKind, QueueConfig};
use std::time::Duration;

/// Line 33.
pub async fn attempts_count_the_receives_and_the_first_receive_keeps_its_time(bench: &dyn Bench) {
    declare(bench, vec![brief("work")]).await;
    let work = consumer(bench, "work").await;
    send(bench, "work", message("a")).await;
    let first_ms = bench_now(bench);
    for attempt in 1..=3 {
        let delivery = one(&work).await;
        assert_eq!(delivery.attempt, Some(attempt));
        let received_ms = delivery.first_received_ms.expect("known");
        assert_same_time(bench, received_ms, first_ms);
        assert_eq!(delivery.attempt_max, None);
        bench.pass(BRIEF).await;
    }
}

/// Line 34.
pub async fn a_message_received_too_often_moves_with_its_id(bench: &dyn Bench) {
    let work = work_with_dead(bench, 1).await;
    send(bench, "work", message("a")).await;
    let delivery = one(&work).await;
    assert_eq!(delivery.attempt_max, Some(1));
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    let dead = one(&consumer(bench, "dead").await).await;
    assert_eq!(dead.message_id, delivery.message_id);
}

/// Lines 35 and 46: age is looked at, where the port shows it.
pub async fn a_moved_message_keeps_body_attributes_age_and_count(bench: &dyn Bench) {
    let work = work_with_dead(bench, 1).await;
    let sent_ms = bench_now(bench);
    let sent = with(message("a\r\n"), "traceparent", "00-1-2-01");
    send(bench, "work", sent.clone()).await;
    one(&work).await;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    let stored = bench.operations().browse("dead", 10).await.expect("known");
    assert_eq!(stored.len(), 1);
    assert_same_time(bench, stored[0].sent_at_ms, sent_ms);
    let dead = one(&consumer(bench, "dead").await).await;
    assert_eq!(body(&dead), sent.body);
    assert_eq!(dead.attributes, sent.attributes);
    assert_eq!(dead.attempt, Some(2));
    let source = "work".into();
    let by_the_broker = DeadLetter {
        source,
        reason: None,
    };
    assert_eq!(dead.dead_letter, Some(by_the_broker));
}

/// Line 36.
pub async fn two_allowed_receives_are_two_attempts(bench: &dyn Bench) {
    let queues = vec![brief("work").redrive(2, "dead"), brief("dead")];
    declare(bench, queues).await;
    let (work, dead) = (consumer(bench, "work").await, consumer(bench, "dead").await);
    send(bench, "work", message("a")).await;
    let mut attempts = 0;
    for _ in 0..5 {
        attempts += take(&work).await.len();
        if attempts == 1 {
            nothing(&dead).await;
        }
        bench.pass(BRIEF).await;
    }
    assert_eq!(attempts, 2);
    one(&dead).await;
}

/// A waiting receive returns the next message if the first one must be moved.
pub async fn a_poison_message_does_not_hold_up_the_others(bench: &dyn Bench) {
    let work = work_with_dead(bench, 1).await;
    send(bench, "work", message("poison")).await;
    one(&work).await;
    bench.pass(VISIBILITY).await;
    send(bench, "work", message("good")).await;
    assert_eq!(bodies(&poll(&work, 1, Duration::ZERO).await), ["good"]);
}

/// Line 38.
pub async fn a_message_deleted_in_time_never_reaches_the_dead_letter_queue(bench: &dyn Bench) {
    let work = work_with_dead(bench, 2).await;
    send(bench, "work", message("a")).await;
    one(&work).await;
    bench.pass(VISIBILITY).await;
    let lease = one(&work).await.lease;
    finish(&work, lease).await;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    nothing(&consumer(bench, "dead").await).await;
}

/// Line 39.
pub async fn a_poison_message_ends_at_the_last_queue_of_a_chain(bench: &dyn Bench) {
    let queues = vec![
        brief("first").redrive(1, "second"),
        brief("second").redrive(2, "third"),
        brief("third"),
    ];
    declare(bench, queues).await;
    send(bench, "first", message("poison")).await;
    let (first, second) = (
        consumer(bench, "first").await,
        consumer(bench, "second").await,
    );
    for _ in 0..6 {
        take(&first).await;
        take(&second).await;
        bench.pass(BRIEF).await;
    }
    nothing(&first).await;
    nothing(&second).await;
    let third = one(&consumer(bench, "third").await).await;
    assert_eq!(
        third.dead_letter.map(|it| it.source).as_deref(),
        Some("second")
    );
}

/// A consumer that dead-letters a message states the reason.
pub async fn a_message_given_up_moves_with_its_bytes_and_the_reason(bench: &dyn Bench) {
    let work = work_with_dead(bench, 5).await;
    declare(bench, vec![QueueConfig::new("results")]).await;
    let sent = with(message("not json \r\n"), "trace", "1");
    send(bench, "work", sent.clone()).await;
    let lease = one(&work).await.lease;
    let publish = vec![("results".into(), message("error"))];
    let given_up = work.dead_letter(lease, "cannot be read", publish).await;
    given_up.expect("moved");
    let dead = one(&consumer(bench, "dead").await).await;
    assert_eq!(body(&dead), sent.body);
    assert_eq!(dead.attributes, sent.attributes);
    let (source, reason) = ("work".into(), Some("cannot be read".into()));
    assert_eq!(dead.dead_letter, Some(DeadLetter { source, reason }));
    assert_eq!(body(&one(&consumer(bench, "results").await).await), "error");
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
}

/// A message that cannot be moved stays where it is.
pub async fn a_queue_without_a_dead_letter_queue_keeps_its_message(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    let publish = vec![("work".into(), message("error"))];
    let refused = work.dead_letter(copy(&lease), "reason", publish).await;
    assert_eq!(kind(refused), ErrorKind::NotFound);
    nothing(&work).await;
    bench.pass(VISIBILITY).await;
    one(&work).await;
}

/// A consumer that lost its lease cannot dead-letter the message for its new holder.
pub async fn a_lost_lease_cannot_give_a_message_up(bench: &dyn Bench) {
    let work = work_with_dead(bench, 5).await;
    send(bench, "work", message("a")).await;
    let lost = one(&work).await.lease;
    bench.pass(VISIBILITY).await;
    let held = one(&work).await.lease;
    let publish = vec![("work".into(), message("error"))];
    let refused = work.dead_letter(lost, "reason", publish).await;
    assert_eq!(kind(refused), ErrorKind::Invalid);
    nothing(&work).await;
    nothing(&consumer(bench, "dead").await).await;
    assert_ne!(delete(&work, held).await.expect("held"), Deleted::LeaseLost);
}

/// If publishing fails, the message stays, because its sender would not be notified.
pub async fn a_message_stays_when_its_sender_cannot_be_told(bench: &dyn Bench) {
    let work = work_with_dead(bench, 5).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    let publish = vec![("nowhere".into(), message("error"))];
    let refused = work.dead_letter(copy(&lease), "reason", publish).await;
    assert_eq!(kind(refused), ErrorKind::NotFound);
    nothing(&consumer(bench, "dead").await).await;
    finish(&work, lease).await;
}

/// A machine can be busier than a lease is long. A lease that ends while its holder is alive is no attempt, and is excused once. For
/// backends that count attempts themselves.
pub async fn an_attempt_whose_holder_lives_on_is_not_counted(bench: &dyn Bench) {
    let work = work_with_dead(bench, 2).await;
    let dead = consumer(bench, "dead").await;
    send(bench, "work", message("renewed")).await;
    let mut late = one(&work).await.lease;
    bench.pass(VISIBILITY).await;
    // Nothing shows yet that the first holder is alive.
    assert_eq!(one(&work).await.attempt, Some(2));
    for _ in 0..2 {
        let refused = renew(&work, &mut late, VISIBILITY).await;
        assert_eq!(kind(refused), ErrorKind::Invalid);
    }
    // The second holder never comes back, so this counts as an attempt.
    bench.pass(VISIBILITY).await;
    assert_eq!(one(&work).await.attempt, Some(2));
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    assert_eq!(body(&one(&dead).await), "renewed");

    send(bench, "work", message("excused")).await;
    let late = one(&work).await.lease;
    bench.pass(VISIBILITY).await;
    one(&work).await;
    work.excuse(&late).await;
    bench.pass(VISIBILITY).await;
    let again = one(&work).await;
    assert_eq!(again.attempt, Some(2));
    finish(&work, again.lease).await;

    send(bench, "work", message("given back")).await;
    let lease = one(&work).await.lease;
    let gone = copy(&lease);
    work.release(lease, Duration::ZERO).await.expect("released");
    one(&work).await;
    work.excuse(&gone).await;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    assert_eq!(bodies(&take(&dead).await), ["given back", "renewed"]);
}

/// A holder that is late at the last attempt gets its message back, unless its sender was already notified. For backends that count
/// attempts themselves.
pub async fn a_late_holder_takes_its_message_back_after_the_last_attempt(bench: &dyn Bench) {
    let work = work_with_dead(bench, 1).await;
    let dead = consumer(bench, "dead").await;
    send(bench, "work", message("a")).await;
    let mut lease = one(&work).await.lease;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    let counts = bench.operations().counts("dead").await.expect("known");
    assert_eq!(counts.visible, 1);
    renew(&work, &mut lease, VISIBILITY).await.expect("renewed");
    nothing(&work).await;
    nothing(&dead).await;
    // A delete has the same effect.
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    assert_eq!(
        delete(&work, lease).await.expect("deleted"),
        Deleted::Deleted
    );
    nothing(&dead).await;

    send(bench, "work", message("b")).await;
    let delivery = one(&work).await;
    let (id, mut lease) = (delivery.message_id, delivery.lease);
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    let operations = bench.operations();
    let told = operations.explain("dead", &id, "too often", Vec::new());
    assert!(told.await.expect("known"));
    let refused = renew(&work, &mut lease, VISIBILITY).await;
    assert_eq!(kind(refused), ErrorKind::Invalid);
    assert_eq!(body(&one(&dead).await), "b");
}

fn bench_now(bench: &dyn Bench) -> u64 {
    crate::Clock::now_ms(bench.clock())
}
