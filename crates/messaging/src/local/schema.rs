//! The tables of the embedded fabric, and their version.

use crate::{Code, Error, ErrorKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};
use std::path::Path;
use std::time::Duration;

/// The `user_version` of the database. A newer one is refused.
pub(super) const FORMAT_VERSION: i64 = 1;

/// SQLite versions from this one on are free of the WAL-reset corruption.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// The longest wait for another process's transaction. The lock file makes such waits rare.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The pages that the write-ahead log may hold before they are copied into the database: 64 MiB. A larger log means fewer copies of the few
/// pages that every commit changes.
pub(super) const WAL_PAGES_MAX: i64 = 16_384;
const PAGE_BYTES: i64 = 4_096;

const TABLES: &str = "
CREATE TABLE topic (
    name TEXT PRIMARY KEY,
    -- Messages that no queue heard (docs/design/conformance.md, line 56).
    unheard INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    visibility_ms INTEGER NOT NULL,
    delay_ms INTEGER NOT NULL,
    max_receive_count INTEGER,
    dead_letter_queue TEXT
) STRICT;
CREATE TABLE subscription (
    topic TEXT NOT NULL,
    queue TEXT NOT NULL,
    filter TEXT NOT NULL,
    PRIMARY KEY (topic, queue)
) STRICT, WITHOUT ROWID;
-- What was sent; never changed until it is deleted.
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL,
    sent_at_ms INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    attributes TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
-- Where it stands; small, so that a receive rewrites no body. The key is the order of delivery and fences receipts.
CREATE TABLE delivery (
    queue INTEGER NOT NULL,
    visible_at_ms INTEGER NOT NULL,
    message INTEGER NOT NULL,
    receive_count INTEGER NOT NULL,
    first_received_ms INTEGER,
    source TEXT,
    reason TEXT,
    PRIMARY KEY (queue, visible_at_ms, message)
) STRICT, WITHOUT ROWID;
CREATE TABLE idempotency (
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    owner TEXT NOT NULL,
    busy_until_ms INTEGER NOT NULL,
    answer TEXT,
    PRIMARY KEY (service, key)
) STRICT, WITHOUT ROWID;
";

/// Attempts that ended while their holder was alive, which do not count. They have a table of their own, so that an older program can still
/// read the folder, and a message that is handled at once costs nothing extra.
const EXCUSED: &str = "
CREATE TABLE IF NOT EXISTS excused (
    message INTEGER PRIMARY KEY,
    attempts INTEGER NOT NULL,
    -- The receive that was excused last: each is excused once.
    receive INTEGER NOT NULL
) STRICT;
";

/// Opens a connection for reading. The tables must exist.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let failed = |error| database_error(&format!("{}", path.display()), error);
    let connection = Connection::open(path).map_err(failed)?;
    keep_log(&connection).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection
        .pragma_update(None, "query_only", "ON")
        .map_err(failed)?;
    connection
        .pragma_update(None, "trusted_schema", "OFF")
        .map_err(failed)?;
    Ok(connection)
}

/// Opens the database, and creates or checks its tables.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        let context = format!(
            "SQLite {} is too old; expected 3.51.3 or later",
            rusqlite::version()
        );
        return Err(Error::new(ErrorKind::Invalid, context));
    }
    let failed = |error| database_error(&format!("{}", path.display()), error);
    let connection = Connection::open(path).map_err(failed)?;
    prepare(&connection).map_err(failed)?;
    let version: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(failed)?;
    match version {
        FORMAT_VERSION | 0 => create(connection).map_err(failed),
        newer => {
            let context = format!(
                "{}: written by a newer pudato (format {newer}, this one knows {FORMAT_VERSION}); \
                 use that version, or another data folder",
                path.display()
            );
            Err(Error::new(ErrorKind::Invalid, context))
        }
    }
}

/// Leaves the log in place when the last connection closes. A program that has lost its locks, because a second SQLite in it closed the
/// file, would otherwise go on writing to a log that is deleted, and its commits would be lost (seen with Python's sqlite3).
fn keep_log(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(())
}

