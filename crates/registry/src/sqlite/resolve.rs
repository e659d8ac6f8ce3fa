//! Finds a dataset by a typed text.

use super::columns::{all, first};
use crate::error::{Error, sqlite_error};
use crate::resolve::{CANDIDATES_MAX, Found, Resolver, choose};
use pudato_protocol::Dataset;
use rusqlite::{Connection, params};

pub(super) const EXACT: &str = "SELECT id FROM dataset WHERE namespace = ? AND name = ?";

pub(super) const ENDING: &str = "SELECT id, namespace, name FROM dataset WHERE backwards >= ? AND backwards < ? ORDER BY backwards LIMIT ?";

pub(super) fn resolve(connection: &Connection, typed: &str) -> Result<Found, Error> {
    let typed = Resolver::new(typed)?;
    let Dataset { namespace, name } = &typed.dataset;
    if let Some(id) = first(connection, EXACT, [namespace, name], |row| {
        row.get(0).map_err(sqlite_error)
    })? {
        return Ok(typed.exact(id));
    }
    let mut candidates = Vec::new();
    for (from, until) in typed.ranges() {
        let params = params![from, until, CANDIDATES_MAX + 1];
        candidates.extend(all(connection, ENDING, params, |row| {
            let dataset = Dataset {
                namespace: row.get(1).map_err(sqlite_error)?,
                name: row.get(2).map_err(sqlite_error)?,
            };
            Ok((row.get(0).map_err(sqlite_error)?, dataset))
        })?);
    }
    choose(typed, candidates)
}
