//! Reasons and error Results for messages that are given up, and the record of Commands that ran.

use super::{Decision, Incoming};
use pudato_handler::{Action, redact};
use pudato_protocol::{Command, ExecutionRecord, Object, Result as Reply};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A message that cannot be read is also given up after the last allowed attempt.
pub(crate) fn at_last_unread(decision: Decision, message: &Incoming) -> Decision {
    match (decision, message.last_attempt()) {
        (Decision::Retry { why, .. }, Some(attempt)) => {
            let why = gave_up(attempt, &why);
            reject(why, &message.attributes, Some(&message.body))
        }
        (decision, _) => decision,
    }
}

pub(super) fn gave_up(attempt: u32, why: &str) -> String {
    format!("gave up after {attempt} attempts: {why}")
}

/// The execution record of a Command, for `pudato trace`: the Command itself does not outlive its message.
pub(super) fn record(
    message: &Incoming,
    command: &Command,
    action: Option<&Action>,
) -> ExecutionRecord {
    let mut details = Object::new();
    let name = |name: &str| Value::String(redact(name).into_owned());
    details.insert("type".into(), name(&command.r#type));
    details.insert("action".into(), name(&command.action));
    // The registry has no names of actions, and the step may have been declared with another action.
    if let Some(action) = action.filter(|action| !action.aliases.is_empty()) {
        let names: Vec<&str> = [action.name]
            .into_iter()
            .chain(action.aliases.iter().copied())
            .collect();
        details.insert("action_names".into(), json!(names));
    }
    details.insert("sent_at".into(), command.timestamp.as_str().into());
    details.insert(
        "attempt".into(),
        message.attempt.map_or(Value::Null, |n| json!(n)),
    );
    ExecutionRecord::new("command", details)
}

/// Gives up a message that cannot be read. Its sender is notified if its correlation id can be found.
pub(crate) fn reject(
    why: String,
    attributes: &BTreeMap<String, String>,
    body: Option<&[u8]>,
) -> Decision {
    let fields = body.and_then(|body| serde_json::from_slice::<Value>(body).ok());
    let text = |name: &str| {
        let field = fields.as_ref().and_then(|fields| fields.get(name));
        field.and_then(Value::as_str).map(str::to_owned)
    };
    let why = redact(&why).into_owned();
    let id = text("correlation_id").or_else(|| attributes.get("correlation_id").cloned());
    let result = id.map(|id| {
        let mut result = Reply::error(id, [why.as_str()]);
        result.job_id = text("job_id");
        result.step_id = text("step_id");
        result.handler = text("type");
        Box::new(result)
    });
    Decision::Reject { why, result }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text message")
}
