//! A statement of any kind reaches only the warehouse and its own sources.

mod support;

use pudato_handler::Identity;
use pudato_query::duckdb::DuckDb;
use pudato_query::{Format, QueryEngine};
use serde_json::json;
use support::{engine, refused, rows, run, script, source, table, work};

/// Reads another Command's source, in every way to write a query.
#[tokio::test]
async fn no_kind_of_statement_reads_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    run(&engine, work("CREATE TABLE t (a INTEGER)"))
        .await
        .expect("made");
    let other = engine.scratch().expect("scratch");
    let secret = source(&other, "secret", Format::Csv, "secret\n42\n");
    let file = secret.file.display().to_string();
    let read = format!("read_csv('{file}')");
    for sql in [
        format!("SELECT * FROM {read}"),
        format!("FROM '{file}'"),
        format!("SELECT * FROM query('FROM {}')", read.replace('\'', "''")),
        format!("SELECT * FROM query_table('{file}')"),
        format!(
            "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('FROM {}'))",
            read.replace('\'', "''")
        ),
        format!("DESCRIBE SELECT * FROM {read}"),
        format!("DESCRIBE '{file}'"),
        format!("SHOW '{file}'"),
        format!("SUMMARIZE '{file}'"),
        format!("SUMMARIZE SELECT * FROM {read}"),
        format!("SELECT * FROM (DESCRIBE FROM {read})"),
        format!("SELECT * FROM (SHOW '{file}')"),
        format!("EXPLAIN SELECT * FROM {read}"),
        format!("EXPLAIN ANALYZE SELECT * FROM {read}"),
        format!("EXPLAIN CREATE TABLE x AS SELECT * FROM {read}"),
        format!("SET VARIABLE x = (SELECT secret FROM {read})"),
        format!("CREATE TYPE e AS ENUM (SELECT secret::VARCHAR FROM {read})"),
        format!("CREATE TABLE x AS FROM {read}"),
        format!("CREATE VIEW x AS FROM {read}"),
        format!("CREATE TEMP VIEW x AS SELECT * FROM (DESCRIBE FROM {read})"),
        format!("INSERT INTO t SELECT secret FROM {read}"),
        format!("UPDATE t SET a = (SELECT secret FROM {read})"),
        format!("DELETE FROM t USING {read} r WHERE a = secret"),
        format!("MERGE INTO t USING {read} r ON a = secret WHEN MATCHED THEN DELETE"),
        format!("PIVOT {read} ON secret"),
        format!("SELECT * FROM t, LATERAL (FROM {read})"),
        format!("SELECT (SELECT max(secret) FROM {read})"),
        format!("SELECT * FROM glob('{}/**')", folder.path().display()),
        format!("SELECT * FROM sniff_csv('{file}')"),
        format!("SELECT * FROM read_text('{file}')"),
        format!("SELECT * FROM read_blob('{file}')"),
        format!("PRAGMA table_info('{file}')"),
        "SELECT * FROM duckdb_external_file_cache()".into(),
        "SELECT * FROM duckdb_temporary_files()".into(),
        "SELECT * FROM duckdb_prepared_statements()".into(),
        "SELECT * FROM checkpoint()".into(),
        "PRAGMA storage_info('t')".into(),
        "PRAGMA metadata_info".into(),
        "CALL duckdb_tables()".into(),
    ] {
        let text = refused(&engine, work(&sql)).await;
        assert!(!text.contains("42"), "{sql}: {text}");
        let is_refusal = text.contains("is not allowed") || text.contains("`sources` only");
        assert!(
            is_refusal || text.contains("does not exist"),
            "{sql}: {text}"
        );
    }
    // A macro reads where it is used.
    run(
        &engine,
        work(&format!("CREATE MACRO m() AS TABLE FROM {read}")),
    )
    .await
    .expect("made");
    for sql in [
        "FROM m()",
        "CREATE TABLE x AS FROM m()",
        "DESCRIBE FROM m()",
    ] {
        let text = refused(&engine, work(sql)).await;
        assert!(text.contains("is not allowed"), "{sql}: {text}");
    }
    assert_eq!(
        rows(&engine, work("SELECT count(*) FROM t")).await,
        [json!([0])]
    );
}

