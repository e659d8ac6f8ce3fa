//! Delays, and the numbers of messages in each state.

use super::Bench;
use super::steps::*;
use crate::{Consumer, Counts, Error, ErrorKind, QueueConfig};
use std::sync::Arc;
use std::time::Duration;

/// Line 43.
pub async fn a_scheduled_message_is_absent_until_its_delay_is_over(bench: &dyn Bench) {
    let work = work(bench).await;
    schedule(&work, seconds(10), "a").await.expect("accepted");
    schedule(&work, seconds(900), "b").await.expect("accepted");
    nothing(&work).await;
    bench.pass(seconds(10) - bench.tick()).await;
    nothing(&work).await;
    bench.pass(bench.tick()).await;
    let lease = one(&work).await.lease;
    finish(&work, lease).await;
    bench.pass(seconds(890) - bench.tick()).await;
    nothing(&work).await;
    bench.pass(bench.tick()).await;
    assert_eq!(body(&one(&work).await), "b");
}

/// Line 43, its second half.
pub async fn a_delay_over_the_limit_is_refused(bench: &dyn Bench) {
    let work = work(bench).await;
    for delay in [seconds(901), Duration::from_millis(900_001), Duration::MAX] {
        let refused = schedule(&work, delay, "a").await;
        assert_eq!(kind(refused), ErrorKind::Invalid, "{delay:?}");
    }
    bench.pass(seconds(1_000)).await;
    nothing(&work).await;
}

/// In a batch of follow-ups, a refused entry fails alone.
pub async fn one_bad_entry_of_a_schedule_fails_alone(bench: &dyn Bench) {
    let work = work(bench).await;
    let messages = vec![
        (Duration::ZERO, message("a")),
        (seconds(901), message("b")),
        (Duration::ZERO, message("")),
        (Duration::ZERO, message("d")),
    ];
    let entries = work.schedule(messages).await.expect("the call is accepted");
    let refused: Vec<_> = entries.iter().map(Result::is_err).collect();
    assert_eq!(refused, [false, true, true, false]);
    assert_eq!(bodies(&take(&work).await), ["a", "d"]);
    assert_eq!(kind(work.schedule(Vec::new()).await), ErrorKind::Invalid);
}

/// Line 44.
pub async fn a_message_without_delay_passes_the_delay_of_its_queue(bench: &dyn Bench) {
    let mut queue = QueueConfig::new("work");
    queue.delay = seconds(10);
    declare(bench, vec![queue]).await;
    let work = consumer(bench, "work").await;
    send(bench, "work", message("delayed")).await;
    nothing(&work).await;
    schedule(&work, Duration::ZERO, "at once")
        .await
        .expect("accepted");
    assert_eq!(body(&one(&work).await), "at once");
    bench.pass(seconds(10)).await;
    assert_eq!(body(&one(&work).await), "delayed");
}

/// A follow-up wakes a waiting receive when it is due.
pub async fn a_waiting_receive_wakes_when_a_delay_is_over(bench: &dyn Bench) {
    let work = work(bench).await;
    schedule(&work, seconds(15), "a").await.expect("accepted");
    let due = async {
        tokio::task::yield_now().await;
        bench.pass(seconds(15)).await;
    };
    let (received, ()) = within(async { tokio::join!(poll(&work, 10, WAIT), due) }).await;
    assert_eq!(bodies(&received), ["a"]);
}

/// Lines 47 and 49.
pub async fn a_purge_takes_visible_leased_and_delayed_messages(bench: &dyn Bench) {
    let queues = vec![QueueConfig::new("work"), QueueConfig::new("other")];
    declare(bench, queues).await;
    let (work, operations) = (consumer(bench, "work").await, bench.operations());
    mixed(bench, &work).await;
    send(bench, "other", message("not this one")).await;
    assert_eq!(operations.purge("work", None).await.expect("known"), 6);
    let counts = operations.counts("work").await.expect("known");
    assert_eq!(counts, Counts::default());
    bench.pass(seconds(1_000)).await;
    nothing(&work).await;
    one(&consumer(bench, "other").await).await;
}

/// Deleting with the receipt of a purged message is not an error.
pub async fn a_lease_of_a_purged_message_deletes_without_error(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    bench.operations().purge("work", None).await.expect("known");
    finish(&work, lease).await;
}

/// Line 49.
pub async fn the_counters_of_a_queue_sum_to_its_messages(bench: &dyn Bench) {
    let work = work(bench).await;
    mixed(bench, &work).await;
    let counts = bench.operations().counts("work").await.expect("known");
    let expected = Counts {
        visible: 1,
        in_flight: 2,
        delayed: 3,
    };
    assert_eq!(counts, expected);
    bench.pass(seconds(900)).await;
    let counts = bench.operations().counts("work").await.expect("known");
    let expected = Counts {
        visible: 6,
        ..Counts::default()
    };
    assert_eq!(counts, expected);
}

/// One visible message, two that are leased and three that are delayed.
async fn mixed(bench: &dyn Bench, work: &Arc<dyn Consumer>) {
    for number in 0..3 {
        send(bench, "work", message(&format!("{number}"))).await;
    }
    assert_eq!(poll(work, 2, Duration::ZERO).await.len(), 2);
    for number in 0..3 {
        let sent = schedule(work, seconds(900), &format!("late {number}")).await;
        sent.expect("accepted");
    }
}

async fn schedule(work: &Arc<dyn Consumer>, delay: Duration, body: &str) -> Result<String, Error> {
    let mut entries = work.schedule(vec![(delay, message(body))]).await?;
    assert_eq!(entries.len(), 1, "one answer per message");
    entries.remove(0)
}
