//! A request runs once, and gets the same answer when it comes again.

use super::Bench;
use super::steps::*;
use crate::{BeginOutcome, IdempotencyRecord, Key, RunningRequest};
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(10);

/// Between begin and answer, the request belongs to its owner alone.
pub async fn a_request_that_runs_is_busy_for_others_and_not_for_its_owner(bench: &dyn Bench) {
    assert_eq!(begin(bench, "a", "owner").await, BeginOutcome::New);
    let until_ms = bench.clock().now_ms() + 10_000;
    assert_eq!(
        begin(bench, "a", "other").await,
        BeginOutcome::Busy { until_ms }
    );
    bench.pass(seconds(9)).await;
    // The owner's second begin renews its lease.
    assert_eq!(begin(bench, "a", "owner").await, BeginOutcome::New);
    bench.pass(seconds(9)).await;
    let until_ms = bench.clock().now_ms() + 1_000;
    assert_eq!(
        begin(bench, "a", "other").await,
        BeginOutcome::Busy { until_ms }
    );
}

/// The answer outlives its owner's lease.
pub async fn a_request_that_was_answered_is_answered_the_same_again(bench: &dyn Bench) {
    begin(bench, "a", "owner").await;
    finish_request(bench, "a", "owner", "42").await;
    bench.pass(seconds(100_000)).await;
    for owner in ["owner", "other"] {
        let answer = "42".to_owned();
        assert_eq!(
            begin(bench, "a", owner).await,
            BeginOutcome::Done { answer }
        );
    }
    // The first answer stays.
    assert!(finish_request(bench, "a", "owner", "43").await);
    let answer = "42".to_owned();
    assert_eq!(
        begin(bench, "a", "owner").await,
        BeginOutcome::Done { answer }
    );
}

/// A dead owner delays others for no longer than its lease.
pub async fn a_request_whose_owner_is_gone_is_the_next_ones_after_the_lease(bench: &dyn Bench) {
    begin(bench, "a", "owner").await;
    bench.pass(LEASE).await;
    assert_eq!(begin(bench, "a", "other").await, BeginOutcome::New);
    assert!(matches!(
        begin(bench, "a", "owner").await,
        BeginOutcome::Busy { .. }
    ));
}

/// Fencing: an owner that lost the request stores no answer and releases nothing.
pub async fn an_owner_that_lost_its_request_keeps_and_frees_nothing(bench: &dyn Bench) {
    begin(bench, "a", "owner").await;
    bench.pass(LEASE).await;
    begin(bench, "a", "other").await;
    assert!(!finish_request(bench, "a", "owner", "stale").await);
    abandon(bench, "a", "owner").await;
    assert!(matches!(
        begin(bench, "a", "third").await,
        BeginOutcome::Busy { .. }
    ));
    finish_request(bench, "a", "other", "fresh").await;
    let answer = "fresh".to_owned();
    assert_eq!(
        begin(bench, "a", "third").await,
        BeginOutcome::Done { answer }
    );
}

/// A request without an effect may run again at once, even with another payload.
pub async fn an_abandoned_request_may_run_again_at_once(bench: &dyn Bench) {
    begin(bench, "a", "owner").await;
    abandon(bench, "a", "owner").await;
    assert_eq!(
        begin_with(bench, "a", "other payload", "other").await,
        BeginOutcome::New
    );
}

/// A late abandon does not remove an answer.
pub async fn an_answered_request_cannot_be_abandoned(bench: &dyn Bench) {
    begin(bench, "a", "owner").await;
    finish_request(bench, "a", "owner", "42").await;
    abandon(bench, "a", "owner").await;
    let answer = "42".to_owned();
    assert_eq!(
        begin(bench, "a", "other").await,
        BeginOutcome::Done { answer }
    );
}

/// The same key with another payload is a mismatch: while it runs, after its lease, and after its answer.
pub async fn the_same_key_with_another_payload_is_a_mismatch(bench: &dyn Bench) {
    begin(bench, "a", "owner").await;
    assert_eq!(
        begin_with(bench, "a", "forged", "owner").await,
        BeginOutcome::Mismatch
    );
    bench.pass(LEASE).await;
    assert_eq!(
        begin_with(bench, "a", "forged", "other").await,
        BeginOutcome::Mismatch
    );
    finish_request(bench, "a", "owner", "42").await;
    assert_eq!(
        begin_with(bench, "a", "forged", "owner").await,
        BeginOutcome::Mismatch
    );
}

