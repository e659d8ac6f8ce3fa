//! Reads rows of SQLite for the queries that all stores share.

use crate::error::{Error, sqlite_error};
use crate::queries::Columns;
use rusqlite::{Connection, OptionalExtension, Params, Row};

impl Columns for Row<'_> {
    fn optional_text(&self, column: usize) -> Result<Option<String>, Error> {
        self.get(column).map_err(sqlite_error)
    }

    fn optional_number(&self, column: usize) -> Result<Option<i64>, Error> {
        self.get(column).map_err(sqlite_error)
    }
}

/// Reads all rows.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare_cached(sql).map_err(sqlite_error)?;
    let mut rows = statement.query(params).map_err(sqlite_error)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sqlite_error)? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// Reads the first row, if there is one.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let mut statement = connection.prepare_cached(sql).map_err(sqlite_error)?;
    let found = statement
        .query_row(params, |row| Ok(read(row)))
        .optional()
        .map_err(sqlite_error)?;
    found.transpose()
}

/// Runs a statement; answers how many rows it changed.
pub(super) fn run(connection: &Connection, sql: &str, params: impl Params) -> Result<u64, Error> {
    let mut statement = connection.prepare_cached(sql).map_err(sqlite_error)?;
    let changed = statement.execute(params).map_err(sqlite_error)?;
    Ok(changed as u64)
}
