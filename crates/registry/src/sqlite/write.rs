//! Writes the plan of a batch.

use super::Change;
use super::columns::{all, first, run};
use super::key::key;
use super::relocate::relocations;
use super::steps;
use crate::batch::{Batch, Known, KnownJob, Observation, Plan, Statement, StoredStatement};
use crate::error::{Error, sqlite_error};
use crate::queries;
use crate::store::Applied;
use pudato_protocol::{Dataset, Timestamp};
use rusqlite::{Connection, params};

/// Plans the changes and writes them.
pub(super) fn apply<'a>(
    change: &mut Change<'_>,
    observations: impl IntoIterator<Item = Observation<'a>>,
) -> Result<Vec<Applied>, Error> {
    let observations: Vec<Observation<'a>> = observations.into_iter().collect();
    let batch = Batch::new(&observations)?;
    let known = self::known(change, &batch)?;
    let to_rebuild = batch.to_rebuild(&known);
    if to_rebuild.is_empty() {
        return write(change, &batch, &known);
    }
    let stored = read_statements(&change.transaction, &to_rebuild)?;
    let batch = Batch::with_stored(&to_rebuild, &stored, &observations)?;
    let known = self::known(change, &batch)?;
    write(change, &batch, &known)
}

/// Reads all stored statements about these steps.
fn read_statements(connection: &Connection, steps: &[i64]) -> Result<Vec<StoredStatement>, Error> {
    let sql = "SELECT id, standing, identity, recorded_at FROM result WHERE step = ? ORDER BY id";
    let relocations = relocations(connection)?;
    let mut stored = Vec::new();
    for step in steps {
        stored.extend(all(connection, sql, [step], |row| {
            let id: i64 = row.get(0).map_err(sqlite_error)?;
            // One at a time, because bodies may be large.
            let body = first(connection, queries::RESULT_BODY, [id], |row| {
                row.get::<_, String>(0).map_err(sqlite_error)
            })?;
            let body = relocations.body(id, body.unwrap_or_default());
            StoredStatement::read(row, &body)
        })?);
    }
    Ok(stored)
}

fn known(change: &mut Change<'_>, batch: &Batch<'_>) -> Result<Known, Error> {
    let mut known = Known::default();
    for location in &batch.locations {
        known.datasets.push(dataset(change, location)?);
    }
    let connection = &change.transaction;
    let names = batch.names();
    for identity in names.identities {
        let sql = "SELECT 1 FROM result WHERE identity_key = ? AND identity = ?";
        let mut statement = connection.prepare_cached(sql).map_err(sqlite_error)?;
        if statement
            .exists(params![key(identity), identity])
            .map_err(sqlite_error)?
        {
            known.results.insert(identity.to_owned());
        }
    }
    for step_id in names.steps {
        let step = first(connection, queries::KNOWN_STEP, [step_id], |row| {
            queries::known_step(row)
        })?;
        known.steps.extend(step);
    }
    for job_id in names.jobs {
        let sql = "SELECT id, declared, created_us FROM job WHERE job_id = ?";
        let job = first(connection, sql, [job_id], |row| {
            Ok(KnownJob {
                id: row.get(0).map_err(sqlite_error)?,
                is_declared: row.get(1).map_err(sqlite_error)?,
                created_us: row.get(2).map_err(sqlite_error)?,
            })
        })?;
        known.jobs.extend(job.map(|job| (job_id.to_owned(), job)));
    }
    Ok(known)
}

fn dataset(change: &mut Change<'_>, location: &str) -> Result<i64, Error> {
    let known = change.committed.get(location);
    if let Some(id) = known.or_else(|| change.found.get(location)) {
        return Ok(*id);
    }
    let Dataset { namespace, name } = Dataset::parse(location);
    let sql = "SELECT id FROM dataset WHERE namespace = ? AND name = ?";
    let found = first(&change.transaction, sql, [&namespace, &name], |row| {
        row.get(0).map_err(sqlite_error)
    })?;
    let id = match found {
        Some(id) => id,
        None => {
            let backwards: String = location.chars().rev().collect();
            let sql = "INSERT INTO dataset (namespace, name, backwards) VALUES (?, ?, ?)";
            run(&change.transaction, sql, [namespace, name, backwards])?;
            change.transaction.last_insert_rowid()
        }
    };
    change.found.insert(location.to_owned(), id);
    Ok(id)
}

