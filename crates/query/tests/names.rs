//! Names that files, folders and callers choose are data: none is run as SQL, and each is returned unchanged.

mod support;

use proptest::collection::vec;
use proptest::prelude::*;
use pudato_query::{AnswerTo, Format, QueryEngine};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use support::{engine, refused, rows, run, script, source, table, work};

/// Names that would create the table `proof`, or end their context, if they were run as SQL.
const TELLING: [&str; 12] = [
    "it's",
    "x'}); CREATE TABLE proof AS SELECT 1; --",
    "x': 'BIGINT'}); CREATE TABLE proof AS SELECT 1; SELECT * FROM ({'",
    "x\"; CREATE TABLE proof AS SELECT 1; --",
    "\"); CREATE TABLE proof AS SELECT 1; --",
    "x) ; CREATE TABLE proof AS SELECT 1; --",
    "a\"\"b''c",
    "/* x",
    "-- x",
    "$$ x $$",
    "{x: 1}",
    "SELECT",
];

/// Quotes a field so that every CSV reader accepts it.
fn field(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A header and two rows of numbers.
fn text(names: &[String], delimiter: &str) -> String {
    let line = |fields: Vec<String>| fields.join(delimiter) + "\n";
    let numbers = |row: usize| (0..names.len()).map(move |n| field(&(10 * row + n).to_string()));
    let header = line(names.iter().map(|name| field(name)).collect());
    header + &line(numbers(0).collect()) + &line(numbers(1).collect())
}

fn numbers(columns: usize) -> Vec<Value> {
    (0..2)
        .map(|row| (0..columns).map(|n| json!(10 * row + n)).collect())
        .collect()
}

/// Names as a header has them: DuckDB takes spaces around them away and numbers those that are the same but for case, and a
/// carriage return within a field is an error.
fn names() -> impl Strategy<Value = Vec<String>> {
    let telling = proptest::sample::select(&TELLING[..]).prop_map(str::to_owned);
    let any = vec(
        any::<char>().prop_filter("a line ends there, or text", |c| !['\r', '\0'].contains(c)),
        1..8,
    );
    let any = any.prop_map(|chars| chars.into_iter().collect::<String>());
    let sql = "[a-c\"'`;,|(){}:=#\\\\/*. -]{1,8}";
    let name = prop_oneof![telling, any, sql].prop_map(|name| name.trim().to_owned());
    let name = name.prop_filter("a name", |name| !name.is_empty());
    vec(name, 2..5).prop_filter("names that differ", |names| {
        let folded: BTreeSet<String> = names.iter().map(|name| name.to_lowercase()).collect();
        folded.len() == names.len()
    })
}

#[test]
fn every_header_gives_back_exactly_its_names() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(names in names(), is_tsv: bool)| {
        let (format, delimiter) = if is_tsv { (Format::Tsv, "\t") } else { (Format::Csv, ",") };
        let scratch = engine.scratch().expect("scratch");
        let mut read = work("SELECT * FROM s");
        read.sources = vec![source(&scratch, "s", format, text(&names, delimiter))];
        let (found, rows) = runtime.block_on(table(&engine, read)).expect("an answer");
        prop_assert_eq!(rows, numbers(names.len()));
        prop_assert_eq!(found, names);
    });
    let tables = runtime.block_on(rows(
        &engine,
        work("SELECT table_name FROM duckdb_tables()"),
    ));
    assert!(tables.is_empty(), "{tables:?}");
}

async fn nothing_ran(folder: &Path) {
    let engine = engine(folder);
    let text = refused(&engine, work("SELECT * FROM proof")).await;
    assert!(text.contains("does not exist"), "{text}");
}