/// Statements that report something without reading a file still work.
#[tokio::test]
async fn what_is_allowed_still_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let setup = "CREATE TABLE t AS SELECT 1 AS a, 'x' AS b; CREATE VIEW v AS FROM t; CREATE SCHEMA s; CREATE MACRO plus(x) AS x + 1";
    run(&engine, script(setup)).await.expect("made");
    for sql in [
        "DESCRIBE t",
        "DESCRIBE v",
        "DESCRIBE main.t",
        "DESCRIBE SELECT a + 1 FROM t",
        "DESC t",
        "SHOW t",
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "SHOW TABLES FROM s",
        "SHOW DATABASES",
        "SUMMARIZE t",
        "SUMMARIZE SELECT * FROM v",
        "PRAGMA table_info('t')",
        "PRAGMA show_tables",
        "PRAGMA database_list",
        "PRAGMA database_size",
        "PRAGMA version",
        "PRAGMA platform",
        "SELECT * FROM query('SELECT * FROM t')",
        "SELECT * FROM query_table('t')",
        "SELECT * FROM (SUMMARIZE t)",
        "SELECT * FROM (SHOW TABLES)",
        "FROM information_schema.tables",
        "FROM information_schema.columns",
        "FROM pg_catalog.pg_tables",
        "FROM duckdb_settings() LIMIT 1",
        "SELECT plus(a) FROM t",
        "EXPLAIN SELECT * FROM t",
        "EXPLAIN (FORMAT json) INSERT INTO t VALUES (2, 'y')",
        "EXPLAIN ANALYZE SELECT * FROM t",
        "ANALYZE",
        "ANALYZE t",
        "VACUUM",
        "VACUUM ANALYZE t(a)",
        "COMMENT ON TABLE t IS 'a table'",
        "COMMENT ON COLUMN t.a IS 'a column'",
        "CREATE INDEX i ON t (a)",
        "DROP INDEX i",
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        "CREATE SEQUENCE n START 7",
        "DROP SEQUENCE n",
        "ALTER TABLE t ADD COLUMN c INTEGER DEFAULT 3",
        "ALTER TABLE t ALTER b SET DATA TYPE VARCHAR USING upper(b)",
        "ALTER TABLE t RENAME COLUMN c TO d",
        "DROP TABLE IF EXISTS nowhere",
        "SELECT * FROM t POSITIONAL JOIN range(1) ASOF JOIN (SELECT 1 AS a) s ON t.a >= s.a",
        "SELECT a, row_number() OVER (ORDER BY a) FROM t WHERE a IN (1, 2, 3) QUALIFY true",
        "SELECT DISTINCT ON (a) * FROM t ORDER BY a LIMIT 50% OFFSET 0",
        "FROM t USING SAMPLE 50%",
        "SELECT unnest([1, 2]), a FROM t TABLESAMPLE reservoir(1)",
        "UNPIVOT (SELECT 1 AS x, 2 AS y) ON x, y",
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) FROM r",
        "WITH RECURSIVE r(n, m) USING KEY (n) AS (SELECT 1, 1 UNION SELECT n, m + 1 FROM r WHERE m < 3) FROM r",
        "SELECT (SELECT max(x.a) FROM t x WHERE x.a = t.a) FROM t",
        "SELECT * FROM t WHERE EXISTS (FROM t x WHERE x.a > t.a) OR a = ANY (SELECT 1)",
        "SELECT a, sum(a) FROM t GROUP BY CUBE (a, b)",
        "SELECT list_transform([1, 2], lambda x: x + 1)",
        "SELECT * FROM t, LATERAL (SELECT t.a + 1) l(z), range(t.a)",
        "FROM t SEMI JOIN t u USING (a) ANTI JOIN (SELECT 9 AS a) x USING (a)",
        "(FROM t) EXCEPT ALL (FROM t) UNION BY NAME (FROM t) INTERSECT (FROM t)",
        "INSERT INTO t BY NAME SELECT 5 AS a RETURNING a + 1",
        "DELETE FROM t WHERE a = 5 RETURNING *",
    ] {
        if let Err(error) = run(&engine, work(sql)).await {
            panic!("{sql}: {error}");
        }
    }
    // A hundred nested queries make an equally deep plan.
    let many = vec!["SELECT a FROM t"; 300].join(" UNION ALL ");
    let outcome = run(&engine, work(&many)).await.expect("an answer");
    let lineage = &outcome.statements[0].lineage;
    assert_eq!((lineage.tables.len(), &lineage.partial), (1, &None));
}

