//! A batch is refused as a whole or entry by entry, and the caller can tell the two apart.

use super::Bench;
use super::steps::*;
use crate::{ErrorKind, Message};

/// Lines 50 and 62.
pub async fn a_batch_of_none_or_too_many_is_refused_and_nothing_is_queued(bench: &dyn Bench) {
    let work = work(bench).await;
    let limits = bench.publisher().limits("work").await.expect("known topic");
    for count in [0, limits.batch_entries_max + 1] {
        let refused = bench.publisher().publish("work", numbered(count)).await;
        assert_eq!(kind(refused), ErrorKind::Invalid, "{count} entries");
    }
    nothing(&work).await;
}

/// Line 62: the sum counts, each entry alone would pass.
pub async fn a_batch_over_the_size_limit_is_refused_and_nothing_is_queued(bench: &dyn Bench) {
    let work = work(bench).await;
    let limits = bench.publisher().limits("work").await.expect("known topic");
    let half = message(&"a".repeat(limits.batch_bytes_max / 2));
    let over = vec![half.clone(), half.clone(), message("b")];
    let refused = bench.publisher().publish("work", over).await;
    assert_eq!(kind(refused), ErrorKind::TooLarge);
    nothing(&work).await;
    let fits = bench
        .publisher()
        .publish("work", vec![half.clone(), half])
        .await;
    assert!(fits.expect("accepted").iter().all(Result::is_ok));
    assert_eq!(take(&work).await.len(), 2);
}

/// Line 51.
pub async fn one_illegal_entry_of_ten_fails_alone_and_in_its_place(bench: &dyn Bench) {
    let work = work(bench).await;
    let mut messages = numbered(10);
    messages[4] = message("\u{0}");
    let entries = bench.publisher().publish("work", messages).await;
    let entries = entries.expect("the call is accepted");
    let refused: Vec<_> = entries.iter().map(Result::is_err).collect();
    let expected: Vec<_> = (0..10).map(|number| number == 4).collect();
    assert_eq!(refused, expected);
    let expected: Vec<_> = (0..10)
        .filter(|it| *it != 4)
        .map(|it| it.to_string())
        .collect();
    assert_eq!(bodies(&take(&work).await), expected);
}

/// The answers hold one id each, and no two the same.
pub async fn a_batch_is_answered_in_the_order_of_its_messages(bench: &dyn Bench) {
    let work = work(bench).await;
    let entries = bench.publisher().publish("work", numbered(10)).await;
    let entries = entries.expect("the call is accepted").into_iter();
    let mut ids: Vec<_> = entries.map(|entry| entry.expect("accepted")).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 10);
    assert_eq!(take(&work).await.len(), 10);
}

/// A receive returns no more than it asked for, and leaves the rest for others.
pub async fn a_receive_returns_no_more_than_it_was_asked_for(bench: &dyn Bench) {
    let work = work(bench).await;
    let sent = bench.publisher().publish("work", numbered(10)).await;
    sent.expect("accepted");
    let mut received = Vec::new();
    for max in [1, 3, 10] {
        let deliveries = poll(&work, max, std::time::Duration::ZERO).await;
        assert!(deliveries.len() <= max);
        received.extend(deliveries);
    }
    let expected: Vec<_> = (0..10).map(|number| number.to_string()).collect();
    assert_eq!(bodies(&received), expected);
}

fn numbered(count: usize) -> Vec<Message> {
    (0..count)
        .map(|number| message(&number.to_string()))
        .collect()
}
