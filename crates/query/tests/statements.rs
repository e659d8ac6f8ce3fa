//! pudato finds the same statements in a text as DuckDB, with the same kinds.

mod support;

use pudato_query::{Answer, AnswerTo, Format, QueryEngine};
use serde_json::json;
use support::{engine, refused, rows, run, script, source, table, work};

#[tokio::test]
async fn a_second_statement_is_seen_wherever_it_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    run(&engine, work("CREATE TABLE t AS SELECT 1 AS a"))
        .await
        .expect("made");
    for second in [
        "SELECT 1 AS pivot -- x\r; DROP TABLE t",
        "SELECT a FROM t -- x\n; DROP TABLE t",
        "SELECT x'5C'; DROP TABLE t; --'",
        "SELECT 'PIVOT'; DROP TABLE t",
        "FROM t; PIVOT t ON a; DROP TABLE t",
    ] {
        let text = refused(&engine, work(second)).await;
        assert!(text.contains("expected one statement"), "{second}: {text}");
    }
    for strange in [
        "SELECT 1 -- x\u{b}; DROP TABLE t",
        "SELECT\u{a0}1",
        "SELECT 1\u{c}",
        "SELECT 1 \u{7f}",
    ] {
        let text = refused(&engine, work(strange)).await;
        assert!(text.contains("is outside of quotes"), "{strange:?}: {text}");
    }
    assert_eq!(rows(&engine, work("FROM t")).await, [json!([1])]);
}

#[tokio::test]
async fn a_statement_is_what_duckdb_plans() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    run(&engine, work("CREATE TABLE t (a INTEGER)"))
        .await
        .expect("made");
    for (sql, word) in [
        (
            "EXPLAIN (\"analyze\") INSERT INTO t VALUES (1)",
            "quoted options",
        ),
        (
            "EXPLAIN ('analyze') INSERT INTO t VALUES (1)",
            "quoted options",
        ),
        (
            "EXPLAIN (ANALYZE, FORMAT json) INSERT INTO t VALUES (1)",
            "is not allowed",
        ),
        ("EXPLAIN ANALYZE INSERT INTO t VALUES (1)", "is not allowed"),
        ("BOGUS", "syntax error"),
    ] {
        let text = refused(&engine, work(sql)).await;
        assert!(text.contains(word), "{sql}: {text}");
    }
    // It shows the plan of a change and makes none.
    run(&engine, work("EXPLAIN INSERT INTO t VALUES (1)"))
        .await
        .expect("a plan");
    run(&engine, work("EXPLAIN (FORMAT json) SELECT * FROM t"))
        .await
        .expect("a plan");
    assert_eq!(
        rows(&engine, work("SELECT count(*) FROM t")).await,
        [json!([0])]
    );
}

#[tokio::test]
async fn a_pivot_without_a_list_is_one_statement() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let scratch = engine.scratch().expect("scratch");
    let text = "k,v,n\na,x,1\na,y,2\nb,x,3\n";
    let mut pivot = work("PIVOT s ON v USING sum(n) GROUP BY k ORDER BY k -- the end");
    pivot.sources = vec![source(&scratch, "s", Format::Csv, text)];
    let (names, found) = table(&engine, pivot).await.expect("an answer");
    assert_eq!(names, ["k", "x", "y"]);
    assert_eq!(found, [json!(["a", 1, 2]), json!(["b", 3, null])]);

    let mut through =
        script("CREATE TABLE t AS SELECT * FROM s; SELECT * FROM (PIVOT t ON v, k USING sum(n))");
    through.sources = vec![source(&scratch, "s", Format::Csv, text)];
    through.answer_to = AnswerTo::File {
        file: scratch.path().join("answer"),
        format: Format::Parquet,
    };
    let outcome = run(&engine, through).await.expect("written");
    assert_eq!(outcome.answer, Answer::File { row_count: 1 });
    assert_eq!(outcome.statements[1].lineage.partial, None);

    let text = refused(&engine, work("SELECT y FROM (PIVOT t ON v USING sum(n))")).await;
    assert!(text.contains("list its values"), "{text}");
    let text = refused(
        &engine,
        work("PIVOT (SELECT * FROM read_text('/etc/hostname')) ON filename"),
    )
    .await;
    assert!(text.contains("`sources` only"), "{text}");
}
