//! Reads and writes jobs and steps.

use super::Change;
use super::columns::{all, first};
use super::relocate::relocations;
use crate::batch::Observation;
use crate::error::{Error, sqlite_error};
use crate::model::{Job, JobFilter, JobStatus, NewJob, NewStep, Step, UpdateJob};
use crate::{micros, queries};
use pudato_protocol::{Object, Timestamp};
use rusqlite::{Connection, params};
use serde_json::Value;

pub(super) fn create_job(
    connection: &Connection,
    job: NewJob,
    now: &Timestamp,
) -> Result<Job, Error> {
    let job_id = job.job_id.unwrap_or_else(|| queries::new_id("job"));
    connection
        .execute(
            queries::MAKE_JOB,
            params![job_id, now.as_str(), micros(now)],
        )
        .map_err(sqlite_error)?;
    connection
        .execute(
            queries::DECLARE_JOB,
            params![
                job.pipeline,
                job.environment,
                job.namespace,
                job.logic_version,
                queries::text(&job.request),
                queries::text(&job.parameters),
                job.dag_run_id,
                queries::text(&job.metadata),
                job.expected_steps,
                now.as_str(),
                micros(now),
                job_id
            ],
        )
        .map_err(sqlite_error)?;
    let created = get_job(connection, &job_id)?;
    created.ok_or_else(|| sqlite_error(rusqlite::Error::QueryReturnedNoRows))
}

pub(super) fn get_job(connection: &Connection, job_id: &str) -> Result<Option<Job>, Error> {
    first(connection, queries::JOB, [job_id], |row| queries::job(row))
}

pub(super) fn update_job(
    connection: &Connection,
    job_id: &str,
    update: &UpdateJob,
    now: &Timestamp,
) -> Result<Option<Job>, Error> {
    let Some(found) = get_job(connection, job_id)? else {
        return Ok(None);
    };
    let mut metadata = match found.metadata {
        Value::Object(metadata) => metadata,
        _ => Object::new(),
    };
    metadata.extend(update.metadata.clone());
    connection
        .execute(
            queries::UPDATE_JOB,
            params![
                update.status.map(JobStatus::as_str),
                now.as_str(),
                update.logic_version,
                update.expected_steps,
                update.error,
                queries::text(&metadata),
                job_id
            ],
        )
        .map_err(sqlite_error)?;
    get_job(connection, job_id)
}

pub(super) fn query_jobs(connection: &Connection, filter: &JobFilter) -> Result<Vec<Job>, Error> {
    let us = |at: &Option<Timestamp>| at.as_ref().map(micros);
    let params = params![
        filter.pipeline,
        filter.environment,
        filter.namespace,
        filter.status.map(JobStatus::as_str),
        filter.dag_run_id,
        filter.logic_version,
        us(&filter.created_after),
        us(&filter.created_before),
        filter.limit,
        filter.offset
    ];
    all(connection, queries::JOBS, params, |row| queries::job(row))
}

pub(super) fn add_step(
    change: &mut Change<'_>,
    step: NewStep,
    now: &Timestamp,
) -> Result<Step, Error> {
    let step_id = step.step_id.unwrap_or_else(|| queries::new_id("step"));
    let declaration = Observation::Declaration {
        step_id: &step_id,
        job_id: &step.job_id,
        handler: &step.handler_type,
        action: &step.action,
        correlation_id: step.correlation_id.as_deref(),
        at: now,
    };
    super::write::apply(change, [declaration])?;
    let connection = &change.transaction;
    connection
        .execute(
            queries::DECLARE_STEP,
            params![
                step.step_name,
                step.handler_type,
                step.action,
                queries::text(&step.metadata),
                step_id
            ],
        )
        .map_err(sqlite_error)?;
    let added = get_step(connection, &step_id)?;
    added.ok_or_else(|| sqlite_error(rusqlite::Error::QueryReturnedNoRows))
}

pub(super) fn get_step(connection: &Connection, step_id: &str) -> Result<Option<Step>, Error> {
    let found = first(connection, queries::STEP, [step_id], |row| {
        queries::step(row)
    })?;
    let results = results(connection, queries::RESULTS_OF_STEP, step_id)?;
    let mismatches = mismatches(connection, queries::MISMATCHES_OF_STEP, step_id)?;
    Ok(queries::complete(found.into_iter().collect(), results, mismatches).pop())
}

pub(super) fn get_job_steps(connection: &Connection, job_id: &str) -> Result<Vec<Step>, Error> {
    let steps = all(connection, queries::STEPS_OF_JOB, [job_id], |row| {
        queries::step(row)
    })?;
    let results = results(connection, queries::RESULTS_OF_JOB, job_id)?;
    let mismatches = mismatches(connection, queries::MISMATCHES_OF_JOB, job_id)?;
    Ok(queries::complete(steps, results, mismatches))
}

fn mismatches(
    connection: &Connection,
    sql: &str,
    id: &str,
) -> Result<Vec<queries::MismatchRow>, Error> {
    all(connection, sql, [id], |row| queries::mismatch(row))
}

fn results(connection: &Connection, sql: &str, id: &str) -> Result<Vec<(i64, String)>, Error> {
    let relocations = relocations(connection)?;
    all(connection, sql, [id], |row| {
        Ok((
            row.get(0).map_err(sqlite_error)?,
            relocations.body(
                row.get(2).map_err(sqlite_error)?,
                row.get(1).map_err(sqlite_error)?,
            ),
        ))
    })
}
