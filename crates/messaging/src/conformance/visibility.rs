//! A received message is hidden from others for the length of its lease.

use super::Bench;
use super::steps::*;
use crate::{BeginOutcome, ErrorKind, Hold, Kept, Key, QueueConfig, RunningRequest};
use std::time::Duration;

/// Line 16.
pub async fn a_received_message_is_absent_until_its_timeout_and_then_has_a_new_receipt(
    bench: &dyn Bench,
) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let first = one(&work).await;
    bench.pass(VISIBILITY - bench.tick()).await;
    nothing(&work).await;
    bench.pass(bench.tick()).await;
    let second = one(&work).await;
    assert_eq!(second.body, first.body);
    assert_ne!(second.lease.receipt, first.lease.receipt);
}

/// Line 17; the timeout is the queue's, the port has none per receive.
pub async fn a_queue_without_a_timeout_hands_a_message_out_again_at_once(bench: &dyn Bench) {
    let mut queue = QueueConfig::new("work");
    queue.visibility = Duration::ZERO;
    declare(bench, vec![queue]).await;
    let work = consumer(bench, "work").await;
    send(bench, "work", message("a")).await;
    let first = one(&work).await;
    let second = one(&work).await;
    assert_ne!(second.lease.receipt, first.lease.receipt);
}

/// Line 19.
pub async fn a_lease_that_is_renewed_in_time_is_never_handed_to_another(bench: &dyn Bench) {
    let mut queue = QueueConfig::new("work");
    queue.visibility = seconds(2);
    declare(bench, vec![queue]).await;
    let (work, other) = (consumer(bench, "work").await, consumer(bench, "work").await);
    send(bench, "work", message("a")).await;
    let mut lease = one(&work).await.lease;
    for _ in 0..4 {
        bench.pass(seconds(1)).await;
        let granted_ms = lease.deadline_ms + 1_000;
        renew(&work, &mut lease, seconds(2)).await.expect("renewed");
        assert_same_time(bench, lease.deadline_ms, granted_ms);
        nothing(&other).await;
    }
    finish(&work, lease).await;
    bench.pass(VISIBILITY).await;
    nothing(&other).await;
}

/// Line 20.
pub async fn a_message_given_back_is_visible_at_once_and_its_next_lease_is_the_queues(
    bench: &dyn Bench,
) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    let deadline_ms = lease.deadline_ms;
    work.release(lease, Duration::ZERO).await.expect("released");
    assert_same_time(bench, one(&work).await.lease.deadline_ms, deadline_ms);
    bench.pass(VISIBILITY - bench.tick()).await;
    nothing(&work).await;
    bench.pass(bench.tick()).await;
    one(&work).await;
}

/// A consumer that releases a message with a delay receives it no sooner.
pub async fn a_message_given_back_for_later_is_absent_until_then(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    work.release(lease, seconds(300)).await.expect("released");
    bench.pass(seconds(299)).await;
    nothing(&work).await;
    bench.pass(seconds(1)).await;
    one(&work).await;
}

/// Line 21.
pub async fn a_lease_can_be_renewed_after_its_end_while_nobody_else_received(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let mut lease = one(&work).await.lease;
    bench.pass(VISIBILITY + seconds(5)).await;
    renew(&work, &mut lease, VISIBILITY).await.expect("renewed");
    nothing(&work).await;
    finish(&work, lease).await;
}

/// Line 22: twelve hours count from the receive, and more is refused instead of cut.
pub async fn a_lease_of_more_than_twelve_hours_in_total_is_refused(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let mut lease = one(&work).await.lease;
    bench.pass(seconds(30)).await;
    for want in [seconds(43_200), seconds(43_171), Duration::MAX] {
        let refused = renew(&work, &mut lease, want).await;
        assert_eq!(kind(refused), ErrorKind::Invalid, "{want:?}");
    }
    // The refusal had no effect.
    renew(&work, &mut lease, seconds(43_170))
        .await
        .expect("renewed");
    let refused = work.release(copy(&lease), Duration::MAX).await;
    assert_eq!(kind(refused), ErrorKind::Invalid);
    finish(&work, lease).await;
}

/// Line 23.
pub async fn a_deleted_message_cannot_be_renewed_or_given_back(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let mut lease = one(&work).await.lease;
    finish(&work, copy(&lease)).await;
    let refused = renew(&work, &mut lease, VISIBILITY).await;
    assert_eq!(kind(refused), ErrorKind::Invalid);
    assert_eq!(
        kind(work.release(lease, Duration::ZERO).await),
        ErrorKind::Invalid
    );
    nothing(&work).await;
}

