//! From what people type to a dataset.

use crate::error::{Error, ErrorKind};
use pudato_protocol::Dataset;
use rusqlite::{Connection, OptionalExtension, params};

/// Most candidates that an error lists.
const CANDIDATES_MAX: usize = 10;

/// A dataset that was asked for; `id` is `None` where nobody named it yet.
pub(super) struct Found {
    pub(super) id: Option<i64>,
    pub(super) dataset: Dataset,
}

/// The dataset of that very location; else the only one whose location ends in `/typed`, `.typed` or `#typed`.
pub(super) fn resolve(connection: &Connection, typed: &str) -> Result<Found, Error> {
    if typed.contains('\0') {
        let context = format!("payload.location: {typed:?}: a NUL is not allowed");
        return Err(Error::new(ErrorKind::Invalid, context));
    }
    let dataset = Dataset::parse(typed);
    let id = connection
        .prepare_cached("SELECT id FROM dataset WHERE namespace = ? AND name = ?")?
        .query_row(params![dataset.namespace, dataset.name], |row| row.get(0))
        .optional()?;
    if id.is_some() || typed.is_empty() {
        return Ok(Found { id, dataset });
    }
    let mut candidates = ending_in(connection, typed)?;
    match candidates.len() {
        0 => Ok(Found { id: None, dataset }),
        1 => {
            let (id, dataset) = candidates.remove(0);
            Ok(Found {
                id: Some(id),
                dataset,
            })
        }
        more => {
            let listed = candidates.iter().take(CANDIDATES_MAX);
            let listed: Vec<String> = listed.map(|(_, dataset)| dataset.location()).collect();
            let others = more.saturating_sub(CANDIDATES_MAX);
            let others = if others == 0 {
                String::new()
            } else {
                " and others".into()
            };
            Err(Error::new(
                ErrorKind::Invalid,
                format!(
                    "payload.location: {typed:?} may be {}{others}; name one of them in full",
                    listed.join(", ")
                ),
            ))
        }
    }
}

fn ending_in(connection: &Connection, typed: &str) -> Result<Vec<(i64, Dataset)>, Error> {
    let backwards: String = typed.chars().rev().collect();
    let mut candidates = Vec::new();
    for separator in ['/', '.', '#'] {
        // An index walk over all that begin with this: the next text after them ends in the next character.
        let from = format!("{backwards}{separator}");
        let until = format!("{backwards}{}", char::from(separator as u8 + 1));
        let mut statement = connection.prepare_cached(
            "SELECT id, namespace, name FROM dataset WHERE backwards >= ? AND backwards < ? ORDER BY backwards LIMIT ?",
        )?;
        let limit = CANDIDATES_MAX + 1;
        let rows = statement.query_map(params![from, until, limit], |row| {
            let dataset = Dataset {
                namespace: row.get(1)?,
                name: row.get(2)?,
            };
            Ok((row.get(0)?, dataset))
        })?;
        for row in rows {
            candidates.push(row?);
        }
    }
    Ok(candidates)
}
