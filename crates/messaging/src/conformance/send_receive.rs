//! Messages are received as they were sent, within the limits.

use super::Bench;
use super::steps::*;
use crate::{ErrorKind, Receive};
use std::time::Duration;

/// Line 1.
pub async fn an_empty_queue_answers_nothing_and_no_error(bench: &dyn Bench) {
    nothing(&work(bench).await).await;
}

/// Line 2, but for the MD5, which the port does not carry. A backend may give the queue's copy another id than it answered.
pub async fn a_message_arrives_byte_for_byte(bench: &dyn Bench) {
    let work = work(bench).await;
    let text = "{\"text\":\"a\\u0000b\",\r\n\t\"more\": [\"ä\u{10348}\u{FFFD}\"] }\r\n ";
    let sent = with(message(text), "trace", "é\r\n1");
    assert!(!send(bench, "work", sent.clone()).await.is_empty());
    let received = one(&work).await;
    assert_eq!(received.body, text.as_bytes());
    assert_eq!(received.attributes, sent.attributes);
    assert!(!received.message_id.is_empty());
    assert_eq!(received.dead_letter, None);
    // The lease lasts as long as the queue's visibility timeout.
    let from_ms = received.first_received_ms.expect("known");
    assert_same_time(bench, received.lease.deadline_ms, from_ms + 60_000);
}

/// Lines 3 and 60.
pub async fn an_empty_body_is_refused_and_nothing_is_queued(bench: &dyn Bench) {
    let work = work(bench).await;
    assert_eq!(
        refusal(bench, "work", message("")).await,
        ErrorKind::Invalid
    );
    nothing(&work).await;
}

/// Line 4.
pub async fn characters_that_cannot_travel_are_refused(bench: &dyn Bench) {
    let work = work(bench).await;
    for illegal in ["\u{0}", "\u{8}", "\u{FFFE}", "\u{FFFF}"] {
        let in_body = message(&format!("a{illegal}b"));
        assert_eq!(refusal(bench, "work", in_body).await, ErrorKind::Invalid);
        let in_attribute = with(message("{}"), "name", illegal);
        assert_eq!(
            refusal(bench, "work", in_attribute).await,
            ErrorKind::Invalid
        );
    }
    nothing(&work).await;
}

/// Line 5.
pub async fn a_body_of_the_limit_is_accepted_and_one_byte_more_is_refused(bench: &dyn Bench) {
    let work = work(bench).await;
    let max = limit(bench).await;
    // A character of three bytes distinguishes bytes from characters.
    let largest = format!("\u{20AC}{}", "a".repeat(max - 3));
    let larger = message(&format!("{largest}a"));
    assert_eq!(refusal(bench, "work", larger).await, ErrorKind::TooLarge);
    nothing(&work).await;
    send(bench, "work", message(&largest)).await;
    assert_eq!(one(&work).await.body.len(), max);
}

/// Line 6.
pub async fn attributes_count_towards_the_limit(bench: &dyn Bench) {
    let work = work(bench).await;
    let max = limit(bench).await;
    // Name, type and value.
    let attribute = "name".len() + "String".len() + "value".len();
    let of = |bytes: usize| with(message(&"a".repeat(bytes - attribute)), "name", "value");
    assert_eq!(
        refusal(bench, "work", of(max + 1)).await,
        ErrorKind::TooLarge
    );
    nothing(&work).await;
    send(bench, "work", of(max)).await;
    one(&work).await;
}

/// Line 7.
pub async fn more_attributes_than_the_limit_are_refused(bench: &dyn Bench) {
    let work = work(bench).await;
    let limits = bench.publisher().limits("work").await.expect("known topic");
    let of = |count: usize| {
        let names = (0..count).map(|number| format!("name-{number}"));
        names.fold(message("{}"), |message, name| with(message, &name, "v"))
    };
    let over = of(limits.attributes_max + 1);
    assert_eq!(refusal(bench, "work", over).await, ErrorKind::Invalid);
    nothing(&work).await;
    send(bench, "work", of(limits.attributes_max)).await;
    assert_eq!(one(&work).await.attributes.len(), limits.attributes_max);
}

/// Line 8.
pub async fn a_receive_for_none_or_for_more_than_ten_is_refused(bench: &dyn Bench) {
    let work = work(bench).await;
    for max in [0, 11] {
        let wait = Duration::ZERO;
        let refused = within(work.receive(Receive { max, wait })).await;
        assert_eq!(kind(refused), ErrorKind::Invalid, "max {max}");
    }
}

/// Line 9; the port's type has no negative wait.
pub async fn a_wait_of_more_than_twenty_seconds_is_refused(bench: &dyn Bench) {
    let work = work(bench).await;
    for wait in [seconds(21), Duration::from_millis(20_001), Duration::MAX] {
        let refused = within(work.receive(Receive { max: 1, wait })).await;
        assert_eq!(kind(refused), ErrorKind::Invalid, "wait {wait:?}");
    }
}

async fn limit(bench: &dyn Bench) -> usize {
    let limits = bench.publisher().limits("work").await;
    limits.expect("known topic").message_bytes_max
}
