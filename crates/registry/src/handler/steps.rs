use super::{data, found};
use crate::fold::StepStatus;
use crate::model::{NewStep, StepUpdate};
use crate::store::RegistryStore;
use pudato_handler::Failure;
use pudato_protocol::{DataReference, ExecutionRecord, Fields, Object, Timestamp};
use serde_json::json;

const STATUSES: [&str; 5] = ["pending", "running", "success", "failed", "skipped"];

pub(super) async fn add(
    store: &dyn RegistryStore,
    mut payload: Fields,
    now: Timestamp,
) -> Result<Object, Failure> {
    let step = NewStep {
        step_id: payload.optional_text("step_id")?,
        job_id: payload.name_text("job_id")?,
        step_name: payload.name_text("step_name")?,
        handler_type: payload.name_text("handler_type")?,
        action: payload.name_text("action")?,
        correlation_id: payload.optional_text("correlation_id")?,
        metadata: payload.object("metadata")?,
    };
    Ok(data(&store.add_step(step, now).await?))
}

pub(super) async fn get(store: &dyn RegistryStore, mut payload: Fields) -> Result<Object, Failure> {
    let step_id = payload.name_text("step_id")?;
    Ok(found(store.get_step(&step_id).await?.as_ref()))
}

pub(super) async fn of_job(
    store: &dyn RegistryStore,
    mut payload: Fields,
) -> Result<Object, Failure> {
    let job_id = payload.name_text("job_id")?;
    let steps = store.get_job_steps(&job_id).await?;
    Ok(data(
        &json!({"job_id": job_id, "count": steps.len(), "steps": steps}),
    ))
}

pub(super) async fn update(
    store: &dyn RegistryStore,
    mut payload: Fields,
    now: Timestamp,
) -> Result<Object, Failure> {
    let step_id = payload.name_text("step_id")?;
    let status = payload.one_of("status", &STATUSES)?;
    let update = StepUpdate {
        step_id: step_id.clone(),
        job_id: payload.optional_text("job_id")?,
        correlation_id: payload.optional_text("correlation_id")?,
        status: status.as_deref().and_then(StepStatus::parse),
        inputs: payload.list("inputs", DataReference::read)?,
        outputs: payload.list("outputs", DataReference::read)?,
        executions: payload.list("executions", ExecutionRecord::read)?,
        duration_ms: payload.whole_number("duration_ms", 0..=u64::MAX)?,
        error: payload.optional_text("error")?,
        started_at: payload.optional_timestamp("started_at")?,
        completed_at: payload.optional_timestamp("completed_at")?,
        timestamp: now,
    };
    match store.update_step(update).await? {
        Some(step) => Ok(data(&step)),
        None => Err(Failure::bad(format!(
            "payload.step_id: there is no step {step_id:?}"
        ))),
    }
}
