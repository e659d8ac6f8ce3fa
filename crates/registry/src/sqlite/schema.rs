//! Opens the database and migrates its tables.

use super::columns::all;
use crate::error::{Error, ErrorKind, sqlite_error};
use crate::migrations::{self, Migration};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::path::Path;
use std::time::{Duration, Instant};

/// SQLite versions from this one on are free of the WAL-reset corruption.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// The longest wait for another process's transaction.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two tries, for operations where SQLite itself does not wait.
const BUSY_PAUSE: Duration = Duration::from_millis(10);
/// The pages that the write-ahead log may hold before they are copied into the database: 64 MiB. A larger log lets a page change more often
/// before it is copied once.
const WAL_PAGES_MAX: i64 = 16_384;
const PAGE_BYTES: i64 = 4_096;

/// The page cache of the connection that writes. Writes change the indexes of a large registry all over.
const WRITER_CACHE_KIB: i64 = 65_536;

/// Each migration turns one version of the format into the next. A released one never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("0001.sql"),
    include_str!("0002.sql"),
    include_str!("0003.sql"),
    include_str!("0004.sql"),
    include_str!("0005.sql"),
    include_str!("0006.sql"),
    include_str!("0007.sql"),
    include_str!("0008.sql"),
];

/// Opens a connection for writing, and migrates the tables.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        let context = format!(
            "SQLite {} is too old; expected 3.51.3 or later",
            rusqlite::version()
        );
        return Err(Error::new(ErrorKind::Invalid, context));
    }
    let mut connection = Connection::open(path).map_err(sqlite_error)?;
    settle(&connection).map_err(sqlite_error)?;
    write_ahead(&connection).map_err(sqlite_error)?;
    connection
        .pragma_update(None, "synchronous", "FULL")
        .map_err(sqlite_error)?;
    connection
        .pragma_update(None, "wal_autocheckpoint", WAL_PAGES_MAX)
        .map_err(sqlite_error)?;
    // A program that reads for long keeps the log growing. Afterwards the file shrinks again.
    connection
        .pragma_update(None, "journal_size_limit", WAL_PAGES_MAX * PAGE_BYTES)
        .map_err(sqlite_error)?;
    connection
        .pragma_update(None, "cache_size", -WRITER_CACHE_KIB)
        .map_err(sqlite_error)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Turns the write-ahead log on. If several processes open a new file at once, one of them does it, and SQLite reports "locked" to the
/// others instead of letting them wait.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let started = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && started.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(BUSY_PAUSE);
            }
            set => return set,
        }
    }
}

/// Opens a connection for reading. Readers never wait.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let connection = Connection::open(path).map_err(sqlite_error)?;
    settle(&connection).map_err(sqlite_error)?;
    Ok(connection)
}

/// Copies the log into the database and empties it, if nobody else is using it, so that the next program need not read it. Call it before
/// the connection is closed.
pub(super) fn empty_log(connection: &Connection) {
    if connection.busy_timeout(Duration::ZERO).is_ok() {
        // If others are using it, one of them does it later.
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

fn settle(connection: &Connection) -> rusqlite::Result<()> {
    // Leaves the log in place when the last connection closes. A program that has lost its locks, because a second SQLite in it closed
    // the file, would otherwise go on writing to a log that is deleted, and its commits would be lost.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    keep_plans(connection)
}

/// Keeps prepared statements, and their plans. Otherwise SQLite parses and plans a kept statement again whenever a parameter is
/// bound that could change its plan, such as the one of `LIMIT ?`; a third of a walk's time went into that.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_prepared_statement_cache_capacity(64);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// The migrations that were applied to the file. The first format had no list of them.
fn applied(connection: &Connection, version: usize) -> Result<Vec<Migration>, Error> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, checksum TEXT NOT NULL) STRICT",
    ).map_err(sqlite_error)?;
    if let Some(first) = MIGRATIONS.first().filter(|_| version > 0) {
        let sql = "INSERT OR IGNORE INTO migration (version, checksum) VALUES (1, ?)";
        connection
            .execute(sql, [migrations::checksum(first)])
            .map_err(sqlite_error)?;
    }
    all(
        connection,
        "SELECT version, checksum FROM migration ORDER BY version",
        [],
        |row| {
            Ok(Migration {
                version: row.get(0).map_err(sqlite_error)?,
                checksum: row.get(1).map_err(sqlite_error)?,
            })
        },
    )
}

