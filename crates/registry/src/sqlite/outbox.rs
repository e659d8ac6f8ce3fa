//! Results that still have to be exported.

use super::columns::{all, run};
use super::relocate::relocations;
use crate::error::{Error, sqlite_error};
use crate::openlineage::ExportedResult;
use crate::queries;
use rusqlite::{Connection, params};

pub(super) fn take(
    connection: &Connection,
    limit: u64,
    now_ms: u64,
    until_ms: u64,
) -> Result<Vec<ExportedResult>, Error> {
    let taker = queries::new_id("taker");
    run(
        connection,
        "UPDATE outbox SET taken_by = ?, taken_until_ms = ? WHERE result IN
             (SELECT result FROM outbox WHERE taken_until_ms <= ? ORDER BY result LIMIT ?)",
        params![taker, until_ms, now_ms, limit],
    )?;
    let relocations = relocations(connection)?;
    all(connection, queries::EXPORT_TAKEN, [taker], |row| {
        queries::exported(row, &relocations)
    })
}

pub(super) fn mark_exported(connection: &Connection, rows: &[i64]) -> Result<(), Error> {
    let mut statement = connection
        .prepare_cached("DELETE FROM outbox WHERE result = ?")
        .map_err(sqlite_error)?;
    for row in rows {
        statement.execute([row]).map_err(sqlite_error)?;
    }
    Ok(())
}
