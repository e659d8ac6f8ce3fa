use super::{data, found};
use crate::model::{JobFilter, JobStatus, NewJob, UpdateJob};
use crate::store::RegistryStore;
use pudato_handler::Failure;
use pudato_protocol::{Fields, Object, Timestamp};
use serde_json::json;

const STATUSES: [&str; 5] = ["pending", "running", "success", "failed", "cancelled"];
/// The number of jobs in an answer, by default.
const LIMIT_DEFAULT: u64 = 50;
/// The most jobs in an answer.
const LIMIT_MAX: u64 = 1_000;
/// The most jobs that can be skipped.
const OFFSET_MAX: u64 = 1_000_000;
/// The most steps that a job can declare.
const STEPS_MAX: u64 = 1_000_000;

pub(super) async fn create(
    store: &dyn RegistryStore,
    mut payload: Fields,
    now: Timestamp,
) -> Result<Object, Failure> {
    let environment = payload.text_or("environment", || "dev".into())?;
    let job = NewJob {
        job_id: payload.optional_text("job_id")?,
        pipeline: payload.name_text("pipeline")?,
        namespace: payload.text_or("namespace", || environment.clone())?,
        environment,
        logic_version: payload.optional_text("logic_version")?,
        request: payload.object("request")?,
        parameters: payload.object("parameters")?,
        dag_run_id: payload.optional_text("dag_run_id")?,
        expected_steps: payload.whole_number("expected_steps", 0..=STEPS_MAX)?,
        metadata: payload.object("metadata")?,
    };
    Ok(data(&store.create_job(job, now).await?))
}

pub(super) async fn get(store: &dyn RegistryStore, mut payload: Fields) -> Result<Object, Failure> {
    let job_id = payload.name_text("job_id")?;
    Ok(found(store.get_job(&job_id).await?.as_ref()))
}

pub(super) async fn update(
    store: &dyn RegistryStore,
    mut payload: Fields,
    now: Timestamp,
) -> Result<Object, Failure> {
    let job_id = payload.name_text("job_id")?;
    let status = payload.one_of("status", &STATUSES)?;
    let update = UpdateJob {
        status: status.as_deref().and_then(JobStatus::parse),
        logic_version: payload.optional_text("logic_version")?,
        expected_steps: payload.whole_number("expected_steps", 0..=STEPS_MAX)?,
        error: payload.optional_text("error")?,
        metadata: payload.object("metadata")?,
    };
    match store.update_job(&job_id, update, now).await? {
        Some(job) => Ok(data(&job)),
        None => Err(Failure::bad(format!(
            "payload.job_id: there is no job {job_id:?}"
        ))),
    }
}

pub(super) async fn query(
    store: &dyn RegistryStore,
    mut payload: Fields,
) -> Result<Object, Failure> {
    let status = payload.one_of("status", &STATUSES)?;
    let filter = JobFilter {
        pipeline: payload.optional_text("pipeline")?,
        environment: payload.optional_text("environment")?,
        namespace: payload.optional_text("namespace")?,
        status: status.as_deref().and_then(JobStatus::parse),
        dag_run_id: payload.optional_text("dag_run_id")?,
        logic_version: payload.optional_text("logic_version")?,
        created_after: payload.optional_timestamp("created_after")?,
        created_before: payload.optional_timestamp("created_before")?,
        limit: payload
            .whole_number("limit", 1..=LIMIT_MAX)?
            .unwrap_or(LIMIT_DEFAULT),
        offset: payload
            .whole_number("offset", 0..=OFFSET_MAX)?
            .unwrap_or_default(),
    };
    let jobs = store.query_jobs(filter).await?;
    Ok(data(&json!({"count": jobs.len(), "jobs": jobs})))
}