/// Copies the log into the database and empties it, if nobody else is using it, so that the next program need not read it. Call it before
/// the connection is closed.
pub(super) fn empty_log(connection: &Connection) {
    let is_set = connection.busy_timeout(Duration::ZERO).is_ok();
    if is_set {
        // If others are using it, one of them does it later.
        let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    keep_log(connection)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES_MAX)?;
    // A program that reads for long keeps the log growing. Afterwards the file shrinks again.
    connection.pragma_update(None, "journal_size_limit", WAL_PAGES_MAX * PAGE_BYTES)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Otherwise SQLite parses and plans a kept statement again whenever a parameter is bound that could change its plan.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Creates missing tables.
fn create(mut connection: Connection) -> rusqlite::Result<Connection> {
    if connection.table_exists(None, "excused")? {
        return Ok(connection);
    }
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    // Another process may have created the tables while this one waited for its turn.
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "user_version", FORMAT_VERSION)?;
    }
    transaction.execute_batch(EXCUSED)?;
    transaction.commit()?;
    Ok(connection)
}

/// The one place where SQLite's errors become ours.
pub(super) fn database_error(doing: &str, error: rusqlite::Error) -> Error {
    let code = error
        .sqlite_error()
        .map(|error| Code::Sqlite(error.extended_code));
    let (kind, advice) = match error.sqlite_error_code() {
        Some(ErrorCode::TooBig) => (ErrorKind::TooLarge, ""),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            ErrorKind::Unavailable,
            "; another program has been writing to it for a while",
        ),
        Some(ErrorCode::SystemIoFailure) => (ErrorKind::Unavailable, "; check the disk"),
        Some(ErrorCode::DiskFull) => (ErrorKind::Unavailable, "; free some space and try again"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            (ErrorKind::Corrupt, "; restore a backup of the data folder")
        }
        Some(ErrorCode::PermissionDenied | ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {
            (ErrorKind::Unavailable, "; check the folder's permissions")
        }
        _ => (ErrorKind::Unavailable, ""),
    };
    Error::new(kind, format!("{doing}: {error}{advice}"))
        .with_code(code)
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn errors_of_sqlite_are_known_by_their_codes_and_keep_them() {
        for (code, kind, advice) in [
            (
                ffi::SQLITE_FULL,
                ErrorKind::Unavailable,
                "; free some space",
            ),
            (
                ffi::SQLITE_BUSY,
                ErrorKind::Unavailable,
                "; another program",
            ),
            (
                ffi::SQLITE_BUSY_SNAPSHOT,
                ErrorKind::Unavailable,
                "; another program",
            ),
            (
                ffi::SQLITE_IOERR_FSYNC,
                ErrorKind::Unavailable,
                "; check the disk",
            ),
            (
                ffi::SQLITE_READONLY,
                ErrorKind::Unavailable,
                "; check the folder",
            ),
            (
                ffi::SQLITE_CANTOPEN,
                ErrorKind::Unavailable,
                "; check the folder",
            ),
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt, "; restore"),
            (ffi::SQLITE_NOTADB, ErrorKind::Corrupt, "; restore"),
            (ffi::SQLITE_TOOBIG, ErrorKind::TooLarge, ""),
            (ffi::SQLITE_NOMEM, ErrorKind::Unavailable, ""),
        ] {
            let text = Some("database or disk is full".to_owned());
            let told = rusqlite::Error::SqliteFailure(ffi::Error::new(code), text);
            let error = database_error("it", told);
            assert_eq!(error.kind, kind, "{code}");
            assert_eq!(error.retry, kind.retry(), "{code}");
            assert_eq!(error.code(), Some(&Code::Sqlite(code)));
            let said = error.context.split_once("is full").map(|(_, said)| said);
            assert!(said.is_some_and(|said| said.starts_with(advice)), "{error}");
            let source = std::error::Error::source(&error).expect("a source");
            assert!(source.is::<rusqlite::Error>(), "{code}");
        }
        assert_eq!(
            database_error("it", rusqlite::Error::InvalidQuery).code(),
            None
        );
    }

    #[test]
    fn no_connection_loads_extensions_or_trusts_the_schema() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("fabric.db");
        let writer = open(&path).expect("opens");
        let reader = open_reader(&path).expect("opens");
        for connection in [writer, reader] {
            let loaded = connection.query_row("SELECT load_extension('x')", [], |_| Ok(()));
            let error = loaded.expect_err("extensions are off").to_string();
            assert!(error.contains("not authorized"), "{error}");
            let trusted = connection.pragma_query_value(None, "trusted_schema", |row| row.get(0));
            assert_eq!(trusted, Ok(false));
        }
    }
}
