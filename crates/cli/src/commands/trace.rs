//! `pudato trace`.

use crate::commands::status::as_json_entry;
use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::messaging::Stored;
use pudato_runtime::protocol::{Event, Result as Reply, Status, decode_claim};
use pudato_runtime::registry::Difference;
use pudato_runtime::{Client, View, timestamp};
use serde_json::{Value, json};

/// Show the command, its attempts, its Results and its Events, in order.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato trace 7f9c0a3e-0b7e-4f5e-9c1b-2d1f3a4b5c6d")]
pub struct Trace {
    /// The correlation id of the messages
    correlation_id: String,
}

/// An event of the trace.
struct Line {
    at: String,
    what: String,
    details: String,
}

impl Trace {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        let trace = Client::new(&pudato).trace(&self.correlation_id).await?;
        let view = View::of(&pudato);
        if context.json {
            return self.json(&trace, &view);
        }
        let mut lines = Vec::new();
        for stored in &trace.results {
            if let Ok(result) = decode_claim::<Reply>(stored.body.as_bytes()) {
                lines.extend(of_result(&result, stored.mismatch));
            }
        }
        for stored in &trace.events {
            if let Ok(event) = decode_claim::<Event>(stored.body.as_bytes()) {
                lines.push(Line {
                    at: event.timestamp.as_str().into(),
                    what: "event".into(),
                    details: event.r#type,
                });
            }
        }
        if trace.waiting.is_none() {
            let queues = pudato.fabric.profile.queues;
            eprintln!(
                "pudato: {queues} cannot be searched, so messages that are still waiting are not shown"
            );
        }
        for stored in trace.waiting.iter().flatten() {
            lines.push(Line {
                at: timestamp(stored.sent_at_ms).as_str().into(),
                what: "message".into(),
                details: view.state(stored),
            });
        }
        // Where queues can be searched, these messages are listed there.
        let held = view.in_hand_of(&self.correlation_id).into_iter();
        for (program, entry) in held.filter(|_| trace.waiting.is_none()) {
            lines.push(Line {
                at: timestamp(entry.since_ms).as_str().into(),
                what: "message".into(),
                details: view.held(program, entry),
            });
        }
        if lines.is_empty() {
            let id = &self.correlation_id;
            return Err(Failure::failed(match trace.waiting {
                Some(_) => format!(
                    "nothing is known about {id:?}: no queue has a message with this id, and the registry has no Result and no Event"
                ),
                None => format!(
                    "the registry has no Result and no Event of {id:?}, and no program on this machine is working on it; pudato cannot see whether it is waiting on a queue"
                ),
            }));
        }
        // All times are in UTC with microseconds, except those that a sender wrote; a stable order is good enough for those.
        lines.sort_by(|a, b| a.at.cmp(&b.at));
        let rows: Vec<Vec<String>> = lines
            .into_iter()
            .map(|line| {
                let at = line.at.get(..26).unwrap_or(&line.at).replace('T', " ");
                vec![at, line.what, line.details]
            })
            .collect();
        output::table(&["TIME (UTC)", "WHAT", "DETAILS"], &rows)
    }

    fn json(&self, trace: &pudato_runtime::Trace, view: &View) -> Result<(), Failure> {
        let read = |body: &str| serde_json::from_str::<Value>(body).unwrap_or(Value::Null);
        let results: Vec<Value> = trace.results.iter().map(|r| read(&r.body)).collect();
        // The positions in `results` of Results that do not belong to the step that they name.
        let not_applied: Vec<Value> = (0..)
            .zip(&trace.results)
            .filter_map(|(n, stored): (usize, _)| {
                let differs_in = stored.mismatch?;
                Some(json!({"result": n, "step_id": results[n]["step_id"], "differs_in": differs_in}))
            })
            .collect();
        let events: Vec<Value> = trace.events.iter().map(|e| read(&e.body)).collect();
        let described = |all: &Vec<Stored>| -> Vec<Value> {
            let each = all.iter().map(|stored| {
                json!({
                    "queue": stored.queue, "message_id": stored.message_id,
                    "receive_count": stored.receive_count, "sent_at_ms": stored.sent_at_ms,
                    "state": view.state(stored),
                    "reason": stored.dead_letter.as_ref().and_then(|d| d.reason.clone()),
                })
            });
            each.collect()
        };
        let waiting = trace.waiting.as_ref().map(described);
        let in_hand = view.in_hand_of(&self.correlation_id).into_iter();
        let in_hand: Vec<Value> = in_hand
            .map(|(program, entry)| as_json_entry(program, entry))
            .collect();
        output::json(&json!({
            "correlation_id": self.correlation_id, "waiting": waiting, "in_hand": in_hand,
            "results": results, "events": events, "not_applied": not_applied,
        }))
    }
}

/// The lines for the command that a Result answers, and for the Result.
fn of_result(result: &Reply, claims: Option<Difference>) -> Vec<Line> {
    let mut lines = Vec::new();
    for execution in &result.executions {
        if execution.execution_type != "command" {
            continue;
        }
        let text = |name: &str| execution.details.get(name).and_then(Value::as_str);
        let attempt = execution.details.get("attempt").and_then(Value::as_u64);
        lines.push(Line {
            at: text("sent_at").unwrap_or_default().into(),
            what: "command".into(),
            details: format!(
                "{} {}, answered at attempt {}",
                text("type").unwrap_or("?"),
                text("action").unwrap_or("?"),
                attempt.map_or("?".into(), |attempt| attempt.to_string())
            ),
        });
    }
    let status = match result.status {
        Status::Success => "success",
        Status::Error => "error",
        Status::Pending => "pending",
    };
    let mut details = format!("{status} after {} ms", result.duration_ms);
    if let Some(step) = &result.step_id {
        details.push_str(&format!(", step {step}"));
    }
    if let Some(difference) = claims {
        let field = difference.field();
        details.push_str(&format!(" (not applied: its {field} is not the step's)"));
    }
    let (inputs, outputs) = (result.inputs.len(), result.outputs.len());
    if inputs + outputs > 0 {
        details.push_str(&format!(", read {inputs}, wrote {outputs}"));
    }
    if !result.errors.is_empty() {
        details.push_str(&format!(": {}", result.errors.join("; ")));
    }
    lines.push(Line {
        at: result.timestamp.as_str().into(),
        what: "result".into(),
        details,
    });
    lines
}
