//! Reads and writes jobs and steps.

use super::relocate::relocations;
use super::session::{Session, rows, run};
use super::write::{Datasets, apply};
use crate::batch::{Observation, no_nul};
use crate::error::{Error, ErrorKind};
use crate::model::{Job, JobFilter, JobStatus, NewJob, NewStep, Step, UpdateJob};
use crate::{micros, queries};
use pudato_protocol::{Object, Timestamp};
use serde_json::Value;
use tokio_postgres::types::ToSql;

fn number(number: Option<u64>) -> Option<i64> {
    number.map(|number| i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) async fn create_job(
    session: &Session<'_>,
    job: &NewJob,
    now: &Timestamp,
) -> Result<Job, Error> {
    session.begin().await?;
    let job_id = job.job_id.clone().unwrap_or_else(|| queries::new_id("job"));
    let at_us = micros(now);
    run(
        session,
        queries::MAKE_JOB,
        &[&job_id, &now.as_str(), &at_us],
    )
    .await?;
    let params: [&(dyn ToSql + Sync); 12] = [
        &job.pipeline,
        &job.environment,
        &job.namespace,
        &job.logic_version,
        &queries::text(&job.request),
        &queries::text(&job.parameters),
        &job.dag_run_id,
        &queries::text(&job.metadata),
        &number(job.expected_steps),
        &now.as_str(),
        &at_us,
        &job_id,
    ];
    run(session, queries::DECLARE_JOB, &params).await?;
    let created = get_job(session, &job_id).await?;
    created.ok_or_else(|| missing("job"))
}

fn missing(what: &str) -> Error {
    let context = format!("registry: the {what} that was just created is missing");
    Error::new(ErrorKind::Unavailable, context)
}

pub(super) async fn get_job(session: &Session<'_>, job_id: &str) -> Result<Option<Job>, Error> {
    no_nul("job_id", job_id)?;
    let found = rows(session, queries::JOB, &[&job_id]).await?;
    found.first().map(|row| queries::job(row)).transpose()
}

pub(super) async fn update_job(
    session: &Session<'_>,
    job_id: &str,
    update: &UpdateJob,
    now: &Timestamp,
) -> Result<Option<Job>, Error> {
    session.begin().await?;
    // Concurrent updates add their metadata one after the other.
    let sql = "SELECT 1 FROM job WHERE job_id = $1 FOR NO KEY UPDATE";
    no_nul("job_id", job_id)?;
    rows(session, sql, &[&job_id]).await?;
    let Some(found) = get_job(session, job_id).await? else {
        return Ok(None);
    };
    let mut metadata = match found.metadata {
        Value::Object(metadata) => metadata,
        _ => Object::new(),
    };
    metadata.extend(update.metadata.clone());
    let params: [&(dyn ToSql + Sync); 7] = [
        &update.status.map(JobStatus::as_str),
        &now.as_str(),
        &update.logic_version,
        &number(update.expected_steps),
        &update.error,
        &queries::text(&metadata),
        &job_id,
    ];
    run(session, queries::UPDATE_JOB, &params).await?;
    get_job(session, job_id).await
}

pub(super) async fn query_jobs(
    session: &Session<'_>,
    filter: &JobFilter,
) -> Result<Vec<Job>, Error> {
    let limit = number(Some(filter.limit));
    let offset = number(Some(filter.offset));
    let us = |at: &Option<Timestamp>| at.as_ref().map(micros);
    let params: [&(dyn ToSql + Sync); 10] = [
        &filter.pipeline,
        &filter.environment,
        &filter.namespace,
        &filter.status.map(JobStatus::as_str),
        &filter.dag_run_id,
        &filter.logic_version,
        &us(&filter.created_after),
        &us(&filter.created_before),
        &limit,
        &offset,
    ];
    let found = rows(session, queries::JOBS, &params).await?;
    found.iter().map(|row| queries::job(row)).collect()
}

pub(super) async fn add_step(
    session: &Session<'_>,
    datasets: &Datasets,
    step: &NewStep,
    now: &Timestamp,
    has_outbox: bool,
) -> Result<Step, Error> {
    let step_id = step.step_id.clone();
    let step_id = step_id.unwrap_or_else(|| queries::new_id("step"));
    let declaration = Observation::Declaration {
        step_id: &step_id,
        job_id: &step.job_id,
        handler: &step.handler_type,
        action: &step.action,
        correlation_id: step.correlation_id.as_deref(),
        at: now,
    };
    apply(session, datasets, [declaration], has_outbox).await?;
    let params: [&(dyn ToSql + Sync); 5] = [
        &step.step_name,
        &step.handler_type,
        &step.action,
        &queries::text(&step.metadata),
        &step_id,
    ];
    run(session, queries::DECLARE_STEP, &params).await?;
    let added = get_step(session, &step_id).await?;
    added.ok_or_else(|| missing("step"))
}

pub(super) async fn get_step(session: &Session<'_>, step_id: &str) -> Result<Option<Step>, Error> {
    no_nul("step_id", step_id)?;
    let sql = [
        queries::STEP,
        queries::RESULTS_OF_STEP,
        queries::MISMATCHES_OF_STEP,
    ];
    Ok(steps(session, sql, step_id).await?.pop())
}

pub(super) async fn get_job_steps(session: &Session<'_>, job_id: &str) -> Result<Vec<Step>, Error> {
    no_nul("job_id", job_id)?;
    let sql = [
        queries::STEPS_OF_JOB,
        queries::RESULTS_OF_JOB,
        queries::MISMATCHES_OF_JOB,
    ];
    steps(session, sql, job_id).await
}

/// Reads steps with the data from their Results and with their mismatches.
async fn steps(
    session: &Session<'_>,
    [steps, results, mismatches]: [&str; 3],
    id: &str,
) -> Result<Vec<Step>, Error> {
    let steps = rows(session, steps, &[&id]).await?;
    let steps: Result<Vec<_>, Error> = steps.iter().map(|row| queries::step(row)).collect();
    let results = rows(session, results, &[&id]).await?;
    let relocations = relocations(session).await?;
    let results = results
        .iter()
        .map(|row| (row.get(0), relocations.body(row.get(2), row.get(1))))
        .collect();
    let mismatches = rows(session, mismatches, &[&id]).await?;
    let mismatches: Result<Vec<_>, Error> = mismatches
        .iter()
        .map(|row| queries::mismatch(row))
        .collect();
    Ok(queries::complete(steps?, results, mismatches?))
}
