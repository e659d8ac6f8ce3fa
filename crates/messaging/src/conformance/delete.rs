//! A delete ends the caller's own delivery and no other.

use super::Bench;
use super::steps::*;
use crate::{Deleted, ErrorKind};

/// Line 25.
pub async fn a_deleted_message_does_not_come_back(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    finish(&work, lease).await;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
}

/// Line 26.
pub async fn a_lease_deletes_after_its_end_while_nobody_else_received(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    bench.pass(VISIBILITY + seconds(1)).await;
    finish(&work, lease).await;
    nothing(&work).await;
}

/// Line 27.
pub async fn a_lost_lease_leaves_the_delivery_of_its_new_holder_alone(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let lost = one(&work).await.lease;
    bench.pass(VISIBILITY).await;
    let mut held = one(&work).await.lease;
    let deleted = delete(&work, lost).await.expect("accepted");
    assert_ne!(deleted, Deleted::Deleted);
    renew(&work, &mut held, VISIBILITY)
        .await
        .expect("still held");
    finish(&work, held).await;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
}

/// Line 28.
pub async fn deleting_a_deleted_message_again_is_no_error(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    for _ in 0..3 {
        finish(&work, copy(&lease)).await;
    }
}

/// Line 29.
pub async fn a_receipt_that_nobody_wrote_cannot_delete(bench: &dyn Bench) {
    let work = work(bench).await;
    for receipt in ["garbage", "", "1.2.3", "..\u{FFFD}.."] {
        let refused = delete(&work, forged(receipt)).await;
        assert_eq!(kind(refused), ErrorKind::Invalid, "{receipt:?}");
    }
}

/// Line 31.
pub async fn one_bad_receipt_in_a_batch_fails_alone(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    send(bench, "work", message("b")).await;
    let mut leases: Vec<_> = take(&work).await.into_iter().map(|it| it.lease).collect();
    leases.insert(1, forged("garbage"));
    let entries = work.delete(leases).await;
    let failed: Vec<_> = entries.iter().map(Result::is_err).collect();
    assert_eq!(failed, [false, true, false]);
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
}

/// A lease belongs to the queue it came from.
pub async fn a_lease_of_another_queue_is_refused(bench: &dyn Bench) {
    let queues = vec![
        crate::QueueConfig::new("work"),
        crate::QueueConfig::new("other"),
    ];
    declare(bench, queues).await;
    let (work, other) = (
        consumer(bench, "work").await,
        consumer(bench, "other").await,
    );
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    assert_eq!(kind(delete(&other, copy(&lease)).await), ErrorKind::Invalid);
    finish(&work, lease).await;
}
