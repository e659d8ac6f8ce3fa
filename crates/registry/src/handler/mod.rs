//! The actions of the service `registry`.

mod jobs;
mod lineage;
mod steps;

use crate::store::RegistryStore;
use async_trait::async_trait;
use pudato_handler::{Action, Answer, Effect, Failure, Handler, Request};
use pudato_protocol::{Object, Timestamp};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

/// The actions of the service `registry`.
pub const ACTIONS: &[Action] = &[
    // If the payload has no id, these generate one, so a second run would create a second job or step.
    Action::new("create_job", Effect::Once).fields(&[
        "pipeline",
        "job_id",
        "environment",
        "namespace",
        "logic_version",
        "request",
        "parameters",
        "dag_run_id",
        "expected_steps",
        "metadata",
    ]),
    Action::new("add_step", Effect::Once).fields(&[
        "job_id",
        "step_name",
        "handler_type",
        "action",
        "step_id",
        "correlation_id",
        "metadata",
    ]),
    Action::new("update_job", Effect::Keyed).fields(&[
        "job_id",
        "status",
        "logic_version",
        "expected_steps",
        "error",
        "metadata",
    ]),
    Action::new("update_step", Effect::Once).fields(&[
        "step_id",
        "job_id",
        "status",
        "correlation_id",
        "inputs",
        "outputs",
        "executions",
        "duration_ms",
        "error",
        "started_at",
        "completed_at",
    ]),
    Action::new("get_job", Effect::Read).fields(&["job_id"]),
    Action::new("query_jobs", Effect::Read).fields(&[
        "pipeline",
        "environment",
        "namespace",
        "status",
        "dag_run_id",
        "logic_version",
        "created_after",
        "created_before",
        "limit",
        "offset",
    ]),
    Action::new("get_step", Effect::Read).fields(&["step_id"]),
    Action::new("get_job_steps", Effect::Read).fields(&["job_id"]),
    Action::new("get_lineage", Effect::Read).fields(&[
        "location",
        "direction",
        "environment",
        "depth",
        "max_nodes",
        "as_of",
        "runs",
    ]),
];

/// The registry handler.
pub struct RegistryHandler {
    store: Arc<dyn RegistryStore>,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl RegistryHandler {
    /// Serves `store`; `now` returns the time for jobs and updates.
    pub fn new(
        store: Arc<dyn RegistryStore>,
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self {
            store,
            now: Arc::new(now),
        }
    }
}

#[async_trait]
impl Handler for RegistryHandler {
    fn service(&self) -> &str {
        "registry"
    }

    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let (store, now) = (&*self.store, (self.now)());
        let payload = request.payload()?;
        let data = match request.action {
            "create_job" => jobs::create(store, payload, now).await,
            "get_job" => jobs::get(store, payload).await,
            "update_job" => jobs::update(store, payload, now).await,
            "query_jobs" => jobs::query(store, payload).await,
            "add_step" => steps::add(store, payload, now).await,
            "get_step" => steps::get(store, payload).await,
            "get_job_steps" => steps::of_job(store, payload).await,
            "update_step" => steps::update(store, payload, now).await,
            "get_lineage" => lineage::get(store, payload).await,
            other => Err(Failure::bad(format!("action: {other:?} is not known"))),
        };
        data.map(Answer::new)
    }
}

/// Serializes a record as `Result.data`.
fn data(record: &impl Serialize) -> Object {
    match serde_json::to_value(record) {
        Ok(Value::Object(object)) => object,
        // Records are structs with string keys, which always serialize to an object.
        _ => Object::new(),
    }
}

/// Serializes the answer to a lookup.
fn found<T: Serialize>(record: Option<&T>) -> Object {
    let mut data = record.map(data).unwrap_or_default();
    data.insert("found".into(), record.is_some().into());
    data
}
