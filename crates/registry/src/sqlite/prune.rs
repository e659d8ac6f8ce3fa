//! Removes old data.

use super::Change;
use super::columns::{all, first, run};
use crate::error::{Error, sqlite_error};
use crate::model::{Prune, Pruned};
use crate::{micros, queries};
use pudato_protocol::Timestamp;
use rusqlite::{Connection, params};

pub(super) fn prune(change: &Change<'_>, prune: &Prune) -> Result<Pruned, Error> {
    let connection = &change.transaction;
    let (at_us, id) = prune.after.unwrap_or((i64::MIN, 0));
    let params = params![at_us, id, micros(&prune.before), prune.limit];
    let page = all(connection, queries::PRUNE_PAGE, params, |row| {
        let step: Option<i64> = row.get(1).map_err(sqlite_error)?;
        Ok((
            row.get(0).map_err(sqlite_error)?,
            step,
            row.get(2).map_err(sqlite_error)?,
            row.get(3).map_err(sqlite_error)?,
        ))
    })?;
    let mut pruned = Pruned {
        next: page
            .last()
            .map(|(id, _, at_us, _): &(i64, _, i64, i64)| (*at_us, *id)),
        ..Pruned::default()
    };
    let mut steps = Vec::new();
    for (result, step, _, goes) in page {
        if goes == 0 {
            continue;
        }
        if let Some(step) = step {
            pruned.edges += run(
                connection,
                "DELETE FROM edge WHERE step = ? AND result = ?",
                [step, result],
            )?;
            run(
                connection,
                "DELETE FROM pair WHERE step = ? AND result = ?",
                [step, result],
            )?;
            steps.push(step);
        }
        pruned.results += run(connection, "DELETE FROM result WHERE id = ?", [result])?;
    }
    for step in steps {
        let sql = "SELECT job FROM step WHERE id = ? AND NOT EXISTS (SELECT 1 FROM result WHERE step = step.id)";
        let job = first(connection, sql, [step], |row| {
            row.get(0).map_err(sqlite_error)
        })?;
        let Some(job): Option<Option<i64>> = job else {
            continue;
        };
        pruned.steps += run(connection, "DELETE FROM step WHERE id = ?", [step])?;
        if let Some(job) = job {
            let sql = "DELETE FROM job WHERE id = ? AND NOT EXISTS (SELECT 1 FROM step WHERE job = job.id)";
            pruned.jobs += run(connection, sql, [job])?;
        }
    }
    Ok(pruned)
}

pub(super) fn events(
    connection: &Connection,
    before: &Timestamp,
    limit: u64,
    dry_run: bool,
) -> Result<u64, Error> {
    let before = Timestamp::from_unix_us(micros(before));
    if dry_run {
        let sql = "SELECT COUNT(*) FROM event WHERE recorded_at < ?";
        return connection
            .query_row(sql, [before.as_str()], |row| row.get(0))
            .map_err(sqlite_error);
    }
    // The oldest Events have the smallest numbers.
    let sql = "DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY id LIMIT ?) AND recorded_at < ?";
    run(connection, sql, params![limit, before.as_str()])
}