/// Line 24, in a batch: the good entries are renewed all the same.
pub async fn a_receipt_that_nobody_wrote_cannot_be_renewed(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let (mut forged, mut good) = (forged("INVALID"), one(&work).await.lease);
    bench.pass(seconds(30)).await;
    let renewed = work.renew(vec![&mut forged, &mut good], VISIBILITY).await;
    let kinds: Vec<_> = renewed
        .into_iter()
        .map(|entry| entry.map_err(|error| error.kind))
        .collect();
    assert_eq!(kinds, [Err(ErrorKind::Invalid), Ok(())]);
    bench.pass(seconds(59)).await;
    nothing(&work).await;
}

/// The fence of line 27, for leases: who lost it can neither prolong nor end another's.
pub async fn a_lost_lease_cannot_be_renewed_or_given_back(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let mut lost = one(&work).await.lease;
    bench.pass(VISIBILITY).await;
    let held = one(&work).await.lease;
    let refused = renew(&work, &mut lost, seconds(600)).await;
    assert_eq!(kind(refused), ErrorKind::Invalid);
    assert_eq!(
        kind(work.release(lost, Duration::ZERO).await),
        ErrorKind::Invalid
    );
    nothing(&work).await;
    finish(&work, held).await;
}

/// Messages in progress are renewed together, each for itself, and their requests with them.
pub async fn what_is_in_hand_is_renewed_together_with_its_requests(bench: &dyn Bench) {
    let work = work(bench).await;
    for body in ["alone", "runs", "taken"] {
        send(bench, "work", message(body)).await;
    }
    let mut held = take(&work).await;
    assert_eq!(held.len(), 3);
    held.sort_by_key(body);
    let mut leases: Vec<_> = held.into_iter().map(|delivery| delivery.lease).collect();
    let store = bench.idempotency();
    let lease = seconds(30);
    for (name, owner) in [("runs", "owner"), ("taken", "other")] {
        let key = request(name, owner).key;
        let begun = store.begin(&key, "payload", owner, lease);
        assert_eq!(begun.await.expect("the store answers"), BeginOutcome::New);
    }
    bench.pass(seconds(20)).await;
    let mut forged = forged("INVALID");
    let requests = [request("runs", "owner"), request("taken", "owner")];
    let all = leases.iter_mut().chain([&mut forged]);
    let with = [None, Some(&requests[0]), Some(&requests[1]), None];
    let all = all.zip(with);
    let all = all.map(|(lease, request)| Hold { lease, request });
    let kept = work.hold(all.collect(), VISIBILITY).await;
    assert_eq!(kept.len(), 4, "one answer per message");
    let mut own = Vec::new();
    for (kept, request) in kept.into_iter().zip(with) {
        own.push(match (kept, request) {
            (Ok(Kept::LeaseAlone), Some(request)) => {
                let mut renewed = store
                    .renew_all(std::slice::from_ref(request), VISIBILITY)
                    .await;
                Ok(renewed.remove(0).expect("the store answers"))
            }
            (Ok(kept), _) => Ok(kept == Kept::All),
            (Err(error), _) => Err(error.kind),
        });
    }
    assert_eq!(
        own,
        [Ok(true), Ok(true), Ok(false), Err(ErrorKind::Invalid)]
    );
    // Longer than the first leases, but shorter than the renewed ones.
    bench.pass(seconds(45)).await;
    nothing(&work).await;
    let begun = store.begin(&requests[0].key, "payload", "third", VISIBILITY);
    let begun = begun.await.expect("the store answers");
    assert!(matches!(begun, BeginOutcome::Busy { .. }), "{begun:?}");
    let begun = store.begin(&requests[1].key, "payload", "third", VISIBILITY);
    assert_eq!(begun.await.expect("the store answers"), BeginOutcome::New);
}

/// A late worker on a busy machine renews all messages in progress that nobody else received.
pub async fn what_is_in_hand_is_renewed_after_its_end_while_nobody_took_it(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let mut lease = one(&work).await.lease;
    let request = request("a", "owner");
    let store = bench.idempotency();
    let begun = store.begin(&request.key, "payload", "owner", seconds(30));
    assert_eq!(begun.await.expect("the store answers"), BeginOutcome::New);
    bench.pass(VISIBILITY + seconds(5)).await;
    let held = Hold {
        lease: &mut lease,
        request: Some(&request),
    };
    let kept = work.hold(vec![held], VISIBILITY).await.remove(0);
    if kept.expect("renewed") == Kept::LeaseAlone {
        let mut renewed = store
            .renew_all(std::slice::from_ref(&request), VISIBILITY)
            .await;
        assert!(renewed.remove(0).expect("the store answers"));
    }
    nothing(&work).await;
    let begun = store.begin(&request.key, "payload", "other", VISIBILITY);
    let begun = begun.await.expect("the store answers");
    assert!(matches!(begun, BeginOutcome::Busy { .. }), "{begun:?}");
    finish(&work, lease).await;
}

fn request(name: &str, owner: &str) -> RunningRequest {
    RunningRequest {
        key: Key {
            service: "storage".into(),
            key: name.into(),
        },
        fingerprint: "payload".into(),
        owner: owner.into(),
    }
}
