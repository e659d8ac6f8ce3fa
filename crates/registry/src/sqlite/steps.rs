//! Steps.

use super::jobs::{self, new_id, value};
use crate::error::Error;
use crate::fold::{Claim, StepStatus};
use crate::model::{NewStep, Step};
use pudato_protocol::{DataReference, ExecutionRecord, Object, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

/// What is known about a step before a Result is applied to it.
pub(super) struct Known {
    pub(super) id: i64,
    pub(super) job: Option<i64>,
    pub(super) status: StepStatus,
    pub(super) claim: Option<Claim>,
    pub(super) started_us: Option<i64>,
}

/// The row of a step; one that nobody declared is made. `job` is its job from now on, unless it has one.
pub(super) fn ensure(
    connection: &Connection,
    step_id: &str,
    job: Option<i64>,
) -> Result<Known, Error> {
    let found = connection
        .prepare_cached(
            "SELECT id, job, status, rank, at_us, identity, started_us FROM step WHERE step_id = ?",
        )?
        .query_row([step_id], |row| {
            let status: String = row.get(2)?;
            let status = StepStatus::parse(&status).unwrap_or(StepStatus::Pending);
            let (rank, identity): (i64, String) = (row.get(3)?, row.get(5)?);
            let at_us = row.get(4)?;
            Ok(Known {
                id: row.get(0)?,
                job: row.get(1)?,
                status,
                claim: (rank >= 0).then(|| Claim::new(status, at_us, &identity)),
                started_us: row.get(6)?,
            })
        })
        .optional()?;
    match found {
        None => {
            connection
                .prepare_cached("INSERT INTO step (step_id, job) VALUES (?, ?)")?
                .execute(params![step_id, job])?;
            Ok(Known {
                id: connection.last_insert_rowid(),
                job: None,
                status: StepStatus::Pending,
                claim: None,
                started_us: None,
            })
        }
        Some(known) => {
            if known.job.is_none() && job.is_some() {
                connection
                    .prepare_cached("UPDATE step SET job = ? WHERE id = ?")?
                    .execute(params![job, known.id])?;
            }
            Ok(known)
        }
    }
}

pub(super) fn add(connection: &Connection, step: NewStep, now: &Timestamp) -> Result<Step, Error> {
    let step_id = step.step_id.unwrap_or_else(|| new_id("step"));
    let job = jobs::ensure(connection, &step.job_id, now)?;
    let known = ensure(connection, &step_id, Some(job))?;
    if known.job.is_none() {
        jobs::Counts::of(&known, None, 0).write(connection, job)?;
    }
    let metadata = serde_json::json!(step.metadata).to_string();
    connection.execute(
        "UPDATE step SET declared = 1, step_name = ?, handler_type = ?, action = ?, correlation_id = ?, metadata = ?
         WHERE id = ? AND declared = 0",
        params![
            step.step_name,
            step.handler_type,
            step.action,
            step.correlation_id,
            metadata,
            known.id
        ],
    )?;
    let added = get(connection, &step_id)?;
    added.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
}

const SELECT: &str =
    "SELECT step.id, step_id, job.job_id, COALESCE(step_name, step.action, seen_action),
    COALESCE(handler_type, seen_handler), COALESCE(step.action, seen_action),
    COALESCE(step.correlation_id, seen_correlation_id), status, step.error, duration_ms, started_at,
    CASE WHEN rank = 2 THEN at END, step.metadata FROM step LEFT JOIN job ON job.id = step.job";

pub(super) fn get(connection: &Connection, step_id: &str) -> Result<Option<Step>, Error> {
    let sql = format!("{SELECT} WHERE step_id = ?");
    let found = connection
        .prepare_cached(&sql)?
        .query_row([step_id], row)
        .optional()?;
    found
        .map(|(id, step)| complete(connection, id, step))
        .transpose()
}

pub(super) fn of_job(connection: &Connection, job_id: &str) -> Result<Vec<Step>, Error> {
    let sql =
        format!("{SELECT} WHERE step.job = (SELECT id FROM job WHERE job_id = ?) ORDER BY step.id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([job_id], row)?;
    rows.map(|found| {
        let (id, step) = found?;
        complete(connection, id, step)
    })
    .collect()
}

fn row(row: &Row<'_>) -> rusqlite::Result<(i64, Step)> {
    let status: String = row.get(7)?;
    let metadata: String = row.get(12)?;
    let step = Step {
        step_id: row.get(1)?,
        job_id: row.get(2)?,
        step_name: row.get(3)?,
        handler_type: row.get(4)?,
        action: row.get(5)?,
        correlation_id: row.get(6)?,
        status: StepStatus::parse(&status).unwrap_or(StepStatus::Pending),
        inputs: Vec::new(),
        outputs: Vec::new(),
        executions: Vec::new(),
        error: row.get(8)?,
        duration_ms: row.get(9)?,
        started_at: row.get(10)?,
        completed_at: row.get(11)?,
        metadata: value(&metadata),
    };
    Ok((row.get(0)?, step))
}

fn complete(connection: &Connection, id: i64, mut step: Step) -> Result<Step, Error> {
    step.inputs = references(connection, id, 0)?;
    step.outputs = references(connection, id, 1)?;
    let mut statement = connection.prepare_cached(
        "SELECT executions FROM result WHERE step = ? AND executions IS NOT NULL ORDER BY at_us, identity",
    )?;
    let rows = statement.query_map([id], |row| row.get::<_, String>(0))?;
    for text in rows {
        if let Value::Array(records) = value(&text?) {
            let read = |record| ExecutionRecord::read(record, String::new()).ok();
            step.executions.extend(records.into_iter().filter_map(read));
        }
    }
    Ok(step)
}

/// Each dataset once, as the latest Result describes it.
fn references(
    connection: &Connection,
    step: i64,
    direction: i64,
) -> Result<Vec<DataReference>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT namespace, name, ref_type, format, metadata, MAX(edge.at_us) FROM edge
         JOIN dataset ON dataset.id = edge.dataset WHERE edge.step = ? AND edge.direction = ?
         GROUP BY edge.dataset ORDER BY namespace, name",
    )?;
    let rows = statement.query_map(params![step, direction], |row| {
        let dataset = pudato_protocol::Dataset {
            namespace: row.get(0)?,
            name: row.get(1)?,
        };
        let metadata: Option<String> = row.get(4)?;
        Ok(DataReference {
            ref_type: row.get(2)?,
            location: dataset.location(),
            format: row.get(3)?,
            metadata: match metadata.map(|text| value(&text)) {
                Some(Value::Object(metadata)) => metadata,
                _ => Object::new(),
            },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
