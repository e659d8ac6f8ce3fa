//! Limits: bytes, time and memory, and works that are dropped.

use super::subject::{Subject, work};
use crate::AnswerTo;
use serde_json::json;
use std::time::{Duration, Instant};

/// An answer with too many bytes is an error, and is not collected first.
pub async fn an_answer_of_too_many_bytes_is_refused(subject: Subject) {
    let mut most = work("SELECT repeat('x', 1000) FROM range(1000000)");
    most.answer_to = AnswerTo::Rows {
        rows_max: 100_000,
        bytes_max: 1 << 20,
    };
    let text = subject.invalid(most).await;
    assert!(text.contains("more than 1048576 bytes"), "{text}");
}

/// An endless statement is interrupted at its deadline, and the engine keeps working.
pub async fn a_statement_ends_at_its_deadline(subject: Subject) {
    let endless = [
        "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range + b.range = 7",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n FROM r) SELECT count(*) FROM r",
        "SELECT a.range FROM range(1000000) a, range(1000000) b ORDER BY hash(a.range * b.range)",
    ];
    for sql in endless {
        let mut work = work(sql);
        work.deadline = Duration::from_millis(500);
        let begun = Instant::now();
        let text = subject.invalid(work).await;
        assert!(
            text.contains("deadline of 0.5 s") || text.contains("Out of Memory"),
            "{sql}: {text}"
        );
        assert!(
            begun.elapsed() < Duration::from_millis(1_500),
            "{sql}: {:?}",
            begun.elapsed()
        );
    }
    assert_eq!(subject.rows(work("SELECT 1")).await, [json!([1])]);
}

/// A dropped work is stopped and rolled back.
pub async fn a_dropped_work_is_undone(subject: Subject) {
    let mut endless = work(
        "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range + b.range = 7",
    );
    endless.deadline = Duration::from_secs(3_600);
    let begun =
        tokio::time::timeout(Duration::from_millis(200), subject.engine.begin(endless)).await;
    assert!(begun.is_err(), "it cannot have ended");
    assert_eq!(subject.rows(work("SELECT 1")).await, [json!([1])]);
}

/// Exceeding the memory limit is an error, and the engine keeps working.
pub async fn memory_has_a_limit(subject: Subject) {
    let mut large = work("SELECT list(range::VARCHAR || repeat('x', 100)) FROM range(20000000)");
    large.deadline = Duration::from_secs(60);
    let text = subject.invalid(large).await;
    assert!(
        text.contains("Out of Memory") || text.contains("bytes"),
        "{text}"
    );
    assert_eq!(subject.rows(work("SELECT 1")).await, [json!([1])]);
}
