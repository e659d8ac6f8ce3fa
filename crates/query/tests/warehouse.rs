//! The file of the warehouse, and the settings of its sessions.

mod support;

use pudato_query::EngineError;
use serde_json::json;
use support::{engine, engine_here, refused, rows, run, script, work};

#[tokio::test]
async fn a_warehouse_of_a_newer_duckdb_is_refused_for_good_with_both_versions() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("warehouse.duckdb");
    drop(duckdb::Connection::open(&file).expect("a warehouse"));
    let mut bytes = std::fs::read(&file).expect("read");
    // The place in DuckDB's first page with the version that wrote the file.
    bytes[12..20].copy_from_slice(&999_u64.to_le_bytes());
    bytes[52..60].copy_from_slice(b"v99.0.1\0");
    std::fs::write(&file, bytes).expect("written");
    let engine = engine(folder.path());
    let why = refused(&engine, work("SELECT 1")).await;
    assert!(
        why.contains("was written by DuckDB v99.0.1") && why.contains("pip install"),
        "{why}"
    );
}

#[tokio::test]
async fn the_day_of_an_instant_is_that_of_utc() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let day =
        "SELECT CAST(TIMESTAMPTZ '2024-01-01 02:00:00+00' AS DATE), current_setting('TimeZone')";
    assert_eq!(
        rows(&engine, work(day)).await,
        [json!(["2024-01-01", "UTC"])]
    );
}

#[tokio::test]
async fn rows_are_counted_only_where_duckdb_counts_rows_and_not_matches() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let make = "CREATE TABLE d AS SELECT range AS n, 'a' AS s FROM range(2); CREATE TABLE e AS SELECT 1 AS n FROM range(3)";
    run(&engine, script(make)).await.expect("made");
    for (sql, rows) in [
        ("UPDATE d SET s = 'b' WHERE n = 1", Some(1)),
        ("UPDATE d SET s = 'c' WHERE s IS DISTINCT FROM 'c'", Some(2)),
        (
            "UPDATE d SET s = extract(year FROM DATE '2026-01-01')",
            Some(2),
        ),
        ("UPDATE d SET s = 'x' FROM e WHERE e.n = d.n", None),
        (
            "MERGE INTO d USING e ON d.n = e.n WHEN MATCHED THEN UPDATE SET s = 'y'",
            None,
        ),
        ("DELETE FROM d USING e WHERE e.n = d.n", Some(1)),
    ] {
        let outcome = run(&engine, work(sql)).await.expect("run");
        assert_eq!(outcome.statements[0].rows, rows, "{sql}");
    }
}

/// Both would open it without an error, and what one commits would be gone after the other's checkpoint.
#[tokio::test]
async fn a_warehouse_that_another_duckdb_of_this_process_has_open_is_refused_until_it_is_closed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (here, apart) = (engine_here(folder.path()), engine(folder.path()));
    let other = duckdb::Connection::open(folder.path().join("warehouse.duckdb"));
    let other = other.expect("a warehouse");
    other
        .execute_batch("CREATE TABLE t AS SELECT 1 AS a")
        .expect("committed");
    for engine in [&here, &apart] {
        match run(engine, work("CREATE TABLE u AS SELECT 1 AS a")).await {
            Err(EngineError::Unavailable(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    let why = run(&here, work("SELECT 1")).await.expect_err("refused");
    assert!(why.to_string().contains("is open in this process"), "{why}");
    drop(other);
    for engine in [&here, &apart] {
        assert_eq!(rows(engine, work("SELECT a FROM t")).await, [json!([1])]);
    }
}

/// No other statement is at fault, so waiting would not help.
#[tokio::test]
async fn a_commit_that_cannot_make_its_log_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    // After the start, which would refuse it.
    std::fs::create_dir(folder.path().join("warehouse.duckdb.wal")).expect("made");
    let failed = run(&engine, work("CREATE TABLE t (a INTEGER)")).await;
    match failed.expect_err("nothing can be committed") {
        EngineError::Unavailable(why) => assert!(
            why.contains("the warehouse cannot be written") && why.contains(".wal"),
            "{why}"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_column_is_a_variant_by_its_type_and_not_by_words_of_a_statement() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let words = "SELECT error('decoding Variant columns is not supported')";
    let why = refused(&engine, work(words)).await;
    assert!(!why.contains("cast it to JSON"), "{why}");
}
