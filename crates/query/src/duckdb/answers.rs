//! Stores answers in the warehouse, in the transaction of the effect that they report.

use super::errors::engine_error;
use super::statements::quote;
use crate::engine::{EngineError, StoredAnswer};
use duckdb::{Connection, OptionalExt, params};
use pudato_handler::Identity;

/// The schema in the warehouse that is reserved for pudato.
pub(super) const SCHEMA: &str = "pudato";

/// The error for a statement that names it.
pub(super) fn refused() -> String {
    format!("payload.sql: the schema {SCHEMA} is reserved for pudato; use another one")
}

/// The table of answers in the warehouse `database`. The name is complete, because a database may also be called `pudato`.
fn table(database: &str) -> String {
    format!("{}.{SCHEMA}.answers", quote(database))
}

/// Creates the table in a transaction of its own, because two concurrent creations conflict.
pub(super) fn make(connection: &Connection, database: &str) -> Result<(), EngineError> {
    let is_made = connection.query_row(
        "SELECT system.main.count(*) > 0 FROM system.main.duckdb_tables() \
         WHERE database_name = ? AND schema_name = 'pudato' AND table_name = 'answers'",
        [database],
        |row| row.get::<_, bool>(0),
    );
    if is_made.map_err(engine_error)? {
        return Ok(());
    }
    let made = connection.execute_batch(&format!(
        "CREATE SCHEMA IF NOT EXISTS {}.{SCHEMA};
         CREATE TABLE IF NOT EXISTS {} (
             key VARCHAR PRIMARY KEY,
             fingerprint VARCHAR NOT NULL,
             answer VARCHAR NOT NULL,
             answered_at TIMESTAMP NOT NULL DEFAULT system.main.current_localtimestamp()
         );",
        quote(database),
        table(database)
    ));
    made.map_err(engine_error)
}

/// Finds the stored answer to the request.
///
/// # Errors
/// `Invalid`: the key came with another payload before.
pub(super) fn find(
    connection: &Connection,
    database: &str,
    identity: &Identity,
) -> Result<Option<StoredAnswer>, EngineError> {
    let sql = format!(
        "SELECT fingerprint, answer FROM {} WHERE key = ?",
        table(database)
    );
    let found = connection.query_row(&sql, [&identity.key], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    match found.optional().map_err(engine_error)? {
        None => Ok(None),
        Some((fingerprint, answer)) if fingerprint == identity.fingerprint => {
            Ok(Some(StoredAnswer { answer }))
        }
        Some(_) => {
            let what = "metadata.idempotency_key: it was used before with another payload; \
                        send the same payload, or another key";
            Err(EngineError::Invalid(what.into()))
        }
    }
}

/// Stores an answer.
pub(super) fn keep(
    connection: &Connection,
    database: &str,
    identity: &Identity,
    answer: &str,
) -> Result<(), EngineError> {
    // The time is given explicitly, because in a table from an earlier version its default has an incomplete name.
    let sql = format!(
        "INSERT INTO {} (key, fingerprint, answer, answered_at) VALUES (?, ?, ?, system.main.current_localtimestamp())",
        table(database)
    );
    let kept = connection.execute(&sql, params![identity.key, identity.fingerprint, answer]);
    kept.map(|_| ()).map_err(engine_error)
}