#[tokio::test]
async fn names_in_files_of_every_format_are_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    for name in TELLING {
        let scratch = engine.scratch().expect("scratch");
        let quoted = field(name);
        let key = serde_json::to_string(name).expect("JSON");
        // The engine itself writes the Parquet.
        let parquet = scratch.path().join("parquet");
        let mut write = work(&format!("SELECT 1 AS {quoted}, 2 AS b"));
        write.answer_to = AnswerTo::File {
            file: parquet.clone(),
            format: Format::Parquet,
        };
        run(&engine, write).await.expect("written");
        let parquet = std::fs::read(parquet).expect("written");
        let files = [
            (Format::Csv, format!("{quoted},b\n1,2\n").into_bytes()),
            (Format::Tsv, format!("{quoted}\tb\n1\t2\n").into_bytes()),
            (
                Format::Json,
                format!("[{{{key}: 1, \"b\": 2}}]").into_bytes(),
            ),
            (
                Format::Jsonl,
                format!("{{{key}: 1, \"b\": 2}}\n").into_bytes(),
            ),
            (Format::Parquet, parquet),
        ];
        for (format, bytes) in files {
            // Under a source of the same name, into a table that stays.
            let mut read = work(&format!("SELECT * FROM {quoted}"));
            read.sources = vec![source(&scratch, name, format, &bytes)];
            let found = table(&engine, read).await;
            let expected = (vec![name.to_owned(), "b".to_owned()], vec![json!([1, 2])]);
            assert_eq!(found, Ok(expected), "{format:?}");
            let text = name.replace('\'', "''");
            let mut load = script(&format!(
                "CREATE OR REPLACE TABLE t AS SELECT * FROM {quoted}; COPY t FROM '{text}'"
            ));
            load.sources = vec![source(&scratch, name, Format::Csv, "x,y\n3,4\n")];
            run(&engine, load).await.expect("loaded");
        }
    }
    drop(engine);
    nothing_ran(folder.path()).await;
}

#[tokio::test]
async fn a_data_folder_may_have_any_name_that_is_no_pattern() {
    for name in [
        "it's",
        "env=prod",
        "a\"b",
        "a b",
        "x'); CREATE TABLE proof AS SELECT 1; --",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join(name);
        let engine = engine(&folder);
        for (format, text) in [
            (Format::Csv, "a,b\n1,2\n"),
            (Format::Json, "[{\"a\": 1, \"b\": 2}]"),
        ] {
            let scratch = engine.scratch().expect("scratch");
            let file = scratch.path().join("answer");
            let mut copy = work("SELECT * FROM s");
            copy.sources = vec![source(&scratch, "s", format, text)];
            copy.answer_to = AnswerTo::File {
                file: file.clone(),
                format: Format::Parquet,
            };
            run(&engine, copy).await.expect("written");
            let mut read = work("SELECT * FROM s");
            let bytes = std::fs::read(file).expect("written");
            read.sources = vec![source(&scratch, "s", Format::Parquet, bytes)];
            let found = table(&engine, read).await.expect("read");
            assert_eq!(found, (vec!["a".into(), "b".into()], vec![json!([1, 2])]));
        }
        drop(engine);
        nothing_ran(&folder).await;
    }
}

#[tokio::test]
async fn a_data_folder_whose_name_is_a_pattern_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(&folder.path().join("a?b"));
    let scratch = engine.scratch().expect("scratch");
    let mut read = work("SELECT * FROM s");
    read.sources = vec![source(&scratch, "s", Format::Csv, "a\n1\n")];
    let error = run(&engine, read).await.expect_err("refused");
    assert!(error.to_string().contains("PUDATO_DATA_DIR"), "{error}");
}

#[tokio::test]
async fn the_name_of_a_type_is_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let name = field("INTEGER)) AS x, (SELECT 7) AS y --");
    let make = format!("CREATE TYPE {name} AS INTEGER; CREATE TABLE t (a STRUCT(b BIT, c {name}))");
    run(&engine, script(&make)).await.expect("made");
    run(&engine, work("INSERT INTO t VALUES ({'b': '101', 'c': 3})"))
        .await
        .expect("filled");
    let rows = rows(&engine, work("SELECT a FROM t")).await;
    assert_eq!(rows, [json!([{"b": "101", "c": 3}])]);
}

#[tokio::test]
async fn a_query_never_writes_whatever_it_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    run(
        &engine,
        script("CREATE SEQUENCE s; CREATE TABLE t (a BIGINT)"),
    )
    .await
    .expect("made");
    // While the file is idle, and while it is open for writing.
    let text = refused(&engine, work("SELECT nextval('s')")).await;
    assert!(text.contains("a query cannot change anything"), "{text}");
    let writer = engine.begin(work("INSERT INTO t VALUES (0)")).await;
    let text = refused(&engine, work("SELECT nextval('s')")).await;
    assert!(text.contains("a query cannot change anything"), "{text}");
    drop(writer.expect("begun"));
    run(&engine, work("INSERT INTO t SELECT nextval('s')"))
        .await
        .expect("a statement that writes may");
    assert_eq!(rows(&engine, work("SELECT a FROM t")).await, [json!([1])]);
}
