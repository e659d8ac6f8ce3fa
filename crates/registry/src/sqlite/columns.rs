//! Rows of SQLite for the queries that all stores share.

use crate::error::Error;
use crate::queries::Columns;
use rusqlite::{Connection, OptionalExtension, Params, Row};

impl Columns for Row<'_> {
    fn optional_text(&self, column: usize) -> Result<Option<String>, Error> {
        Ok(self.get(column)?)
    }

    fn optional_number(&self, column: usize) -> Result<Option<i64>, Error> {
        Ok(self.get(column)?)
    }
}

/// All rows.
pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The first row, where there is one.
pub(super) fn first<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement
        .query_row(params, |row| Ok(read(row)))
        .optional()?;
    found.transpose()
}