fn migrate(connection: &mut Connection, path: &Path) -> Result<(), Error> {
    let known = MIGRATIONS.len();
    let transaction = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(sqlite_error)?;
    // Read inside the transaction, because another process may have migrated while this one waited.
    let version: usize = transaction
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(sqlite_error)?;
    if version > known {
        let context = format!(
            "{}: written by a newer pudato (format {version}, this one knows {known}); \
             use that version, or another data folder",
            path.display()
        );
        return Err(Error::new(ErrorKind::Invalid, context));
    }
    let applied = applied(&transaction, version)?;
    for (version, sql) in migrations::missing(MIGRATIONS, &applied)? {
        transaction.execute_batch(sql).map_err(sqlite_error)?;
        let sum = migrations::checksum(sql);
        let sql = "INSERT INTO migration (version, checksum) VALUES (?, ?)";
        transaction
            .execute(sql, rusqlite::params![version, sum])
            .map_err(sqlite_error)?;
        transaction
            .pragma_update(None, "user_version", version)
            .map_err(sqlite_error)?;
    }
    transaction.commit().map_err(sqlite_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GraphQuery, Walk};
    use crate::sqlite::SqliteRegistry;
    use crate::store::RegistryStore;

    /// Rows in the first format.
    const FIRST: &str = "
        INSERT INTO job (job_id, created_at, created_us) VALUES ('job-1', '2026-01-01T00:00:00Z', 0);
        INSERT INTO step (step_id, job, status, rank, at_us, at, identity, started_us)
            VALUES ('step-1', 1, 'success', 2, 2000, '2026-01-01T00:00:00Z', 'r1', 1000);
        INSERT INTO result (identity_key, correlation_key, identity, correlation_id, step, status, at_us, recorded_at, executions, body)
            VALUES (1, 1, 'r1', 'c', 1, 'success', 2000, '2026-01-01T00:00:00Z', NULL,
            '{\"inputs\": [{\"ref_type\": \"file\", \"location\": \"s3://x/a\"}], \"outputs\": []}');
        INSERT INTO dataset (namespace, name, backwards) VALUES ('s3://x', 'a', 'a/x//:3s'), ('s3://x', 'b', 'b/x//:3s');
        INSERT INTO edge (dataset, direction, at_us, result, position, step, ref_type, row_count)
            VALUES (1, 0, 2000, 1, 0, 1, 'file', 7), (2, 1, 2000, 1, 0, 1, 'file', 5);";

    #[tokio::test]
    async fn a_registry_of_the_first_format_still_opens() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("registry.db");
        let old = Connection::open(&path).expect("opened");
        old.execute_batch(MIGRATIONS[0]).expect("made");
        old.execute_batch(FIRST).expect("filled");
        old.pragma_update(None, "user_version", 1).expect("set");
        drop(old);
        for _ in 0..2 {
            let registry = SqliteRegistry::open(&path).expect("opened");
            let query = GraphQuery {
                location: "s3://x/b".into(),
                walk: Walk::Upstream,
                depth: 10,
                max_nodes: 100,
                as_of: None,
                environment: None,
                all_runs: false,
            };
            let graph = registry.graph(query).await.expect("walked");
            let rows: Vec<_> = graph.edges.iter().map(|edge| edge.row_count).collect();
            assert_eq!(rows, [Some(5), Some(7)]);
            let step = registry
                .get_step("step-1")
                .await
                .expect("asked")
                .expect("a step");
            assert_eq!(step.inputs[0].location, "s3://x/a");
        }
    }

    /// Rows in the second format: a step with runs under two correlation ids, a declared one, and one with a single run.
    const BEFORE: &str = "
        INSERT INTO job (job_id, created_at, created_us) VALUES ('job-1', '2026-01-01T00:00:00Z', 0);
        INSERT INTO step (step_id, job, status, rank, at_us, at, identity, seen_handler, seen_correlation_id) VALUES
            ('twice', 1, 'failed', 2, 2000, '2026-01-01T00:00:00Z', 'r2', 'query', 'c2'),
            ('once', 1, 'failed', 2, 2000, '2026-01-01T00:00:00Z', 'r3', 'query', 'c3');
        INSERT INTO step (step_id, job, declared, handler_type, action, correlation_id, status, rank, at_us, at, identity,
            seen_handler, seen_correlation_id) VALUES
            ('declared', 1, 1, 'query', 'execute_sql', 'c4', 'failed', 2, 2000, '2026-01-01T00:00:00Z', 'r5', 'query', 'c5');
        INSERT INTO result (identity_key, correlation_key, identity, correlation_id, step, status, at_us, recorded_at, body) VALUES
            (1, 1, 'r1', 'c1', 1, 'failed', 1000, '2026-01-01T00:00:00Z', '{\"status\": \"error\", \"correlation_id\": \"c1\"}'),
            (2, 2, 'r2', 'c2', 1, 'failed', 2000, '2026-01-01T00:00:00Z', '{\"status\": \"error\", \"correlation_id\": \"c2\"}'),
            (3, 3, 'r3', 'c3', 2, 'failed', 2000, '2026-01-01T00:00:00Z', '{\"status\": \"error\", \"correlation_id\": \"c3\"}'),
            (5, 5, 'r5', 'c5', 3, 'failed', 2000, '2026-01-01T00:00:00Z', '{\"status\": \"error\", \"correlation_id\": \"c5\"}');";

    #[tokio::test]
    async fn runs_of_the_previous_format_still_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("registry.db");
        let old = Connection::open(&path).expect("opened");
        for sql in [MIGRATIONS[0], MIGRATIONS[1], BEFORE] {
            old.execute_batch(sql).expect("made");
        }
        applied(&old, 1).expect("the list of migrations");
        let sql = "INSERT INTO migration (version, checksum) VALUES (2, ?)";
        let sum = migrations::checksum(MIGRATIONS[1]);
        old.execute(sql, [sum]).expect("listed");
        old.pragma_update(None, "user_version", 2).expect("set");
        drop(old);
        let registry = SqliteRegistry::open(&path).expect("opened");
        let mut n = 0;
        for (step, id, counts) in [
            ("twice", "c1", true),
            ("twice", "c2", true),
            ("twice", "other", false),
            ("once", "c3", true),
            ("once", "other", false),
            ("declared", "c4", true),
            ("declared", "c5", true),
            ("declared", "other", false),
        ] {
            n += 1;
            let mut result = pudato_protocol::Result::success(id, pudato_protocol::Object::new());
            result.step_id = Some(step.into());
            result.job_id = Some("job-1".into());
            result.handler = Some("query".into());
            let incoming = crate::store::Incoming {
                identity: format!("{n:064}"),
                body: pudato_protocol::encode(&result).into(),
                recorded_at: result.timestamp.clone(),
                result: std::sync::Arc::new(result),
            };
            let applied = registry.apply(vec![incoming]).await.expect("applied");
            let expected = match counts {
                true => crate::store::Applied::Applied,
                false => crate::store::Applied::Mismatched,
            };
            assert_eq!(applied, [expected], "{step} {id}");
            let found = registry
                .get_step(step)
                .await
                .expect("asked")
                .expect("a step");
            assert_eq!(found.status.as_str(), "success", "{step} {id}");
        }
    }

    #[test]
    fn many_that_open_a_new_file_at_once_all_open_it() {
        for _ in 0..40 {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("registry.db");
            std::thread::scope(|scope| {
                let opened = (0..6).map(|_| scope.spawn(|| open(&path).map(|_| ())));
                for opened in opened.collect::<Vec<_>>() {
                    opened.join().expect("no panic").expect("opened");
                }
            });
        }
    }

    #[test]
    fn a_newer_format_and_a_changed_migration_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("registry.db");
        drop(open(&path).expect("made"));
        let other = Connection::open(&path).expect("opened");
        other
            .execute("UPDATE migration SET checksum = 'x' WHERE version = 2", [])
            .expect("changed");
        let refused = open(&path).expect_err("refused").to_string();
        assert!(refused.contains("another migration 2"), "{refused}");
        other.pragma_update(None, "user_version", 99).expect("set");
        let refused = open(&path).expect_err("refused").to_string();
        assert!(refused.contains("newer pudato (format 99"), "{refused}");
    }

    /// Lineage from before the registry distinguished the rows of a table from the rows that changed.
    const ONE_NUMBER: &str = "
        INSERT INTO step (step_id, status, rank, at_us, at, identity, seen_handler) VALUES
            ('sql', 'success', 2, 2000, '2026-01-01T00:00:00Z', 'r1', 'query'),
            ('dbt', 'success', 2, 2000, '2026-01-01T00:00:00Z', 'r2', 'transform');
        INSERT INTO result (identity_key, correlation_key, identity, correlation_id, step, status, at_us, recorded_at, body) VALUES
            (1, 1, 'r1', 'c1', 1, 'success', 2000, '2026-01-01T00:00:00Z',
            '{\"outputs\": [{\"metadata\": {\"operation\": \"create\"}}, {\"metadata\": {\"operation\": \"update\"}}, {\"metadata\": {\"operation\": \"insert\"}}]}'),
            (2, 2, 'r2', 'c2', 2, 'success', 2000, '2026-01-01T00:00:00Z', '{\"outputs\": [{\"metadata\": {\"operation\": \"insert\"}}]}');
        INSERT INTO dataset (namespace, name, backwards) VALUES ('s3://x', 'made', 'edam/x//:3s'), ('s3://x', 'changed', 'degnahc/x//:3s'),
            ('s3://x', 'added', 'dedda/x//:3s'), ('s3://x', 'built', 'tliub/x//:3s');
        INSERT INTO edge (dataset, kind, seen_us, result, position, step, at_us, row_count) VALUES
            (1, 1, 2000, 1, 0, 1, 2000, 7), (2, 1, 2000, 1, 1, 1, 2000, 1), (3, 2, 2000, 1, 2, 1, 2000, 5), (4, 2, 2000, 2, 0, 2, 2000, 9);";

    #[tokio::test]
    async fn changed_rows_are_not_taken_for_the_row_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("registry.db");
        let old = Connection::open(&path).expect("opened");
        for sql in &MIGRATIONS[..3] {
            old.execute_batch(sql).expect("made");
        }
        old.execute_batch(ONE_NUMBER).expect("filled");
        applied(&old, 1).expect("the list of migrations");
        for version in [2, 3] {
            let sql = "INSERT INTO migration (version, checksum) VALUES (?, ?)";
            let sum = migrations::checksum(MIGRATIONS[version - 1]);
            old.execute(sql, rusqlite::params![version, sum])
                .expect("listed");
        }
        old.pragma_update(None, "user_version", 3).expect("set");
        drop(old);
        let registry = SqliteRegistry::open(&path).expect("opened");
        for (name, rows, changed) in [
            ("made", Some(7), None),
            ("changed", None, Some(1)),
            ("added", None, Some(5)),
            ("built", Some(9), None),
        ] {
            let query = GraphQuery {
                location: format!("s3://x/{name}"),
                walk: Walk::Upstream,
                depth: 10,
                max_nodes: 100,
                as_of: None,
                environment: None,
                all_runs: false,
            };
            let graph = registry.graph(query).await.expect("walked");
            let edge = &graph.edges[0];
            assert_eq!(
                (edge.row_count, edge.rows_changed),
                (rows, changed),
                "{name}"
            );
        }
    }
}
