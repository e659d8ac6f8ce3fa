//! Maps DuckDB's errors. No other file reads their texts.
//!
//! DuckDB writes the type of an error in front of its text (`ErrorData::ConstructFinalMessage`), e.g. `Catalog Error: ..`; no statement or
//! file can influence that part. The Rust crate offers no other access to the type. The words of the text only matter if one type has
//! several meanings.

use crate::engine::EngineError;
use duckdb::Error;

/// The text of a DuckDB error.
pub(super) fn text(error: &Error) -> String {
    match error {
        Error::DuckDBFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}

/// Splits an error into its type and its text.
fn typed(text: &str) -> (&str, &str) {
    text.split_once(" Error: ").unwrap_or(("", text))
}

/// Errors of a transaction that changed the same data as another one (DuckDB 1.5.6: all uses of `TransactionException`, and those that
/// `TransactionContext::Commit` passes on).
const COLLISIONS: [&str; 13] = [
    "Attempting to modify table",
    "Cannot create index with outstanding updates",
    "Catalog write-write conflict",
    "Conflict on tuple deletion",
    "Conflict on update",
    "Failed to alter table",
    "PRIMARY KEY or UNIQUE constraint violat",
    "Transaction conflict",
    "Violates foreign key constraint",
    "Duplicate key",
    "Constraint violated",
    "violates primary key constraint",
    "write-write conflict",
];

/// How the error for a file that cannot be written begins, apart from the file's name and the system's message.
const NO_WRITE: [&str; 3] = ["Could not write", "Could not fsync", "Could not truncate"];
/// How that error ends if the file was opened before.
const NO_ROOM: [&str; 5] = [
    "Disk quota exceeded",
    "File too large",
    "Input/output error",
    "No space left on device",
    "Read-only file system",
];
/// The error of a commit that cannot create its log, because the folder is not writable or the name is too long. A commit opens no other
/// file.
const NO_LOG: &str = "Cannot open file";

/// Who would write in a query.
const READ_ONLY: [&str; 2] = [
    "transaction is launched in read-only mode",
    "attached in read-only mode",
];

/// Converts an error to that of the port.
pub(super) fn engine_error(error: Error) -> EngineError {
    told(&text(&error))
}

fn told(text: &str) -> EngineError {
    let (kind, what) = typed(text);
    // A commit passes on the cause without its type.
    let commit = what.strip_prefix("Failed to commit: ");
    let is_commit = commit.is_some();
    let what = commit.unwrap_or(what);
    let begins = |beginnings: &[&str]| beginnings.iter().any(|begin| what.starts_with(begin));
    let has = |parts: &[&str]| parts.iter().any(|part| what.contains(part));
    // DuckDB may add explanations on further lines after the system's message.
    let first = what.lines().next().unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|end| first.trim_end().ends_with(end));
    match kind {
        "TransactionContext" | "Invalid Input" if has(&READ_ONLY) => EngineError::Invalid(format!(
            "payload.sql: a query cannot change anything; use a separate statement, e.g. INSERT: {text}"
        )),
        "TransactionContext" | "IO" if begins(&NO_WRITE) || ends(&NO_ROOM) => {
            EngineError::Unavailable(format!("the warehouse cannot be written: {text}"))
        }
        "TransactionContext" if is_commit && begins(&[NO_LOG]) => {
            let advice = "DuckDB keeps its log next to the file, under the same name with .wal: allow this process to write to the folder, and \
                          if the name in DUCKDB_PATH is too long, choose a shorter one";
            EngineError::Unavailable(format!("the warehouse cannot be written: {text}; {advice}"))
        }
        "TransactionContext" if begins(&COLLISIONS) => {
            EngineError::Retry(format!("another statement changed the same data: {text}"))
        }
        "IO" if begins(&["Could not set lock on file"]) => {
            EngineError::Unavailable(format!("the warehouse is open in another process: {text}"))
        }
        "INTERNAL" | "FATAL" => EngineError::Broken(format!("DuckDB failed: {text}")),
        // A newer form of the file could, which DuckDB before 1.5 cannot open.
        "Invalid Input" if begins(&["VARIANT columns are not supported"]) => EngineError::Invalid(
            "payload.sql: the warehouse cannot store a VARIANT column; cast it to JSON".into(),
        ),
        "Permission" => EngineError::Invalid(format!(
            "payload.sql: SQL reads the warehouse and the Command's `sources` only: {text}"
        )),
        "Out of Memory" => {
            // DuckDB's advice would be refused here.
            let what = text.split("\n\nPossible solutions").next().unwrap_or(text);
            EngineError::Invalid(format!(
                "payload.sql: {what}; make it do less at once, or raise PUDATO_QUERY_MEMORY_BYTES or \
                 PUDATO_QUERY_SPILL_BYTES"
            ))
        }
        _ => EngineError::Invalid(format!("payload.sql: {text}")),
    }
}

