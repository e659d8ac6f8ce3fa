//! Events, and the Results and Events of a correlation id.

use super::key::key;
use crate::error::Error;
use crate::model::{StoredEvent, StoredResult};
use crate::store::IncomingEvent;
use rusqlite::{Connection, Row, params};

pub(super) fn record(connection: &Connection, incoming: &IncomingEvent) -> Result<(), Error> {
    let (identity, id) = (&incoming.identity, &incoming.event.correlation_id);
    let is_there = connection
        .prepare_cached("SELECT 1 FROM event WHERE identity_key = ? AND identity = ?")?
        .exists(params![key(identity), identity])?;
    if is_there {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO event (identity_key, correlation_key, identity, type, correlation_id, recorded_at, body)
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key(identity),
            key(id),
            identity,
            incoming.event.r#type,
            id,
            incoming.recorded_at.as_str(),
            incoming.body
        ])?;
    Ok(())
}

pub(super) fn results_of(
    connection: &Connection,
    correlation_id: &str,
) -> Result<Vec<StoredResult>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT identity, body, recorded_at FROM result
         WHERE correlation_key = ? AND correlation_id = ? ORDER BY at_us, id",
    )?;
    let rows = statement.query_map(params![key(correlation_id), correlation_id], |row| {
        Ok(StoredResult {
            identity: row.get(0)?,
            body: row.get(1)?,
            recorded_at: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn of(connection: &Connection, correlation_id: &str) -> Result<Vec<StoredEvent>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id, body, recorded_at FROM event
         WHERE correlation_key = ? AND correlation_id = ? ORDER BY id",
    )?;
    let rows = statement.query_map(params![key(correlation_id), correlation_id], event)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn after(
    connection: &Connection,
    cursor: Option<i64>,
    limit: u64,
) -> Result<Vec<StoredEvent>, Error> {
    let sql = match cursor {
        Some(_) => "SELECT id, body, recorded_at FROM event WHERE id > ? ORDER BY id LIMIT ?",
        None => {
            "SELECT id, body, recorded_at FROM (SELECT id, body, recorded_at FROM event WHERE id > ?
             ORDER BY id DESC LIMIT ?) ORDER BY id"
        }
    };
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![cursor.unwrap_or(0), limit], event)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        cursor: row.get(0)?,
        body: row.get(1)?,
        recorded_at: row.get(2)?,
    })
}
