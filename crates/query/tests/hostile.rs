//! A warehouse that another program filled with macros, under the names of DuckDB's functions, does not change what pudato does.

mod support;

use proptest::prelude::*;
use proptest::sample::subsequence;
use pudato_handler::Identity;
use pudato_query::duckdb::DuckDb;
use pudato_query::{BeginOutcome, Format, QueryEngine};
use serde_json::json;
use std::path::Path;
use support::{engine, refused, rows, run, source, work};

/// Every function that pudato's own SQL calls, and operators that DuckDB makes functions of. Each answers with something that
/// would show.
const MACROS: [&str; 20] = [
    "count(x) AS 42",
    "current_database() AS 'elsewhere'",
    "current_localtimestamp() AS TIMESTAMP '1970-01-01'",
    "json_serialize_sql(x) AS '{}'",
    "struct_pack(x) AS 42",
    "list_value(x) AS 42",
    "map(x) AS 42",
    "version() AS 'v0'",
    "\"||\"(x, y) AS 'joined'",
    "\"~~\"(x, y) AS false",
    "\"+\"(x, y) AS 42",
    "lower(x) AS 'lower'",
    "duckdb_tables() AS TABLE SELECT 'nothing' AS table_name",
    "duckdb_views() AS TABLE SELECT 'nothing' AS view_name",
    "duckdb_functions() AS TABLE SELECT 'nothing' AS function_name",
    "sniff_csv(x) AS TABLE SELECT 'nothing' AS Prompt",
    "read_csv(x) AS TABLE SELECT 42 AS a",
    "read_parquet(x) AS TABLE SELECT 42 AS a",
    "read_json(x) AS TABLE SELECT 42 AS a",
    "json_execute_serialized_sql(x) AS TABLE SELECT 42 AS a",
];

/// The macros of another program.
fn foreign(folder: &Path, macros: &[&str]) {
    let file = folder.join("warehouse.duckdb");
    let connection = duckdb::Connection::open(file).expect("opened");
    let made = connection.execute_batch(
        "CREATE TABLE t AS SELECT 1 AS a; CREATE VIEW v AS FROM t; CREATE SCHEMA warehouse.system; CREATE VIEW warehouse.system.duckdb_tables AS SELECT 1;",
    );
    made.expect("made");
    for text in macros {
        let made = connection.execute_batch(&format!("CREATE MACRO {text}"));
        made.unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

/// The answers, stored answers and lineage of pudato.
async fn story(engine: &DuckDb) -> serde_json::Value {
    let scratch = engine.scratch().expect("scratch");
    let sources = [
        ("c", Format::Csv, "a,b\n1,x\n2,y\n"),
        ("j", Format::Jsonl, "{\"a\": 1}\n{\"a\": 2}\n"),
    ];
    let mut read = work("SELECT c.a, b FROM c JOIN j USING (a) ORDER BY c.a");
    read.sources = sources
        .map(|(name, format, text)| source(&scratch, name, format, text))
        .into();
    let read = run(engine, read).await.expect("read");
    let through = run(engine, work("SELECT a FROM v")).await.expect("read");
    let insert = || {
        let mut insert = work("INSERT INTO t SELECT a FROM v");
        insert.identity = Some(Identity {
            key: "key:1".into(),
            fingerprint: "f".into(),
        });
        insert
    };
    let written = run(engine, insert()).await.expect("written");
    let again = engine.begin(insert()).await.expect("kept");
    assert!(matches!(again, BeginOutcome::Answered(kept) if kept.answer == "answer"));
    let counted = engine
        .rows(&[["warehouse", "main", "t"].map(str::to_owned)])
        .await;
    let told = [read, through, written].map(|outcome| {
        let lineage = outcome.statements.into_iter().map(|done| {
            let tables: Vec<String> = done
                .lineage
                .tables
                .iter()
                .map(|table| {
                    format!(
                        "{} {} {:?}",
                        table.kind, table.dataset.name, table.row_count
                    )
                })
                .collect();
            let sources: Vec<String> = done
                .lineage
                .sources
                .iter()
                .map(|source| format!("{} {:?}", source.name, source.row_count))
                .collect();
            json!([tables, sources, done.rows, done.lineage.partial])
        });
        let lineage: Vec<_> = lineage.collect();
        json!([format!("{:?}", outcome.answer), lineage])
    });
    json!([told, counted])
}

#[test]
fn a_hostile_catalog_changes_nothing() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let tell = |macros: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        foreign(folder.path(), macros);
        runtime.block_on(story(&engine(folder.path())))
    };
    let expected = tell(&[]);
    assert_eq!(tell(&MACROS), expected);
    let config = ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(macros in subsequence(&MACROS[..], 1..MACROS.len()))| {
        prop_assert_eq!(tell(&macros), expected.clone());
    });
}

#[tokio::test]
async fn a_macro_does_not_take_the_name_of_a_function() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    for text in MACROS {
        let text = refused(&engine, work(&format!("CREATE MACRO {text}"))).await;
        assert!(text.contains("choose another"), "{text}");
    }
    for text in [
        "CREATE OR REPLACE TEMP MACRO main.\"COUNT\"(x) AS 42",
        "CREATE FUNCTION IF NOT EXISTS Sum(x) AS 42",
    ] {
        let text = refused(&engine, work(text)).await;
        assert!(text.contains("choose another"), "{text}");
    }
    run(&engine, work("CREATE MACRO plus_two(x) AS x + 2"))
        .await
        .expect("made");
    assert_eq!(
        rows(&engine, work("SELECT plus_two(1)")).await,
        [json!([3])]
    );
}

#[tokio::test]
async fn a_warehouse_may_be_called_pudato() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = support::engine_of(folder.path(), "pudato.duckdb");
    let mut make = work("CREATE TABLE t AS SELECT 1 AS a");
    make.identity = Some(Identity {
        key: "key:1".into(),
        fingerprint: "f".into(),
    });
    run(&engine, make).await.expect("made");
    assert_eq!(rows(&engine, work("FROM t")).await, [json!([1])]);
}
