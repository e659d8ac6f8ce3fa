//! Statements: how many, and what is wrong with one.

use super::subject::{Subject, script, work};
use serde_json::json;

/// `execute_sql` runs one statement: a second one is refused before the first has run.
pub async fn one_statement_is_one(subject: Subject) {
    for sql in [
        "SELECT 1; SELECT 2",
        "SELECT 1;;SELECT 2;",
        "SELECT 1/**/;/*;*/VALUES (2)",
    ] {
        let text = subject.invalid(work(sql)).await;
        assert!(
            text.contains("expected one statement, found 2"),
            "{sql}: {text}"
        );
    }
    assert_eq!(
        subject.rows(work("SELECT ';' ; -- SELECT 2")).await,
        [json!([";"])]
    );
    for sql in ["", ";", "-- nothing"] {
        assert!(
            subject
                .invalid(work(sql))
                .await
                .contains("expected a statement"),
            "{sql:?}"
        );
    }
}

/// A malformed statement, or one that names a missing table, is an error with the engine's own text.
pub async fn a_wrong_statement_says_what_is_wrong(subject: Subject) {
    assert!(
        subject
            .invalid(work("SELEC 1"))
            .await
            .contains("syntax error")
    );
    assert!(
        subject
            .invalid(work("SELECT * FROM nowhere"))
            .await
            .contains("nowhere")
    );
    let text = subject
        .invalid(script(
            "CREATE TEMP TABLE x (a INTEGER); SELECT * FROM nowhere",
        ))
        .await;
    assert!(text.contains("statement 2 of 2"), "{text}");
}