/// Whether the text of an `Invalid` says that DuckDB cannot bind what the statement names.
pub(super) fn is_binder(text: &str) -> bool {
    typed(text.trim_start_matches("payload.sql: ")).0 == "Binder"
}

/// Whether the text of an `Invalid` says that there is no table of a name, or that what was taken for a name is none.
pub(super) fn is_no_table(text: &str) -> bool {
    let (kind, what) = typed(text.trim_start_matches("payload.sql: "));
    kind == "Parser" || (kind == "Catalog" && what.starts_with("Table with name"))
}

#[cfg(test)]
mod tests {
    use super::{EngineError, engine_error, told};
    use duckdb::{AccessMode, Config, Connection};

    #[derive(Debug, PartialEq)]
    enum Class {
        Invalid,
        Retry,
        Broken,
        Unavailable,
    }

    fn class(error: &EngineError) -> Class {
        match error {
            EngineError::Invalid(_) => Class::Invalid,
            EngineError::Retry(_) => Class::Retry,
            EngineError::Broken(_) => Class::Broken,
            EngineError::Unavailable(_) => Class::Unavailable,
            EngineError::Again(why) => panic!("DuckDB says nothing of the kind: {why:?}"),
        }
    }

    /// Runs statements, each on the given connection. All but the last must succeed.
    fn error(connections: [&Connection; 2], statements: &[(usize, &str)]) -> EngineError {
        let (last, first) = statements.split_last().expect("statements");
        for (n, sql) in first {
            let ran = connections[*n].execute_batch(sql);
            ran.unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        let failed = connections[last.0].execute_batch(last.1);
        engine_error(failed.expect_err(last.1))
    }

    #[test]
    fn each_error_of_duckdb_is_told_as_what_it_is() {
        let one = |sql| vec![(0, sql)];
        let cases = [
            (one("SELEC 1"), Class::Invalid, "Parser Error"),
            (one("FROM nowhere"), Class::Invalid, "Catalog Error"),
            (one("SELECT nothing"), Class::Invalid, "Binder Error"),
            (
                one("SELECT 'x'::INTEGER"),
                Class::Invalid,
                "Conversion Error",
            ),
            (
                one("INSERT INTO t VALUES (1)"),
                Class::Invalid,
                "Constraint Error",
            ),
            (
                one("SELECT 170141183460469231731687303715884105727 + 1::HUGEINT"),
                Class::Invalid,
                "Out of Range",
            ),
            (
                one("FROM read_csv('/etc/hostname')"),
                Class::Invalid,
                "`sources` only",
            ),
            (one("SET threads = 1"), Class::Invalid, "locked"),
            (
                one("SELECT list(range::VARCHAR || repeat('x', 100)) FROM range(5000000)"),
                Class::Invalid,
                "PUDATO_QUERY_MEMORY_BYTES",
            ),
            // Words of a statement are not part of DuckDB's error.
            (
                one("SELECT error('TransactionContext Error: Conflict on update!')"),
                Class::Invalid,
                "Conflict",
            ),
            (
                one("SELECT error('IO Error: No space left on device')"),
                Class::Invalid,
                "No space",
            ),
            (
                one("SELECT error('FATAL Error: it failed')"),
                Class::Invalid,
                "FATAL",
            ),
            (
                vec![
                    (0, "BEGIN TRANSACTION READ ONLY"),
                    (0, "INSERT INTO t VALUES (2)"),
                ],
                Class::Invalid,
                "a query cannot change anything",
            ),
            (
                vec![(0, "BEGIN"), (0, "BEGIN")],
                Class::Invalid,
                "transaction within a transaction",
            ),
            (
                vec![
                    (0, "BEGIN"),
                    (0, "INSERT INTO t VALUES (3)"),
                    (0, "CHECKPOINT"),
                ],
                Class::Invalid,
                "CHECKPOINT",
            ),
            (
                vec![
                    (0, "BEGIN"),
                    (1, "BEGIN"),
                    (0, "UPDATE t SET b = 1"),
                    (1, "UPDATE t SET b = 2"),
                ],
                Class::Retry,
                "Conflict",
            ),
            (
                vec![
                    (0, "BEGIN"),
                    (1, "BEGIN"),
                    (0, "DELETE FROM t"),
                    (1, "DELETE FROM t"),
                ],
                Class::Retry,
                "Conflict",
            ),
            (
                vec![
                    (0, "BEGIN"),
                    (1, "BEGIN"),
                    (0, "CREATE TABLE u (a INTEGER)"),
                    (1, "CREATE TABLE u (a INTEGER)"),
                ],
                Class::Retry,
                "conflict",
            ),
            (
                vec![
                    (0, "BEGIN"),
                    (1, "BEGIN"),
                    (0, "INSERT INTO t VALUES (4)"),
                    (1, "INSERT INTO t VALUES (4)"),
                    (0, "COMMIT"),
                    (1, "COMMIT"),
                ],
                Class::Retry,
                "another statement",
            ),
            (
                vec![
                    (0, "BEGIN"),
                    (0, "INSERT INTO t VALUES (5)"),
                    (1, "ALTER TABLE t ADD COLUMN c INTEGER"),
                    (0, "COMMIT"),
                ],
                Class::Retry,
                "another statement",
            ),
        ];
        for (statements, expected, part) in cases {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("w.duckdb");
            let config = Config::default()
                .with("memory_limit", "64MB")
                .expect("a limit");
            let config = config.with("temp_directory", "").expect("no folder");
            let first = Connection::open_with_flags(&file, config).expect("opened");
            let made = "CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER DEFAULT 0); INSERT INTO t VALUES (1, 0);
                        SET enable_external_access = false; SET lock_configuration = true";
            first
                .execute_batch(&made.replace("VALUES (1, 0)", "(a) VALUES (1)"))
                .expect("made");
            let second = first.try_clone().expect("another");
            let statements: Vec<_> = statements
                .into_iter()
                .map(|(n, sql)| (n, sql.replace("INTO t VALUES", "INTO t (a) VALUES")))
                .collect();
            let statements: Vec<_> = statements
                .iter()
                .map(|(n, sql)| (*n, sql.as_str()))
                .collect();
            let error = error([&first, &second], &statements);
            assert_eq!(class(&error), expected, "{statements:?}: {error}");
            assert!(error.to_string().contains(part), "{statements:?}: {error}");
        }
    }

    #[test]
    fn a_warehouse_that_is_read_only_is_told_as_that() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("w.duckdb");
        let made = Connection::open(&file).expect("opened");
        made.execute_batch("CREATE SEQUENCE s").expect("made");
        drop(made);
        let config = Config::default().access_mode(AccessMode::ReadOnly);
        let connection =
            Connection::open_with_flags(&file, config.expect("a mode")).expect("opened");
        let error = connection.execute_batch("CREATE TABLE t (a INTEGER)");
        let error = engine_error(error.expect_err("refused"));
        assert!(
            error.to_string().contains("a query cannot change anything"),
            "{error}"
        );
    }

