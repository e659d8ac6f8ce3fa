//! What a statement cannot reach.

use super::subject::{Subject, identity, script, work};
use crate::Format;
use serde_json::json;
use std::time::{Duration, Instant};

/// A statement reaches nothing outside of the engine: no files, network, settings, extensions, other databases or environment.
pub async fn nothing_outside_is_reached(subject: Subject) {
    let statements = [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_blob('/proc/self/environ')",
        "CREATE TEMP TABLE x AS SELECT * FROM read_text('/etc/passwd')",
        "COPY (SELECT 1) TO '/tmp/pudato-must-not-be-there.csv'",
        "COPY t TO '/tmp/pudato-must-not-be-there.csv'",
        "COPY t FROM '/etc/passwd'",
        "EXPORT DATABASE '/tmp/pudato-must-not-be-there'",
        "IMPORT DATABASE '/tmp'",
        "ATTACH '/tmp/pudato-must-not-be-there.db'",
        "ATTACH ':memory:' AS other",
        "DETACH warehouse",
        "INSTALL httpfs",
        "FORCE INSTALL httpfs",
        "LOAD httpfs",
        "LOAD '/tmp/x.duckdb_extension'",
        "UPDATE EXTENSIONS",
        "SET threads = 1",
        "SET GLOBAL memory_limit = '100GB'",
        "SET enable_external_access = true",
        "SET schema = 'main'",
        "RESET lock_configuration",
        "USE main",
        "PRAGMA enable_profiling",
        "PRAGMA threads = 1",
        "CALL enable_logging()",
        "SELECT * FROM enable_logging()",
        "SELECT getenv('HOME')",
        "SELECT * FROM 'http://127.0.0.1:1/a.csv'",
        "SELECT * FROM 'https://127.0.0.1:1/a.parquet'",
        "SELECT * FROM 's3://bucket/a.parquet'",
        "CREATE SECRET (TYPE s3)",
        "SELECT * FROM which_secret('s3://a', 's3')",
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "PREPARE p AS SELECT 1",
        "EXECUTE p",
        "EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1",
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
        "SELECT 'a\0b'",
    ];
    for sql in statements {
        let begun = Instant::now();
        let text = subject.invalid(work(sql)).await;
        assert!(!text.contains("root:"), "{sql}: {text}");
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{sql} takes long to be refused"
        );
    }
    assert!(!std::path::Path::new("/tmp/pudato-must-not-be-there.csv").exists());
    assert!(!std::path::Path::new("/tmp/pudato-must-not-be-there").exists());
}

/// A work can read neither the sources of another work nor the engine's spilled data.
pub async fn a_source_is_read_through_its_name_only(subject: Subject) {
    let other = subject.engine.scratch().expect("scratch");
    let secret = subject.source(&other, "secret", Format::Csv, "a\n42\n");
    let folder = other
        .path()
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    for sql in [
        format!("SELECT * FROM read_csv('{}')", secret.file.display()),
        format!("SELECT * FROM '{}'", secret.file.display()),
        format!("SELECT * FROM glob('{folder}/**')"),
        format!(
            "CREATE TEMP VIEW v AS SELECT * FROM read_text('{}')",
            secret.file.display()
        ),
    ] {
        let text = subject.invalid(work(&sql)).await;
        assert!(
            text.contains("is not allowed") || text.contains("`sources` only"),
            "{sql}: {text}"
        );
    }
}

/// A statement can neither read nor change pudato's own tables.
pub async fn what_pudato_keeps_is_safe(subject: Subject) {
    let mut first = work("CREATE TABLE t AS SELECT 1 AS a");
    first.identity = identity("key:1", "f");
    subject.run(first).await.expect("made");
    for sql in [
        "SELECT * FROM pudato.answers",
        "CREATE INDEX i ON pudato.answers (answer)",
        "COMMENT ON TABLE pudato.answers IS 'x'",
        "DELETE FROM pudato.answers",
        "DROP TABLE pudato.answers",
        "DROP SCHEMA pudato CASCADE",
        "UPDATE \"PUDATO\".answers SET answer = ''",
        "ALTER TABLE warehouse.pudato.answers RENAME TO x",
        "CREATE TABLE pudato.mine (a INTEGER)",
        "TRUNCATE pudato.answers",
    ] {
        assert!(
            subject
                .invalid(work(sql))
                .await
                .contains("the schema pudato"),
            "{sql}"
        );
    }
}

/// An engine without durable tables refuses them, and names the alternatives.
pub async fn what_cannot_last_is_refused(subject: Subject) {
    for sql in ["CREATE TABLE t AS SELECT 1", "CREATE VIEW v AS SELECT 1"] {
        let text = subject.invalid(work(sql)).await;
        assert!(
            text.contains("keeps no tables") && text.contains("`into`"),
            "{sql}: {text}"
        );
    }
    let through = script("CREATE TEMP TABLE t AS SELECT 7 AS a; SELECT a FROM t");
    assert_eq!(subject.rows(through).await, [json!([7])]);
}
