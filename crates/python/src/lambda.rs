//! Handles events with messages that AWS Lambda has already received.

use crate::errors;
use crate::handler::OwnHandler;
use crate::service::Registry;
use crate::serving::own;
use crate::settings::Settings;
use crate::waiting::wait;
use pudato_protocol::Status;
use pudato_registry::Applied;
use pudato_runtime::Names;
use pudato_runtime::lambda::{Answered, Function as Opened};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// The time for an event if the caller sets none: the longest that Lambda allows.
const TIME: Duration = Duration::from_secs(15 * 60);

/// The handler of one service, or the results consumer, which handles the messages in events.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Function {
    /// It keeps the messages of one event, so events are handled one at a time.
    function: Arc<Mutex<Opened>>,
    queue: String,
}

/// A message that is done: the correlation id, step and status of its Result, and the outcome in the registry.
type Done = (String, Option<String>, &'static str, Option<&'static str>);

#[pymethods]
impl Function {
    /// Opens the function of a service, or of the results consumer for `results`. `is_lambda` means that the disk is lost with the container.
    #[new]
    #[pyo3(signature = (settings, service, handlers, is_lambda, registry=None))]
    fn new(
        py: Python<'_>,
        settings: &Settings,
        service: &str,
        handlers: Vec<PyRef<'_, OwnHandler>>,
        is_lambda: bool,
        registry: Option<PyRef<'_, Registry>>,
    ) -> PyResult<Self> {
        let queue = Names::new(&settings.loaded.prefix).queue(service);
        let (mut settings, own) = (settings.loaded.clone(), own(handlers));
        settings.function = Some(service.to_owned());
        let registry = registry.map(|registry| Arc::clone(&registry.store));
        let opened = wait(py, async move {
            match is_lambda {
                true => Opened::open_with(settings, own).await,
                false => Opened::open_here(settings, own, registry).await,
            }
        })?;
        let function = opened.map_err(errors::open)?;
        Ok(Self {
            function: Arc::new(Mutex::new(function)),
            queue,
        })
    }

    /// Handles an event, given as JSON, within `left_ms` milliseconds. Returns the outcomes of its messages, and the ids of those to deliver
    /// again.
    #[pyo3(signature = (event, left_ms=None))]
    fn handle(
        &self,
        py: Python<'_>,
        event: &str,
        left_ms: Option<u64>,
    ) -> PyResult<(Vec<Done>, Vec<String>)> {
        let event: Value = serde_json::from_str(event)
            .map_err(|error| PyValueError::new_err(format!("event: expected JSON: {error}")))?;
        let event = completed(event, &self.queue);
        let function = Arc::clone(&self.function);
        let invoked = wait(py, async move {
            let function = function.lock().await;
            let left = left_ms.map_or(TIME, Duration::from_millis);
            let end = SystemTime::now() + left;
            let end = end.duration_since(SystemTime::UNIX_EPOCH);
            let end_ms = u64::try_from(end.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
            function.handle(&event, end_ms).await
        })?;
        let invoked = invoked.map_err(errors::open)?;
        Ok((
            invoked.answers.into_iter().map(done).collect(),
            invoked.left,
        ))
    }
}

fn done(answered: Answered) -> Done {
    let status = match answered.status {
        Status::Success => "success",
        Status::Error => "error",
        Status::Pending => "pending",
    };
    let applied = answered.applied.map(applied);
    (answered.correlation_id, answered.step_id, status, applied)
}

/// The outcome of a Result in the registry.
pub(crate) fn applied(applied: Applied) -> &'static str {
    match applied {
        Applied::Applied => "applied",
        Applied::Duplicate => "duplicate",
        Applied::Superseded => "superseded",
        Applied::Skipped => "skipped",
        Applied::Mismatched => "mismatched",
    }
}

/// The defaults for a Lambda, by variable, for settings that are not set.
#[pyfunction]
pub(crate) fn lambda_defaults() -> BTreeMap<&'static str, String> {
    pudato_runtime::lambda::defaults()
}

/// Adds the fields of an SQS record that a handwritten one may lack: an id, a receipt and the queue.
fn completed(mut event: Value, queue: &str) -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos();
    let records = event.get_mut("Records").and_then(Value::as_array_mut);
    for (n, record) in records.into_iter().flatten().enumerate() {
        let Value::Object(record) = record else {
            continue;
        };
        for (name, value) in [
            // Each event without ids is a new request, so its ids must be unique.
            ("messageId", format!("record-{n}-{now:x}")),
            ("receiptHandle", "none".to_owned()),
            ("eventSourceARN", queue.to_owned()),
        ] {
            let given = record.entry(name).or_insert(Value::Null);
            if given.is_null() || given.as_str() == Some("") {
                *given = value.into();
            }
        }
        if let Some(body) = record.get_mut("body")
            && let Some(message) = body.as_str().and_then(bare)
        {
            *body = message.into();
        }
    }
    event
}

/// Unwraps a body that has `Message` and no other field, as tests of Lambda functions write it. Neither pudato's messages nor SNS envelopes
/// look like this.
fn bare(body: &str) -> Option<String> {
    let Ok(Value::Object(fields)) = serde_json::from_str(body) else {
        return None;
    };
    match fields.get("Message") {
        Some(Value::String(message)) if fields.len() == 1 => Some(message.clone()),
        _ => None,
    }
}