/// Keys of different services never collide, wherever they are split.
pub async fn keys_of_different_services_never_meet(bench: &dyn Bench) {
    let key = |service: &str, key: &str| Key {
        service: service.into(),
        key: key.into(),
    };
    for (service, name) in [("a", "bc"), ("ab", "c"), ("", "abc"), ("abc", "")] {
        let begun = bench
            .idempotency()
            .begin(&key(service, name), "p", service, LEASE)
            .await;
        assert_eq!(begun.expect("the store answers"), BeginOutcome::New);
    }
}

/// Of several concurrent begins of a request, one runs.
pub async fn one_of_many_concurrent_begins_runs(bench: &dyn Bench) {
    let (a, b, c) = tokio::join!(
        begin(bench, "a", "1"),
        begin(bench, "a", "2"),
        begin(bench, "a", "3")
    );
    let new = [a, b, c]
        .into_iter()
        .filter(|begun| *begun == BeginOutcome::New);
    assert_eq!(new.count(), 1);
}

/// An endless lease is a long one, and not an error.
pub async fn a_request_may_be_leased_for_ever(bench: &dyn Bench) {
    let store = bench.idempotency();
    let begun = store
        .begin(&key("a"), "payload", "owner", Duration::MAX)
        .await;
    assert_eq!(begun.expect("the store answers"), BeginOutcome::New);
    bench.pass(seconds(1_000_000)).await;
    assert!(matches!(
        begin(bench, "a", "other").await,
        BeginOutcome::Busy { .. }
    ));
}

/// A request that may run twice is begun and answered in one step. The first answer stays.
pub async fn a_request_that_was_not_begun_is_answered_once(bench: &dyn Bench) {
    let store = bench.idempotency();
    let first = answered("a", "owner", Some("payload"), "42");
    assert!(
        store
            .finish(first.clone())
            .await
            .expect("the store answers")
    );
    // As after a settlement that failed halfway.
    assert!(store.finish(first).await.expect("the store answers"));
    let second = answered("a", "other", Some("payload"), "43");
    assert!(!store.finish(second).await.expect("the store answers"));
    let answer = "42".to_owned();
    assert_eq!(
        begin(bench, "a", "third").await,
        BeginOutcome::Done { answer }
    );
    assert_eq!(
        begin_with(bench, "a", "forged", "third").await,
        BeginOutcome::Mismatch
    );
}

/// The owner of a request does not lose it to a worker that did not begin it.
pub async fn a_request_that_runs_is_not_answered_by_another(bench: &dyn Bench) {
    begin(bench, "a", "owner").await;
    let late = answered("a", "other", Some("payload"), "stale");
    let store = bench.idempotency();
    assert!(!store.finish(late).await.expect("the store answers"));
    assert!(finish_request(bench, "a", "owner", "42").await);
    let answer = "42".to_owned();
    assert_eq!(
        begin(bench, "a", "other").await,
        BeginOutcome::Done { answer }
    );
}

/// A batch of answers is stored as if one by one: an entry does not affect the others, and of two answers for one request one stays.
pub async fn many_answers_are_kept_together(bench: &dyn Bench) {
    begin(bench, "begun", "owner").await;
    begin(bench, "lost", "other").await;
    let all = vec![
        answered("new", "owner", Some("payload"), "1"),
        answered("lost", "owner", None, "2"),
        answered("begun", "owner", None, "3"),
        answered("new", "second", Some("payload"), "4"),
        answered("another", "owner", Some("payload"), "5"),
        answered("never begun", "owner", None, "6"),
    ];
    let kept = bench.idempotency().finish_all(all).await;
    let kept: Vec<bool> = kept
        .into_iter()
        .map(|one| one.expect("an answer"))
        .collect();
    let stands = if kept[0] { "1" } else { "4" };
    assert_eq!(kept, [kept[0], false, true, !kept[0], true, false]);
    for (name, answer) in [("new", stands), ("begun", "3"), ("another", "5")] {
        let answer = answer.to_owned();
        assert_eq!(
            begin(bench, name, "third").await,
            BeginOutcome::Done { answer }
        );
    }
    assert_eq!(
        begin(bench, "never begun", "third").await,
        BeginOutcome::New
    );
}

