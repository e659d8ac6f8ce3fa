//! Asks the registry and the queues about jobs, steps and correlation ids. The installation must have a registry
//! ([`Settings::answered_by_registry`](crate::settings::Settings)).

use crate::errors;
use crate::installation::Installation;
use crate::task::{Task, made};
use pudato_messaging::Stored;
use pudato_registry::{JobFilter, JobStatus};
use pudato_runtime::{Client, View, timestamp};
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

#[pymethods]
impl Installation {
    /// Lists jobs, the newest first. Returns a JSON list.
    #[pyo3(signature = (*, pipeline, environment, status, limit))]
    fn jobs(
        &self,
        pipeline: Option<String>,
        environment: Option<String>,
        status: Option<&str>,
        limit: u64,
    ) -> PyResult<Task> {
        let expected = "expected pending, running, success, failed or cancelled";
        let parse = |text: &str| {
            let status = JobStatus::parse(text);
            status.ok_or_else(|| errors::field("status", &format!("{expected}, found {text:?}")))
        };
        let filter = JobFilter {
            pipeline,
            environment,
            status: status.map(parse).transpose()?,
            limit,
            ..JobFilter::default()
        };
        let opened = Arc::clone(&self.opened);
        Task::start(async move {
            let registry = &opened.registry;
            let jobs = registry.query_jobs(filter).await;
            made(json!(jobs.map_err(|error| errors::port(&error))?).to_string())
        })
    }

    /// Finds a job with its steps. Returns a JSON object, or None if there is no such job.
    fn job(&self, job_id: String) -> PyResult<Task> {
        let opened = Arc::clone(&self.opened);
        Task::start(async move {
            let registry = &opened.registry;
            let failed = |error| errors::port(&error);
            let Some(job) = registry.get_job(&job_id).await.map_err(failed)? else {
                return made(None::<String>);
            };
            let steps = registry.get_job_steps(&job_id).await.map_err(failed)?;
            made(json!({"job": job, "steps": steps}).to_string())
        })
    }

    /// Finds everything known about a correlation id. Returns a JSON object.
    fn trace(&self, correlation_id: String) -> PyResult<Task> {
        let opened = Arc::clone(&self.opened);
        Task::start(async move {
            let trace = Client::new(&opened).trace(&correlation_id).await;
            let trace = trace.map_err(errors::call)?;
            let view = View::of(&opened);
            let read = |body: &str| serde_json::from_str::<Value>(body).unwrap_or(Value::Null);
            let results: Vec<Value> = trace.results.iter().map(|one| read(&one.body)).collect();
            let applied = trace.results.iter().map(|one| one.mismatch.is_none());
            let events: Vec<Value> = trace.events.iter().map(|one| read(&one.body)).collect();
            let waiting = trace.waiting.as_ref();
            let waiting = waiting.map(|all| all.iter().map(|one| waits(one, &view)));
            let held = view.in_hand_of(&correlation_id).into_iter();
            let held = held.map(|(program, entry)| {
                let since = timestamp(entry.since_ms);
                json!({"since": since.as_str(), "state": view.held(program, entry)})
            });
            made(
                json!({
                    "correlation_id": correlation_id, "results": results, "events": events,
                    "applied": applied.collect::<Vec<bool>>(),
                    "waiting": waiting.map(Iterator::collect::<Vec<Value>>),
                    "in_hand": held.collect::<Vec<Value>>(),
                })
                .to_string(),
            )
        })
    }
}

fn waits(stored: &Stored, view: &View) -> Value {
    let sent = timestamp(stored.sent_at_ms);
    json!({
        "queue": stored.queue, "message_id": stored.message_id, "receive_count": stored.receive_count,
        "sent_at": sent.as_str(), "state": view.state(stored),
    })
}