    #[test]
    fn what_a_test_cannot_raise_is_told_by_its_type_too() {
        // A full disk, another process, and DuckDB's own failures.
        for (text, expected) in [
            (
                "TransactionContext Error: Failed to commit: Could not write file \"/x/w.duckdb.wal\": No space left on device",
                Class::Unavailable,
            ),
            (
                "TransactionContext Error: Failed to commit: Could not fsync: Input/output error",
                Class::Unavailable,
            ),
            (
                "IO Error: Could not write file \"x\": No space left on device",
                Class::Unavailable,
            ),
            (
                "IO Error: Could not set lock on file \"w.duckdb\": Conflicting lock is held in python (PID 1)",
                Class::Unavailable,
            ),
            (
                "TransactionContext Error: Failed to commit: Cannot open file \"/x/w.duckdb.wal\": File name too long",
                Class::Unavailable,
            ),
            (
                "TransactionContext Error: Failed to commit: Cannot open file \"/x/w.duckdb.wal\": Permission denied",
                Class::Unavailable,
            ),
            // Words in the name of a file are not part of DuckDB's error.
            (
                "IO Error: Cannot open file \"/x/No space left on device/a\": No such file or directory",
                Class::Invalid,
            ),
            (
                "FATAL Error: Failed: database has been invalidated",
                Class::Broken,
            ),
            ("INTERNAL Error: Attempted to access index 1", Class::Broken),
            (
                "TransactionContext Error: Current transaction is aborted (please ROLLBACK)",
                Class::Invalid,
            ),
            (
                "IO Error: No files found that match the pattern \"x\"",
                Class::Invalid,
            ),
        ] {
            let error = told(text);
            assert_eq!(class(&error), expected, "{text}");
        }
    }
}