/// A batch of requests is renewed as if one by one: each for its owner, and without an effect on the others.
pub async fn requests_that_run_are_renewed_together(bench: &dyn Bench) {
    for name in ["first", "second", "answered", "forged"] {
        begin(bench, name, "owner").await;
    }
    begin(bench, "taken", "other").await;
    finish_request(bench, "answered", "owner", "42").await;
    let running = |name: &str, fingerprint: &str| RunningRequest {
        key: key(name),
        fingerprint: fingerprint.into(),
        owner: "owner".into(),
    };
    let all = [
        running("first", "payload"),
        running("taken", "payload"),
        running("answered", "payload"),
        running("forged", "other payload"),
        running("second", "payload"),
        // A request that may run twice is begun by its renewal.
        running("not begun", "payload"),
    ];
    let store = bench.idempotency();
    bench.pass(seconds(9)).await;
    let renewed = store.renew_all(&all, LEASE).await;
    let renewed: Vec<bool> = renewed
        .into_iter()
        .map(|one| one.expect("the store answers"))
        .collect();
    assert_eq!(renewed, [true, false, false, false, true, true]);
    assert!(store.renew_all(&[], LEASE).await.is_empty());
    bench.pass(seconds(9)).await;
    for name in ["first", "second", "not begun"] {
        let begun = begin(bench, name, "third").await;
        assert!(
            matches!(begun, BeginOutcome::Busy { .. }),
            "{name}: {begun:?}"
        );
    }
    assert_eq!(begin(bench, "taken", "third").await, BeginOutcome::New);
    // Late, and nobody took them meanwhile.
    bench.pass(LEASE).await;
    let renewed = store.renew_all(&all[..1], LEASE).await.remove(0);
    assert!(renewed.expect("the store answers"));
    let begun = begin(bench, "first", "third").await;
    assert!(matches!(begun, BeginOutcome::Busy { .. }), "{begun:?}");
}

/// A store that does not forget by itself forgets what is old when it is told to: no answer that is still asked for, and no request that
/// somebody has.
pub async fn old_requests_are_forgotten_and_not_those_that_run(bench: &dyn Bench) {
    let store = bench.idempotency();
    begin(bench, "old", "owner").await;
    finish_request(bench, "old", "owner", "42").await;
    begin(bench, "left", "owner").await;
    let runs = key("runs");
    let begun = store.begin(&runs, "payload", "owner", seconds(1_000_000));
    assert_eq!(begun.await.expect("the store answers"), BeginOutcome::New);
    bench.pass(seconds(100_000)).await;
    let before_ms = bench.clock().now_ms() - 50_000_000;
    begin(bench, "new", "owner").await;
    finish_request(bench, "new", "owner", "43").await;
    let forgotten = store.forget(before_ms).await.expect("the store answers");
    let old = begin(bench, "old", "other").await;
    match forgotten {
        Some(count) => assert_eq!((count, old), (2, BeginOutcome::New)),
        None => assert!(matches!(old, BeginOutcome::Done { .. }), "{old:?}"),
    }
    let answer = "43".to_owned();
    let new = begin(bench, "new", "other").await;
    assert_eq!(new, BeginOutcome::Done { answer });
    let runs = begin(bench, "runs", "other").await;
    assert!(matches!(runs, BeginOutcome::Busy { .. }), "{runs:?}");
}

fn key(name: &str) -> Key {
    Key {
        service: "storage".into(),
        key: name.into(),
    }
}

async fn begin(bench: &dyn Bench, name: &str, owner: &str) -> BeginOutcome {
    begin_with(bench, name, "payload", owner).await
}

async fn begin_with(bench: &dyn Bench, name: &str, fingerprint: &str, owner: &str) -> BeginOutcome {
    let begun = bench
        .idempotency()
        .begin(&key(name), fingerprint, owner, LEASE)
        .await;
    begun.expect("the store answers")
}

/// An answer. With a fingerprint, the request need not have been begun.
fn answered(name: &str, owner: &str, fingerprint: Option<&str>, answer: &str) -> IdempotencyRecord {
    IdempotencyRecord {
        key: key(name),
        owner: owner.into(),
        fingerprint: fingerprint.map(str::to_owned),
        answer: answer.into(),
    }
}

/// Stores an answer, and returns whether the request belongs to the owner.
async fn finish_request(bench: &dyn Bench, name: &str, owner: &str, answer: &str) -> bool {
    let answered = answered(name, owner, None, answer);
    let finished = bench.idempotency().finish(answered).await;
    finished.expect("the store answers")
}

async fn abandon(bench: &dyn Bench, name: &str, owner: &str) {
    let abandoned = bench.idempotency().abandon(&key(name), owner).await;
    abandoned.expect("the store answers");
}