async fn with_answers(engine: &DuckDb) {
    let mut first = work("CREATE TABLE t AS SELECT 1 AS a");
    first.identity = Some(Identity {
        key: "key:1".into(),
        fingerprint: "f".into(),
    });
    run(engine, first).await.expect("made");
}

#[tokio::test]
async fn the_schema_of_the_answers_is_not_reached_by_any_statement() {
    let folder = tempfile::tempdir().expect("a folder");
    {
        let engine = engine(folder.path());
        with_answers(&engine).await;
    }
    // Another program may do as it likes.
    let connection =
        duckdb::Connection::open(folder.path().join("warehouse.duckdb")).expect("opened");
    connection
        .execute_batch("CREATE VIEW through AS FROM pudato.answers; CREATE MACRO reads() AS TABLE FROM pudato.answers; CREATE MACRO keys() AS (SELECT max(key) FROM pudato.answers)")
        .expect("made");
    drop(connection);
    let engine = engine(folder.path());
    for sql in [
        "SELECT * FROM pudato.answers",
        "FROM warehouse.pudato.answers",
        "FROM \"PUDATO\".\"answers\"",
        "FROM Pudato . /* x */ answers",
        "SELECT pudato.answers.key FROM pudato.answers",
        "SUMMARIZE pudato.answers",
        "DESCRIBE pudato.answers",
        "TABLE pudato.answers",
        "SELECT * FROM query_table('pudato.answers')",
        "SELECT * FROM query('FROM pudato.answers')",
        "SELECT * FROM duckdb_table_sample('pudato.answers')",
        "SELECT * FROM pragma_storage_info('pudato.answers')",
        "PRAGMA storage_info('pudato.answers')",
        "FROM through",
        "FROM reads()",
        "SELECT keys()",
        "DESCRIBE FROM through",
        "CREATE TABLE x AS FROM through",
        "CREATE VIEW x AS FROM through",
        "PIVOT through ON key",
        "SET VARIABLE x = (SELECT key FROM through)",
        "CREATE TYPE e AS ENUM (SELECT key FROM through)",
        "EXPLAIN ANALYZE FROM through",
        "INSERT INTO pudato.answers VALUES ('a', 'b', 'c', now())",
        "INSERT OR REPLACE INTO pudato.answers (key) VALUES ('key:1')",
        "DELETE FROM t USING through WHERE true",
        "UPDATE t SET a = (SELECT count(*) FROM through)",
        "MERGE INTO t USING through ON false WHEN NOT MATCHED THEN INSERT VALUES (1)",
        "CREATE INDEX i ON pudato.answers (answer)",
        "CREATE VIEW x AS FROM pudato.answers",
        "CREATE MACRO x() AS TABLE FROM pudato.answers",
        "CREATE TABLE pudato.x (a INTEGER)",
        "CREATE TYPE pudato.x AS ENUM ('a')",
        "CREATE SEQUENCE pudato.x",
        "CREATE OR REPLACE SCHEMA pudato",
        "CREATE SCHEMA IF NOT EXISTS pudato",
        "COMMENT ON TABLE pudato.answers IS 'x'",
        "COMMENT ON COLUMN pudato.answers.key IS 'x'",
        "COMMENT ON SCHEMA pudato IS 'x'",
        "ALTER TABLE pudato.answers ADD COLUMN x INTEGER",
        "ANALYZE pudato.answers",
        "VACUUM ANALYZE pudato.answers",
        "TRUNCATE pudato.answers",
        "COPY pudato.answers FROM 's'",
        "DROP SCHEMA pudato CASCADE",
        "DROP SCHEMA IF EXISTS warehouse.\"pudato\" CASCADE",
    ] {
        let text = refused(&engine, work(sql)).await;
        let is_refusal = text.contains("the schema pudato") || text.contains("is not allowed");
        assert!(is_refusal, "{sql}: {text}");
    }
    // The schema's name is not secret, and a column may have it.
    let named = rows(
        &engine,
        work("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'pudato'"),
    )
    .await;
    assert_eq!(named, [json!([1])]);
    assert_eq!(
        rows(&engine, work("SELECT a AS pudato FROM t")).await,
        [json!([1])]
    );
    // The stored answer is still there.
    let mut again = work("CREATE TABLE t AS SELECT 1 AS a");
    again.identity = Some(Identity {
        key: "key:1".into(),
        fingerprint: "f".into(),
    });
    let begun = engine.begin(again).await.expect("begun");
    assert!(matches!(begun, pudato_query::BeginOutcome::Answered(_)));
}

