//! Renames the datasets of a folder that moved.

use super::columns::{all, first, run};
use crate::error::{Error, sqlite_error};
use crate::model::{Relocate, Relocated};
use crate::relocate::{LISTED_MAX, Moved, Relocations, check_clashes};
use pudato_protocol::{Dataset, Timestamp};
use rusqlite::{Connection, params};

/// Reads all relocations.
pub(super) fn relocations(connection: &Connection) -> Result<Relocations, Error> {
    let sql = "SELECT upto, old, new FROM relocation ORDER BY id";
    let moved = all(connection, sql, [], |row| {
        Ok(Moved {
            upto: row.get(0).map_err(sqlite_error)?,
            from: row.get(1).map_err(sqlite_error)?,
            to: row.get(2).map_err(sqlite_error)?,
        })
    })?;
    Ok(Relocations(moved))
}

/// The number of the last relocation, which grows with each one.
pub(super) fn last(connection: &Connection) -> Result<i64, Error> {
    let sql = "SELECT COALESCE(MAX(id), 0) FROM relocation";
    Ok(first(connection, sql, [], |row| row.get(0).map_err(sqlite_error))?.unwrap_or_default())
}

pub(super) fn relocate(
    connection: &Connection,
    relocate: &Relocate,
    now: &Timestamp,
) -> Result<Relocated, Error> {
    relocate.check()?;
    let was_said = relocate.was_said_before(&relocations(connection)?);
    let mut done = Relocated::default();
    let (mut clashes, mut merged) = (Vec::new(), Vec::new());
    for (id, dataset) in candidates(connection, relocate)? {
        let Some(renamed) = relocate.renamed(&dataset) else {
            continue;
        };
        let params = [&renamed.namespace, &renamed.name];
        let other = first(connection, super::resolve::EXACT, params, |row| {
            row.get::<_, i64>(0).map_err(sqlite_error)
        })?;
        done.datasets += 1;
        if done.examples.len() < LISTED_MAX {
            done.examples.push((dataset.location(), renamed.location()));
        }
        match other {
            Some(other) if relocate.merge || was_said => merged.push((id, other)),
            Some(_) => clashes.push((dataset, renamed)),
            None => rename(connection, id, &renamed)?,
        }
    }
    check_clashes(&clashes)?;
    done.merged = u64::try_from(merged.len()).unwrap_or(u64::MAX);
    merge(connection, &merged)?;
    if done.datasets > 0 {
        let upto = "SELECT COALESCE(MAX(id), 0) FROM result";
        let upto: i64 = first(connection, upto, [], |row| row.get(0).map_err(sqlite_error))?
            .unwrap_or_default();
        for from in relocate.from.iter().filter(|from| **from != relocate.to) {
            let sql = "INSERT INTO relocation (upto, old, new, at) VALUES (?, ?, ?, ?)";
            let mut insert = connection.prepare_cached(sql).map_err(sqlite_error)?;
            insert
                .execute(params![upto, from, relocate.to, now.as_str()])
                .map_err(sqlite_error)?;
        }
    }
    Ok(done)
}

/// Datasets that may be in one of the folders.
fn candidates(connection: &Connection, relocate: &Relocate) -> Result<Vec<(i64, Dataset)>, Error> {
    let mut found = std::collections::BTreeMap::new();
    for from in &relocate.from {
        let sql = "SELECT id, namespace, name FROM dataset WHERE (namespace = 'file' AND substr(name, 1, length(?1)) = ?1)
            OR instr(namespace, ?2) > 0";
        let in_namespace = format!("://{}", from.replace('#', "%23"));
        found.extend(all(connection, sql, [from, &in_namespace], |row| {
            let dataset = Dataset {
                namespace: row.get(1).map_err(sqlite_error)?,
                name: row.get(2).map_err(sqlite_error)?,
            };
            Ok((row.get(0).map_err(sqlite_error)?, dataset))
        })?);
    }
    Ok(found.into_iter().collect())
}

fn rename(connection: &Connection, id: i64, renamed: &Dataset) -> Result<(), Error> {
    let backwards: String = renamed.location().chars().rev().collect();
    let sql = "UPDATE dataset SET namespace = ?, name = ?, backwards = ? WHERE id = ?";
    let mut update = connection.prepare_cached(sql).map_err(sqlite_error)?;
    update
        .execute(params![renamed.namespace, renamed.name, backwards, id])
        .map_err(sqlite_error)?;
    Ok(())
}

/// Moves the lineage of the first dataset of each pair to the second, which has the new name already.
fn merge(connection: &Connection, merged: &[(i64, i64)]) -> Result<(), Error> {
    if merged.is_empty() {
        return Ok(());
    }
    connection.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS merged (old INTEGER PRIMARY KEY, new INTEGER NOT NULL) STRICT;
         DELETE FROM temp.merged;",
    ).map_err(sqlite_error)?;
    for (old, new) in merged {
        let sql = "INSERT INTO temp.merged (old, new) VALUES (?, ?)";
        run(connection, sql, [old, new])?;
    }
    // A Result may have named both datasets; its edges become one.
    connection.execute_batch(
        "UPDATE OR IGNORE edge SET dataset = (SELECT new FROM temp.merged WHERE old = dataset)
             WHERE dataset IN (SELECT old FROM temp.merged);
         DELETE FROM edge WHERE dataset IN (SELECT old FROM temp.merged);
         UPDATE OR IGNORE pair SET output = COALESCE((SELECT new FROM temp.merged WHERE old = output), output),
             input = COALESCE((SELECT new FROM temp.merged WHERE old = input), input)
             WHERE output IN (SELECT old FROM temp.merged) OR input IN (SELECT old FROM temp.merged);
         DELETE FROM pair WHERE output IN (SELECT old FROM temp.merged) OR input IN (SELECT old FROM temp.merged);
         DELETE FROM dataset WHERE id IN (SELECT old FROM temp.merged);
         DELETE FROM temp.merged;",
    ).map_err(sqlite_error)?;
    Ok(())
}

/// See [`RegistryStore::data_folders`](crate::RegistryStore).
pub(super) fn data_folders(connection: &Connection) -> Result<Vec<(String, u64)>, Error> {
    let mut folders = Vec::new();
    for (kind, sql) in crate::queries::DATA_FOLDERS.into_iter().enumerate() {
        folders.extend(all(connection, sql, [], |row| {
            let count: i64 = row.get(1).map_err(sqlite_error)?;
            Ok((
                kind,
                row.get(0).map_err(sqlite_error)?,
                u64::try_from(count).unwrap_or(0),
            ))
        })?);
    }
    Ok(crate::relocate::summed(folders))
}
