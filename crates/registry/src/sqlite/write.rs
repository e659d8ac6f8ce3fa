//! Writes what a batch changes.

use super::Change;
use super::columns::first;
use super::key::key;
use crate::batch::{Batch, Known, KnownJob, KnownStep, Plan, READ, Statement, Uttered};
use crate::error::Error;
use crate::fold::{Claim, StepStatus};
use crate::queries;
use crate::store::Applied;
use pudato_protocol::{Dataset, Timestamp};
use rusqlite::{Connection, params};

/// Works out what the statements change, and writes it.
pub(super) fn apply<'a>(
    change: &mut Change<'_>,
    uttered: impl IntoIterator<Item = Uttered<'a>>,
) -> Result<Vec<Applied>, Error> {
    let batch = Batch::new(uttered)?;
    let known = known(change, &batch)?;
    let plan = Plan::new(&batch, &known);
    write(&change.transaction, &batch, &plan, change.has_outbox)?;
    Ok(plan.applied)
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
        let mut statement = connection.prepare_cached(sql)?;
        if statement.exists(params![key(identity), identity])? {
            known.results.insert(identity.to_owned());
        }
    }
    for step_id in names.steps {
        if let Some(step) = step(connection, step_id)? {
            known.steps.insert(step_id.to_owned(), step);
        }
    }
    for job_id in names.jobs {
        let sql = "SELECT id, declared, created_us FROM job WHERE job_id = ?";
        let job = first(connection, sql, [job_id], |row| {
            Ok(KnownJob {
                id: row.get(0)?,
                is_declared: row.get(1)?,
                created_us: row.get(2)?,
            })
        })?;
        known.jobs.extend(job.map(|job| (job_id.to_owned(), job)));
    }
    Ok(known)
}

fn step(connection: &Connection, step_id: &str) -> Result<Option<KnownStep>, Error> {
    let sql =
        "SELECT id, job, status, rank, at_us, identity, started_us FROM step WHERE step_id = ?";
    first(connection, sql, [step_id], |row| {
        let status: String = row.get(2)?;
        let status = StepStatus::parse(&status).unwrap_or(StepStatus::Pending);
        let (rank, identity): (i64, String) = (row.get(3)?, row.get(5)?);
        let at_us = row.get(4)?;
        Ok(KnownStep {
            id: row.get(0)?,
            job: row.get(1)?,
            status,
            claim: (rank >= 0).then(|| Claim::new(status, at_us, &identity)),
            started_us: row.get(6)?,
        })
    })
}

fn dataset(change: &mut Change<'_>, location: &str) -> Result<i64, Error> {
    let known = change.committed.get(location);
    if let Some(id) = known.or_else(|| change.found.get(location)) {
        return Ok(*id);
    }
    let Dataset { namespace, name } = Dataset::parse(location);
    let sql = "SELECT id FROM dataset WHERE namespace = ? AND name = ?";
    let found = first(&change.transaction, sql, [&namespace, &name], |row| {
        Ok(row.get(0)?)
    })?;
    let id = match found {
        Some(id) => id,
        None => {
            let backwards: String = location.chars().rev().collect();
            let sql = "INSERT INTO dataset (namespace, name, backwards) VALUES (?, ?, ?)";
            let mut statement = change.transaction.prepare_cached(sql)?;
            statement.execute([namespace, name, backwards])?;
            change.transaction.last_insert_rowid()
        }
    };
    change.found.insert(location.to_owned(), id);
    Ok(id)
}

fn write(
    connection: &Connection,
    batch: &Batch<'_>,
    plan: &Plan<'_>,
    has_outbox: bool,
) -> Result<(), Error> {
    let jobs = jobs(connection, plan)?;
    let steps = steps(connection, batch, plan, &jobs)?;
    let mut results = Vec::with_capacity(plan.results.len());
    for (n, step) in &plan.results {
        let statement = &batch.statements[*n];
        let step = step.map(|place| steps[place]);
        if let Some(result) = result(connection, statement, step)? {
            results.push(result);
        }
    }
    if has_outbox {
        let mut statement = connection.prepare_cached("INSERT INTO outbox (result) VALUES (?)")?;
        for result in &results {
            statement.execute([result])?;
        }
    }
    let mut statement = connection.prepare_cached(
        "INSERT INTO edge (dataset, kind, seen_us, result, position, step, at_us, version, row_count, bytes)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    for edge in &plan.edges {
        statement.execute(params![
            edge.dataset,
            edge.kind,
            edge.seen_us,
            results[edge.result],
            edge.position,
            steps[edge.step],
            edge.at_us,
            edge.version,
            edge.row_count,
            edge.bytes
        ])?;
    }
    let mut statement = connection.prepare_cached(
        "INSERT OR IGNORE INTO pair (step, output, input, result, at_us, is_own) VALUES (?, ?, ?, ?, ?, ?)",
    )?;
    for pair in &plan.pairs {
        statement.execute(params![
            steps[pair.step],
            pair.output,
            pair.input,
            results[pair.result],
            pair.at_us,
            pair.is_own
        ])?;
    }
    Ok(())
}