#[tokio::test]
async fn two_sources_whose_names_differ_in_case_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let scratch = engine.scratch().expect("scratch");
    let mut read = work("SELECT * FROM Orders");
    read.sources = vec![
        source(&scratch, "orders", Format::Csv, "a\n1\n"),
        source(&scratch, "ORDERS", Format::Csv, "a\n2\n"),
    ];
    let text = refused(&engine, read).await;
    assert!(text.contains("\"orders\" and \"ORDERS\""), "{text}");
    // DuckDB distinguishes letters beyond ASCII by case, and so does pudato.
    let mut read = work("SELECT é.a, \"É\".a FROM é, \"É\"");
    read.sources = vec![
        source(&scratch, "é", Format::Csv, "a\n1\n"),
        source(&scratch, "É", Format::Csv, "a\n2\n"),
    ];
    assert_eq!(rows(&engine, read).await, [json!([1, 2])]);
    let mut load = script("CREATE TABLE t (a INTEGER); COPY t FROM 'SRC'; SELECT a FROM t");
    load.sources = vec![source(&scratch, "src", Format::Csv, "a\n3\n")];
    assert_eq!(rows(&engine, load).await, [json!([3])]);
}

#[tokio::test]
async fn a_name_of_ours_can_be_taken_by_anybody() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let scratch = engine.scratch().expect("scratch");
    let mut read = script(
        "CREATE TEMP TABLE pudato_source_1 AS SELECT 7 AS a; SELECT pudato_source_0.a, s.a, pudato_source_1.a FROM pudato_source_0, s, pudato_source_1",
    );
    read.sources = vec![
        source(&scratch, "pudato_source_0", Format::Csv, "a\n1\n"),
        source(&scratch, "s", Format::Csv, "a\n2\n"),
    ];
    let outcome = run(&engine, read).await.expect("an answer");
    let names: Vec<&str> = outcome.statements[1]
        .lineage
        .sources
        .iter()
        .map(|source| source.name.as_str())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[tokio::test]
async fn what_is_nested_too_deeply_is_refused_before_the_engine_reads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    for (format, depth, is_refused) in [
        (Format::Jsonl, 63, false),
        (Format::Jsonl, 65, true),
        (Format::Json, 65, true),
    ] {
        let scratch = engine.scratch().expect("scratch");
        let text = format!("{{\"a\": \"[[[[\\\"\"}}\n{{\"a\": {}}}\n", nested(depth));
        let mut read = work("SELECT count(*) FROM s");
        read.sources = vec![source(&scratch, "s", format, text)];
        let found = table(&engine, read).await;
        match is_refused {
            false => assert!(found.is_ok(), "{found:?}"),
            true => {
                let error = found.expect_err("refused").to_string();
                assert!(
                    error.starts_with("payload.sources.s: expected JSON nested at most 64 deep"),
                    "{error}"
                );
                assert!(error.contains("line 2"), "{error}");
            }
        }
    }
    let deep = format!("SELECT {}1{}", "(".repeat(201), ")".repeat(201));
    let text = refused(&engine, work(&deep)).await;
    assert!(text.contains("at most 200 deep"), "{text}");
}

#[tokio::test]
async fn a_variable_passes_on_what_it_was_made_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    run(&engine, work("CREATE TABLE t AS SELECT 1 AS a"))
        .await
        .expect("made");
    let through = "SET VARIABLE n = (SELECT max(a) FROM t); CREATE TABLE u AS SELECT getvariable('n') AS a; CREATE TYPE e AS ENUM (SELECT a::VARCHAR FROM t)";
    let outcome = run(&engine, script(through)).await.expect("made");
    for done in &outcome.statements {
        let names: Vec<&str> = done
            .lineage
            .tables
            .iter()
            .map(|table| table.dataset.name.as_str())
            .collect();
        assert_eq!(names, ["warehouse.main.t"], "{}", done.sql);
    }
}

#[tokio::test]
async fn a_checkpoint_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path());
    for sql in [
        "CHECKPOINT",
        "FORCE CHECKPOINT",
        "CHECKPOINT warehouse",
        "EXPLAIN CHECKPOINT",
    ] {
        let text = refused(&engine, work(sql)).await;
        assert!(text.contains("CHECKPOINT is not allowed"), "{sql}: {text}");
    }
}
