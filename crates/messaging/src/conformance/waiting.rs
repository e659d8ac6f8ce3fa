//! Receives that wait.

use super::Bench;
use super::steps::*;
use std::task::Poll;
use std::time::Duration;
use tokio::task::yield_now;

/// Line 10.
pub async fn a_waiting_receive_returns_what_is_there_without_waiting_for_more(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    send(bench, "work", message("b")).await;
    // Time stands still, so waiting for the third message would never end.
    assert_eq!(bodies(&poll(&work, 3, WAIT).await), ["a", "b"]);
}

/// Line 11.
pub async fn a_waiting_receive_wakes_when_a_message_arrives(bench: &dyn Bench) {
    let work = work(bench).await;
    let arrival = async {
        yield_now().await;
        send(bench, "work", message("a")).await
    };
    let (received, _) = within(async { tokio::join!(poll(&work, 10, WAIT), arrival) }).await;
    assert_eq!(bodies(&received), ["a"]);
}

/// A receive that finds nothing ends, but not early.
pub async fn a_waiting_receive_answers_nothing_after_its_wait(bench: &dyn Bench) {
    let work = work(bench).await;
    let mut receiving = Box::pin(poll(&work, 1, WAIT));
    for step in [seconds(10), seconds(9)] {
        assert!(is_waiting(&mut receiving).await);
        bench.pass(step).await;
    }
    assert!(is_waiting(&mut receiving).await);
    bench.pass(seconds(1)).await;
    assert!(within(receiving).await.is_empty());
}

/// Line 12.
pub async fn one_message_goes_to_one_of_two_waiting_receives(bench: &dyn Bench) {
    let first = work(bench).await;
    let second = consumer(bench, "work").await;
    let arrival = async {
        yield_now().await;
        send(bench, "work", message("a")).await;
        for _ in 0..100 {
            yield_now().await;
        }
        // Less than the visibility timeout, so that the message does not come back meanwhile.
        bench.pass(WAIT).await;
    };
    let (first, second, ()) =
        within(async { tokio::join!(poll(&first, 10, WAIT), poll(&second, 10, WAIT), arrival) })
            .await;
    assert_eq!(first.len() + second.len(), 1, "{first:?} {second:?}");
}

/// Line 13.
pub async fn a_waiting_receive_returns_a_message_whose_lease_ends_meanwhile(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    one(&work).await;
    bench.pass(VISIBILITY - seconds(10)).await;
    let end = async {
        yield_now().await;
        bench.pass(seconds(10)).await;
    };
    let (received, ()) = within(async { tokio::join!(poll(&work, 10, WAIT), end) }).await;
    assert_eq!(bodies(&received), ["a"]);
}

/// A released message wakes waiting receives, as a new one does.
pub async fn a_waiting_receive_wakes_when_a_message_is_given_back(bench: &dyn Bench) {
    let work = work(bench).await;
    send(bench, "work", message("a")).await;
    let lease = one(&work).await.lease;
    let giving_back = async {
        yield_now().await;
        work.release(lease, Duration::ZERO).await.expect("released");
    };
    let (received, ()) = within(async { tokio::join!(poll(&work, 10, WAIT), giving_back) }).await;
    assert_eq!(bodies(&received), ["a"]);
}

/// Line 14. A backend that cannot take a call back leases for the visibility timeout at most.
pub async fn a_cancelled_receive_leases_nothing_for_longer_than_the_timeout(bench: &dyn Bench) {
    let work = work(bench).await;
    let mut waiting = Box::pin(poll(&work, 10, WAIT));
    assert!(is_waiting(&mut waiting).await);
    drop(waiting);
    send(bench, "work", message("a")).await;
    assert_eq!(
        body(&one(&work).await),
        "a",
        "the call was gone before the message came"
    );
    bench.pass(VISIBILITY).await;
    // The receive is dropped while the message is being handed out.
    drop(polled_once(Box::pin(take(&work))).await);
    bench.pass(VISIBILITY).await;
    assert_eq!(body(&one(&work).await), "a");
}

/// Polls the future once and returns it, as a caller that may change its mind.
async fn polled_once<F: Future + Unpin>(mut future: F) -> F {
    std::future::poll_fn(|context| {
        let _ = std::pin::Pin::new(&mut future).poll(context);
        Poll::Ready(())
    })
    .await;
    future
}

/// Whether the receive still waits after all other tasks have run.
async fn is_waiting<F: Future + Unpin>(future: &mut F) -> bool {
    for _ in 0..10 {
        let is_ready = std::future::poll_fn(|context| {
            Poll::Ready(std::pin::Pin::new(&mut *future).poll(context).is_ready())
        });
        if is_ready.await {
            return false;
        }
        yield_now().await;
    }
    true
}