/// Answers the rows of the plan's jobs.
fn jobs(connection: &Connection, plan: &Plan<'_>) -> Result<Vec<i64>, Error> {
    let mut rows = Vec::with_capacity(plan.jobs.len());
    for job in &plan.jobs {
        // The same instant can be written in several ways; which came first must not show.
        let created_at = Timestamp::from_unix_us(job.created_us);
        let id = match job.known {
            Some(id) => id,
            None => {
                let sql = "INSERT INTO job (job_id, created_at, created_us) VALUES (?, ?, ?)";
                let mut statement = connection.prepare_cached(sql)?;
                statement.execute(params![job.job_id, created_at.as_str(), job.created_us])?;
                connection.last_insert_rowid()
            }
        };
        rows.push(id);
        if job.is_older && job.known.is_some() {
            let sql = "UPDATE job SET created_at = ?, created_us = ? WHERE id = ?";
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![created_at.as_str(), job.created_us, id])?;
        }
        if job.changes() {
            let ended_at = job.ended_us.map(Timestamp::from_unix_us);
            connection
                .prepare_cached(
                    "UPDATE job SET steps_begun = steps_begun + ?1, steps_ended = steps_ended + ?2,
                     steps_failed = steps_failed + ?3,
                     ended_at = CASE WHEN ?4 > COALESCE(ended_us, ?4 - 1) THEN ?5 ELSE ended_at END,
                     ended_us = CASE WHEN ?4 > COALESCE(ended_us, ?4 - 1) THEN ?4 ELSE ended_us END WHERE id = ?6",
                )?
                .execute(params![
                    job.begun,
                    job.ended,
                    job.failed,
                    job.ended_us,
                    ended_at.as_ref().map(Timestamp::as_str),
                    id
                ])?;
        }
    }
    Ok(rows)
}

/// Answers the rows of the plan's steps.
fn steps(
    connection: &Connection,
    batch: &Batch<'_>,
    plan: &Plan<'_>,
    jobs: &[i64],
) -> Result<Vec<i64>, Error> {
    let mut rows = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let id = match step.known {
            Some(id) => id,
            None => {
                let mut statement =
                    connection.prepare_cached("INSERT INTO step (step_id) VALUES (?)")?;
                statement.execute([step.step_id])?;
                connection.last_insert_rowid()
            }
        };
        rows.push(id);
        if let Some(job) = step.job {
            let mut statement =
                connection.prepare_cached("UPDATE step SET job = ? WHERE id = ?")?;
            statement.execute([jobs[job], id])?;
        }
        if let Some(started_us) = step.started_us {
            let sql = "UPDATE step SET started_us = ?, started_at = ? WHERE id = ?";
            let started_at = Timestamp::from_unix_us(started_us);
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![started_us, started_at.as_str(), id])?;
            if step.has_moved {
                let sql = "UPDATE edge SET seen_us = ? WHERE step = ? AND kind = ?";
                let mut statement = connection.prepare_cached(sql)?;
                statement.execute([started_us, id, READ])?;
            }
        }
        if let Some(n) = step.decided_by {
            decide(connection, &batch.statements[n], id)?;
        }
    }
    Ok(rows)
}

fn decide(connection: &Connection, statement: &Statement<'_>, step: i64) -> Result<(), Error> {
    let status = statement.status.unwrap_or(StepStatus::Pending);
    connection
        .prepare_cached(
            "UPDATE step SET status = ?, rank = ?, at_us = ?, at = ?, is_error = ?, identity = ?, error = ?,
             duration_ms = ?, seen_handler = ?, seen_action = ?, seen_correlation_id = ? WHERE id = ?",
        )?
        .execute(params![
            status.as_str(),
            status.rank(),
            statement.at_us,
            statement.at.as_str(),
            status == StepStatus::Failed,
            statement.said.map(|said| said.identity),
            statement.error,
            statement.duration_ms,
            statement.handler,
            statement.action,
            statement.correlation_id,
            step
        ])?;
    Ok(())
}

fn result(
    connection: &Connection,
    statement: &Statement<'_>,
    step: Option<i64>,
) -> Result<Option<i64>, Error> {
    let Some(said) = statement.said else {
        return Ok(None);
    };
    connection
        .prepare_cached(
            "INSERT INTO result (identity_key, correlation_key, identity, correlation_id, step, status, at_us,
             recorded_at, lineage, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key(said.identity),
            key(said.correlation_id),
            said.identity,
            said.correlation_id,
            step,
            said.status,
            statement.at_us,
            said.recorded_at,
            queries::lineage_of(said.body),
            said.body
        ])?;
    Ok(Some(connection.last_insert_rowid()))
}