fn write(change: &Change<'_>, batch: &Batch<'_>, known: &Known) -> Result<Vec<Applied>, Error> {
    let plan = Plan::new(batch, known)?;
    let connection = &*change.transaction;
    let jobs = jobs(connection, &plan)?;
    let steps = steps::write(connection, batch, &plan, &jobs)?;
    let mut results = Vec::with_capacity(plan.results.len());
    for kept in &plan.results {
        let statement = &batch.statements[kept.statement];
        let step = kept.step.map(|place| steps[place]);
        results.extend(result(connection, statement, step, kept.verdict.number())?);
    }
    let tell = "INSERT OR IGNORE INTO outbox (result) VALUES (?)";
    if change.has_outbox {
        let mut statement = connection.prepare_cached(tell).map_err(sqlite_error)?;
        for (result, kept) in results.iter().zip(&plan.results) {
            if kept.verdict.counts() {
                statement.execute([result]).map_err(sqlite_error)?;
            }
        }
    }
    for (result, verdict) in &plan.reevaluated {
        let sql = "UPDATE result SET standing = ? WHERE id = ?";
        run(connection, sql, [verdict.number(), *result])?;
        // A Result that no longer counts leaves the outbox; one that now counts enters it.
        if !verdict.counts() {
            let sql = "DELETE FROM outbox WHERE result = ?";
            run(connection, sql, [result])?;
        } else if change.has_outbox {
            run(connection, tell, [result])?;
        }
    }
    let sql = "INSERT INTO edge (dataset, kind, seen_us, result, position, step, at_us, version, row_count, bytes, rows_changed)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    let mut statement = connection.prepare_cached(sql).map_err(sqlite_error)?;
    for edge in &plan.edges {
        statement
            .execute(params![
                edge.dataset,
                edge.kind,
                edge.seen_us,
                edge.result.row(&results),
                edge.position,
                steps[edge.step],
                edge.at_us,
                edge.version,
                edge.row_count,
                edge.bytes,
                edge.rows_changed
            ])
            .map_err(sqlite_error)?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO pair (step, output, input, result, at_us, is_own) VALUES (?, ?, ?, ?, ?, ?)",
    ).map_err(sqlite_error)?;
    for pair in &plan.pairs {
        statement
            .execute(params![
                steps[pair.step],
                pair.output,
                pair.input,
                pair.result.row(&results),
                pair.at_us,
                pair.is_own
            ])
            .map_err(sqlite_error)?;
    }
    for (_, id) in plan
        .jobs
        .iter()
        .zip(&jobs)
        .filter(|(job, _)| job.is_rebuilt)
    {
        ended(connection, *id)?;
    }
    Ok(plan.applied)
}

/// Updates the end of a job one of whose steps was rebuilt.
fn ended(connection: &Connection, job: i64) -> Result<(), Error> {
    let last = first(connection, queries::LAST_ENDED, [job], |row| {
        row.get::<_, Option<i64>>(0).map_err(sqlite_error)
    })?;
    let last_us = last.flatten();
    let last_at = last_us.map(Timestamp::from_unix_us);
    let last_at = last_at.as_ref().map(Timestamp::as_str);
    run(
        connection,
        queries::JOB_ENDED,
        params![last_us, last_at, job],
    )?;
    Ok(())
}

/// Writes the jobs and returns their rows.
fn jobs(connection: &Connection, plan: &Plan<'_>) -> Result<Vec<i64>, Error> {
    let mut rows = Vec::with_capacity(plan.jobs.len());
    for job in &plan.jobs {
        // One instant can be written in several ways. The stored text must not depend on the order of arrival.
        let created_at = Timestamp::from_unix_us(job.created_us);
        let id = match job.known {
            Some(id) => id,
            None => {
                let sql = "INSERT INTO job (job_id, created_at, created_us) VALUES (?, ?, ?)";
                run(
                    connection,
                    sql,
                    params![job.job_id, created_at.as_str(), job.created_us],
                )?;
                connection.last_insert_rowid()
            }
        };
        rows.push(id);
        if job.is_older && job.known.is_some() {
            let sql = "UPDATE job SET created_at = ?, created_us = ? WHERE id = ?";
            run(
                connection,
                sql,
                params![created_at.as_str(), job.created_us, id],
            )?;
        }
        if job.changes() {
            let ended_at = job.ended_us.map(Timestamp::from_unix_us);
            let sql = "UPDATE job SET steps_begun = steps_begun + ?1, steps_ended = steps_ended + ?2,
                     steps_failed = steps_failed + ?3,
                     ended_at = CASE WHEN ?4 > COALESCE(ended_us, ?4 - 1) THEN ?5 ELSE ended_at END,
                     ended_us = CASE WHEN ?4 > COALESCE(ended_us, ?4 - 1) THEN ?4 ELSE ended_us END,
                     declared_steps = declared_steps + ?7, declared_begun = declared_begun + ?8,
                     declared_ended = declared_ended + ?9, declared_failed = declared_failed + ?10 WHERE id = ?6";
            run(
                connection,
                sql,
                params![
                    job.begun,
                    job.ended,
                    job.failed,
                    job.ended_us,
                    ended_at.as_ref().map(Timestamp::as_str),
                    id,
                    job.declared.steps,
                    job.declared.begun,
                    job.declared.ended,
                    job.declared.failed
                ],
            )?;
        }
    }
    Ok(rows)
}

fn result(
    connection: &Connection,
    statement: &Statement<'_>,
    step: Option<i64>,
    verdict: i64,
) -> Result<Option<i64>, Error> {
    let Some(record) = statement.record else {
        return Ok(None);
    };
    let sql = "INSERT INTO result (identity_key, correlation_key, identity, correlation_id, step, status, at_us,
             recorded_at, lineage, standing, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    run(
        connection,
        sql,
        params![
            key(record.identity),
            key(record.correlation_id),
            record.identity,
            record.correlation_id,
            step,
            record.status,
            statement.at_us,
            record.recorded_at,
            queries::lineage_of(record.body),
            verdict,
            record.body
        ],
    )?;
    Ok(Some(connection.last_insert_rowid()))
}
