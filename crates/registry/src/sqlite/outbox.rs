//! Results that are still to be told to others.

use super::columns::all;
use super::relocate::relocations;
use crate::error::Error;
use crate::openlineage::ToldResult;
use crate::queries;
use rusqlite::{Connection, params};

pub(super) fn take(
    connection: &Connection,
    limit: u64,
    now_ms: u64,
    until_ms: u64,
) -> Result<Vec<ToldResult>, Error> {
    let taker = queries::new_id("taker");
    connection
        .prepare_cached(
            "UPDATE outbox SET taken_by = ?, taken_until_ms = ? WHERE result IN
             (SELECT result FROM outbox WHERE taken_until_ms <= ? ORDER BY result LIMIT ?)",
        )?
        .execute(params![taker, until_ms, now_ms, limit])?;
    let relocations = relocations(connection)?;
    all(connection, queries::TOLD_TAKEN, [taker], |row| {
        queries::told(row, &relocations)
    })
}

pub(super) fn told(connection: &Connection, rows: &[i64]) -> Result<(), Error> {
    let mut statement = connection.prepare_cached("DELETE FROM outbox WHERE result = ?")?;
    for row in rows {
        statement.execute([row])?;
    }
    Ok(())
}
