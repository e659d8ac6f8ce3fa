//! Answers that are kept in the warehouse, in the transaction of the effect they tell of.

use super::errors::engine_error;
use crate::engine::{EngineError, Kept};
use duckdb::{Connection, OptionalExt, params};
use pudato_handler::Identity;

/// The schema that pudato keeps for itself in the warehouse.
pub(super) const SCHEMA: &str = "pudato";

/// Makes the table; in a transaction of its own, since two works that both make it would collide.
pub(super) fn make(connection: &Connection) -> Result<(), EngineError> {
    let is_made = connection.query_row(
        "SELECT count(*) > 0 FROM duckdb_tables() WHERE schema_name = 'pudato' AND table_name = 'answers'",
        [],
        |row| row.get::<_, bool>(0),
    );
    if is_made.map_err(engine_error)? {
        return Ok(());
    }
    let made = connection.execute_batch(
        "CREATE SCHEMA IF NOT EXISTS pudato;
         CREATE TABLE IF NOT EXISTS pudato.answers (
             key VARCHAR PRIMARY KEY,
             fingerprint VARCHAR NOT NULL,
             answer VARCHAR NOT NULL,
             answered_at TIMESTAMP NOT NULL DEFAULT current_localtimestamp()
         );",
    );
    made.map_err(engine_error)
}

/// What was answered to the request before.
///
/// # Errors
/// `Invalid`: its key came with another payload before.
pub(super) fn find(
    connection: &Connection,
    identity: &Identity,
) -> Result<Option<Kept>, EngineError> {
    let sql = "SELECT fingerprint, answer FROM pudato.answers WHERE key = ?";
    let found = connection.query_row(sql, [&identity.key], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    });
    match found.optional().map_err(engine_error)? {
        None => Ok(None),
        Some((fingerprint, answer)) if fingerprint == identity.fingerprint => {
            Ok(Some(Kept { answer }))
        }
        Some(_) => {
            let what = "metadata.idempotency_key: it was used before with another payload; \
                        send the same payload, or another key";
            Err(EngineError::Invalid(what.into()))
        }
    }
}

/// Keeps an answer.
pub(super) fn keep(
    connection: &Connection,
    identity: &Identity,
    answer: &str,
) -> Result<(), EngineError> {
    let sql = "INSERT INTO pudato.answers (key, fingerprint, answer) VALUES (?, ?, ?)";
    let kept = connection.execute(sql, params![identity.key, identity.fingerprint, answer]);
    kept.map(|_| ()).map_err(engine_error)
}
