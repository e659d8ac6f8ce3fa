//! A work is one transaction, and a request runs once.

use super::subject::{Subject, identity, script, work};
use crate::{BeginOutcome, EngineError, StoredAnswer};
use serde_json::json;

/// The effect of a work is there for the next one; a failed work leaves nothing.
pub async fn a_work_is_one_transaction(subject: Subject) {
    subject
        .run(work("CREATE TABLE t AS SELECT 1 AS a"))
        .await
        .expect("made");
    subject
        .invalid(script(
            "INSERT INTO t VALUES (2); CREATE TABLE u (a INTEGER); SELECT error('no')",
        ))
        .await;
    assert_eq!(subject.rows(work("SELECT a FROM t")).await, [json!([1])]);
    assert!(
        subject
            .invalid(work("SELECT * FROM u"))
            .await
            .contains("does not exist")
    );
    let begun = subject
        .engine
        .begin(work("INSERT INTO t VALUES (3)"))
        .await
        .expect("begun");
    drop(begun);
    assert_eq!(
        subject.rows(work("SELECT count(*) FROM t")).await,
        [json!([1])]
    );
}

/// The same request runs once: it gets the answer that was committed with its effect.
pub async fn the_same_request_runs_once(subject: Subject) {
    subject
        .run(work("CREATE TABLE t (a INTEGER)"))
        .await
        .expect("made");
    let insert = |fingerprint: &str| {
        let mut insert = script("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)");
        insert.identity = identity("key:1", fingerprint);
        insert
    };
    let BeginOutcome::Ran(transaction) = subject.engine.begin(insert("f")).await.expect("begun")
    else {
        panic!("it was not run before");
    };
    transaction.commit("the answer").await.expect("committed");
    for _ in 0..2 {
        let BeginOutcome::Answered(kept) = subject.engine.begin(insert("f")).await.expect("begun")
        else {
            panic!("it must not run twice");
        };
        assert_eq!(
            kept,
            StoredAnswer {
                answer: "the answer".into()
            }
        );
    }
    assert_eq!(
        subject.rows(work("SELECT count(*) FROM t")).await,
        [json!([2])]
    );
    match subject.engine.begin(insert("another payload")).await {
        Err(EngineError::Invalid(text)) => assert!(text.contains("idempotency_key"), "{text}"),
        _ => panic!("another payload under the same key must be refused"),
    }
}

/// A request whose work was rolled back runs when it comes again.
pub async fn an_undone_request_runs_again(subject: Subject) {
    subject
        .run(work("CREATE TABLE t (a INTEGER)"))
        .await
        .expect("made");
    let insert = || {
        let mut insert = work("INSERT INTO t VALUES (1)");
        insert.identity = identity("key:1", "f");
        insert
    };
    drop(subject.engine.begin(insert()).await.expect("begun"));
    let BeginOutcome::Ran(transaction) = subject.engine.begin(insert()).await.expect("begun")
    else {
        panic!("nothing was kept");
    };
    transaction.commit("done").await.expect("committed");
    assert_eq!(
        subject.rows(work("SELECT count(*) FROM t")).await,
        [json!([1])]
    );
}

/// Concurrent works that change the same table all take effect.
pub async fn works_at_once_all_take_effect(subject: Subject) {
    subject
        .run(work("CREATE TABLE t (a INTEGER, n INTEGER)"))
        .await
        .expect("made");
    subject
        .run(work("INSERT INTO t VALUES (1, 0)"))
        .await
        .expect("filled");
    let subject = std::sync::Arc::new(subject);
    let mut running = tokio::task::JoinSet::new();
    for n in 0..8 {
        let subject = std::sync::Arc::clone(&subject);
        running.spawn(async move {
            for _ in 0..5 {
                let mut update =
                    script("UPDATE t SET n = n + 1 WHERE a = 1; CREATE SCHEMA IF NOT EXISTS other");
                update.identity = None;
                loop {
                    match subject.run(script(&update.sql)).await {
                        Ok(_) => break,
                        Err(EngineError::Retry(_)) => {}
                        Err(other) => panic!("{n}: {other}"),
                    }
                }
                subject.rows(work("SELECT * FROM t")).await;
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.expect("no panic");
    }
    assert_eq!(subject.rows(work("SELECT n FROM t")).await, [json!([40])]);
}
