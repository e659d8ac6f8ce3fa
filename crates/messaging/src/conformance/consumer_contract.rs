//! The promises that a consumer loop relies on.

use super::Bench;
use super::steps::*;
use crate::{ClaimStore, Clock, Error, ErrorKind, claims};
use async_trait::async_trait;
use pudato_protocol::{Command, decode};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Line 69.
pub async fn a_message_whose_handler_failed_comes_back_after_its_timeout_and_not_after_success(
    bench: &dyn Bench,
) {
    let work = work_with_dead(bench, 3).await;
    send(bench, "work", message("a")).await;
    // The handler fails and leaves its lease alone.
    drop(one(&work).await);
    bench.pass(VISIBILITY - seconds(1)).await;
    nothing(&work).await;
    bench.pass(seconds(1)).await;
    let lease = one(&work).await.lease;
    finish(&work, lease).await;
    bench.pass(VISIBILITY).await;
    nothing(&work).await;
    nothing(&consumer(bench, "dead").await).await;
}

/// Line 70; which of them failed is the loop's to report.
pub async fn only_the_failed_message_of_a_batch_comes_back(bench: &dyn Bench) {
    let work = work(bench).await;
    for body in ["ok 1", "ok 2", "fail"] {
        send(bench, "work", message(body)).await;
    }
    let deliveries = take(&work).await;
    assert_eq!(deliveries.len(), 3);
    let good = deliveries.into_iter().filter(|it| it.body != b"fail");
    let entries = work.delete(good.map(|it| it.lease).collect()).await;
    assert!(entries.iter().all(Result::is_ok), "{entries:?}");
    bench.pass(VISIBILITY).await;
    assert_eq!(body(&one(&work).await), "fail");
}

/// Lines 58, 59 and 73: whatever form a body has on the queue, it is read as the message that it carries.
pub async fn raw_and_enveloped_bodies_are_read_as_the_same_message(bench: &dyn Bench) {
    let work = work(bench).await;
    let command = |payload| {
        let fields = json!({"type": "storage", "action": "list", "payload": payload});
        fields.to_string()
    };
    let envelope = |text: &str| {
        let fields = json!({"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": text});
        fields.to_string()
    };
    let plain = command(json!({"n": 1}));
    // A payload that looks like an envelope is not one.
    let lookalike = command(json!({"Type": "Notification", "Message": "hello"}));
    let sent = [
        plain.clone(),
        envelope(&plain),
        envelope(&envelope(&plain)),
        lookalike.clone(),
        envelope(&lookalike),
    ];
    for body in &sent {
        send(bench, "work", message(body)).await;
    }
    let mut read = BTreeMap::new();
    for delivery in take(&work).await {
        let command: Command = decode(&delivery.body).expect("a command");
        *read.entry(json!(command.payload).to_string()).or_insert(0) += 1;
    }
    let expected = [
        (json!({"n": 1}).to_string(), 3),
        (
            json!({"Type": "Notification", "Message": "hello"}).to_string(),
            2,
        ),
    ];
    assert_eq!(read, BTreeMap::from(expected));
}

/// Line 74.
pub async fn a_message_over_the_limit_travels_as_a_claim(bench: &dyn Bench) {
    let work = work(bench).await;
    let limits = bench.publisher().limits("work").await.expect("known topic");
    let large = with(
        message(&"a".repeat(limits.message_bytes_max + 1)),
        "trace",
        "1",
    );
    assert_eq!(
        refusal(bench, "work", large.clone()).await,
        ErrorKind::TooLarge
    );
    let (store, clock): (_, &dyn Clock) = (Claims::default(), bench.clock());
    let pointer = claims::offload(large.clone(), &limits, &store, clock).await;
    send(bench, "work", pointer.expect("stored")).await;
    let received = one(&work).await;
    assert_eq!(received.attributes["trace"], "1");
    let resolved = claims::resolve(&received.body, &received.attributes, &store).await;
    let resolved = resolved.expect("found");
    assert!(resolved.is_claim);
    assert_eq!(resolved.body, large.body.as_bytes());
}

#[derive(Default)]
struct Claims(Mutex<BTreeMap<String, Vec<u8>>>);

#[async_trait]
impl ClaimStore for Claims {
    fn container(&self) -> &str {
        "claims"
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        self.0.lock().expect("no panic").insert(key.into(), bytes);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>, Error> {
        let found = self.0.lock().expect("no panic").get(key).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("claim {key:?}")))
    }
}
