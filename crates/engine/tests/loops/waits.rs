//! How a worker shows which messages it is handling, and what they are waiting for.

use crate::worker::{Act, Bench, bench};
use pudato_protocol::Object;
use std::time::Duration;

const WAREHOUSE: &str = "the warehouse, which dbt has";

fn told(bench: &Bench) -> Vec<Object> {
    bench.told.0.lock().expect("no panic").clone()
}

#[tokio::test]
async fn a_wait_is_on_the_board_from_its_beginning_and_reported_once_it_is_long() {
    let bench = bench(vec![Act::WaitFor(WAREHOUSE, Duration::from_secs(30))]).await;
    bench.send().await;
    let in_hand = bench.board.in_hand();
    assert_eq!(in_hand.len(), 1);
    let entry = &in_hand[0];
    assert_eq!(entry.step_id.as_deref(), Some("step-1"));
    assert_eq!(
        (entry.attempt, entry.since_ms),
        (Some(1), 1_795_392_000_000)
    );
    assert_eq!(entry.gives_up_at_ms, Some(entry.since_ms + 600_000));
    let waited = entry.waits_for.as_ref().expect("a wait");
    assert_eq!(
        (&*waited.what, waited.since_ms),
        (WAREHOUSE, entry.since_ms)
    );
    bench.pass(1).await;
    assert!(told(&bench).is_empty(), "most waits are over by then");
    bench.pass(2).await;
    let told_of = told(&bench);
    assert_eq!(told_of.len(), 1);
    assert_eq!(told_of[0]["waits_for"], WAREHOUSE);
    let since = told_of[0]["since"].as_str().expect("a time");
    assert!(since.starts_with("2026-11-23T00:00:00"), "{since}");
    bench.pass(20).await;
    assert_eq!(told(&bench).len(), 1, "there is no news");
    bench.pass(10).await;
    assert!(bench.board.in_hand().is_empty());
    assert_eq!(bench.answers().await.len(), 1);
}

#[tokio::test]
async fn an_open_breaker_shows_since_when_why_and_which_command_found_out() {
    let script = vec![Act::Unavailable, Act::Unavailable, Act::Unavailable];
    let bench = bench(script).await;
    bench.send().await;
    let outages = bench.board.outages();
    assert_eq!(outages.len(), 1);
    assert_eq!(
        (&*outages[0].of, &*outages[0].why),
        ("test", "the backend is down")
    );
    let in_hand = bench.board.in_hand();
    assert_eq!(outages[0].held_by, in_hand[0].correlation_id);
    let waited = in_hand[0].waits_for.as_ref().expect("a wait");
    assert!(
        waited.what.contains("the backend is down"),
        "{}",
        waited.what
    );
    let since_ms = outages[0].since_ms;
    for _ in 0..60 {
        bench.pass(1).await;
        match bench.board.outages().first() {
            Some(outage) => assert_eq!(outage.since_ms, since_ms, "it is the same outage"),
            None => break,
        }
    }
    assert!(bench.board.outages().is_empty(), "the backend is back");
    assert!(bench.board.in_hand().is_empty());
    assert_eq!(bench.answers().await.len(), 1);
}

#[tokio::test]
async fn a_handler_that_panics_leaves_nothing_on_the_board() {
    let bench = bench(vec![Act::Panic, Act::Panic, Act::Panic]).await;
    bench.send().await;
    bench.pass(300).await;
    assert!(bench.board.in_hand().is_empty());
    assert!(bench.board.outages().is_empty());
}

#[tokio::test]
async fn a_second_copy_that_waits_for_the_first_is_on_the_board_and_its_sender_is_not_notified() {
    let bench = bench(vec![Act::Take(Duration::from_secs(30))]).await;
    bench.send_once(2).await;
    bench.pass(10).await;
    let in_hand = bench.board.in_hand();
    let waits = in_hand.iter().filter_map(|entry| entry.waits_for.as_ref());
    let waits: Vec<&str> = waits.map(|waited| waited.what.as_str()).collect();
    assert_eq!(waits.len(), 1, "{in_hand:?}");
    assert!(waits[0].starts_with("the same request"), "{waits:?}");
    bench.pass(120).await;
    assert!(told(&bench).is_empty());
    assert!(bench.board.in_hand().is_empty());
}
