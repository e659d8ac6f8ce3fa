//! Events, and the Results and Events of a correlation id.

use super::columns::{all, run};
use super::key::key;
use crate::error::{Error, sqlite_error};
use crate::model::{StoredEvent, StoredResult};
use crate::queries;
use crate::store::IncomingEvent;
use rusqlite::{Connection, params};

pub(super) fn record(connection: &Connection, incoming: &IncomingEvent) -> Result<(), Error> {
    let (identity, id) = (&incoming.identity, &incoming.event.correlation_id);
    let is_there = connection
        .prepare_cached("SELECT 1 FROM event WHERE identity_key = ? AND identity = ?")
        .map_err(sqlite_error)?
        .exists(params![key(identity), identity])
        .map_err(sqlite_error)?;
    if is_there {
        return Ok(());
    }
    let sql = "INSERT INTO event (identity_key, correlation_key, identity, type, correlation_id, recorded_at, body)
             VALUES (?, ?, ?, ?, ?, ?, ?)";
    run(
        connection,
        sql,
        params![
            key(identity),
            key(id),
            identity,
            incoming.event.r#type,
            id,
            incoming.recorded_at.as_str(),
            incoming.body
        ],
    )?;
    Ok(())
}

pub(super) fn results_of(
    connection: &Connection,
    correlation_id: &str,
) -> Result<Vec<StoredResult>, Error> {
    let sql = "SELECT identity, body, recorded_at, standing FROM result
         WHERE correlation_key = ? AND correlation_id = ? ORDER BY at_us, id";
    let params = params![key(correlation_id), correlation_id];
    all(connection, sql, params, |row| queries::stored_result(row))
}

pub(super) fn of(connection: &Connection, correlation_id: &str) -> Result<Vec<StoredEvent>, Error> {
    let sql = "SELECT id, body, recorded_at FROM event
         WHERE correlation_key = ? AND correlation_id = ? ORDER BY id";
    let params = params![key(correlation_id), correlation_id];
    all(connection, sql, params, |row| queries::stored_event(row))
}

pub(super) fn after(
    connection: &Connection,
    cursor: Option<i64>,
    limit: u64,
) -> Result<Vec<StoredEvent>, Error> {
    let sql = match cursor {
        Some(_) => queries::EVENTS_AFTER,
        None => queries::EVENTS_LAST,
    };
    let params = params![cursor.unwrap_or(0), limit];
    all(connection, sql, params, |row| queries::stored_event(row))
}
