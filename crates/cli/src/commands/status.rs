//! `pudato status`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::board::InHand;
use pudato_runtime::notices::Program;
use pudato_runtime::{Installation, View, since, timestamp};
use serde_json::{Value, json};

/// Show what is running now: the programs that serve on this data folder, the commands that each is working on and since when, what these wait for,
/// and what stops a worker from continuing. It shows neither work younger than a second nor workers on other machines.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato status")]
pub struct Status {}

/// The most messages of a queue that are read.
const LOOK_MAX: usize = 100;

/// The messages of a queue that can be received.
struct Waiting {
    queue: String,
    count: u64,
    oldest_ms: Option<u64>,
}

impl Status {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        let view = View::of(&pudato);
        let waiting = match pudato.fabric.profile.is_shared {
            false => waiting(&pudato, view.now_ms).await?,
            // On SQS, reading a queue means receiving from it.
            true => Vec::new(),
        };
        if context.json {
            return output::json(&as_json(&view, &waiting));
        }
        let folder = pudato.data_dir.display();
        for program in &view.programs {
            let (pid, runs) = (program.pid, program.runs.join(", "));
            let from = since(program.since_ms, view.now_ms);
            output::line(&format!("process {pid} runs {runs} since {from}"))?;
        }
        match (&view.up, view.programs.is_empty()) {
            (Some(pid), true) => output::line(&format!(
                "`pudato up` (process {pid}) is running on {folder} but has not reported yet what it is working on"
            ))?,
            (None, true) => output::line(&format!("no pudato program is serving {folder}"))?,
            (_, false) => {}
        }
        for outage in view.outages() {
            output::line(&outage)?;
        }
        for one in &waiting {
            let oldest = one.oldest_ms.map(|at_ms| since(at_ms, view.now_ms));
            let oldest = oldest.map(|at| format!(", the oldest since {at}"));
            let (queue, count) = (&one.queue, one.count);
            output::line(&format!(
                "{queue}: {count} waiting{}",
                oldest.unwrap_or_default()
            ))?;
        }
        let rows: Vec<Vec<String>> = view
            .in_hand()
            .map(|(program, entry)| row(&view, program, entry))
            .collect();
        if rows.is_empty() {
            return output::line("no message has been in progress for more than a second");
        }
        output::line("")?;
        let head = [
            "SERVICE",
            "ACTION",
            "STEP",
            "CORRELATION ID",
            "SINCE",
            "ATTEMPT",
            "PROCESS",
            "WAITS FOR",
        ];
        output::table(&head, &rows)
    }
}

fn row(view: &View, program: &Program, entry: &InHand) -> Vec<String> {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
    vec![
        entry.service.clone(),
        text(&entry.action),
        text(&entry.step_id),
        text(&entry.correlation_id),
        since(entry.since_ms, view.now_ms),
        entry.attempt.map_or("-".into(), |n| n.to_string()),
        program.pid.to_string(),
        text(&view.wait(entry)),
    ]
}

async fn waiting(pudato: &Installation, now_ms: u64) -> Result<Vec<Waiting>, Failure> {
    let mut waiting = Vec::new();
    for queue in pudato.queues() {
        let count = pudato.fabric.operations.counts(&queue).await?.visible;
        if count == 0 {
            continue;
        }
        // The oldest may be in flight; those behind it are waiting.
        let oldest = pudato.fabric.operations.browse(&queue, LOOK_MAX).await?;
        let due = oldest.iter().map(|message| message.visible_at_ms);
        waiting.push(Waiting {
            queue,
            count,
            oldest_ms: due.filter(|at_ms| *at_ms <= now_ms).min(),
        });
    }
    Ok(waiting)
}

fn as_json(view: &View, waiting: &[Waiting]) -> Value {
    let at = |at_ms: u64| timestamp(at_ms).as_str().to_owned();
    let programs = view.programs.iter().map(
        |program| json!({"pid": program.pid, "since": at(program.since_ms), "runs": program.runs}),
    );
    let outages = view.programs.iter().flat_map(|program| {
        program.outages.iter().map(move |outage| {
            json!({
                "pid": program.pid, "of": outage.of, "why": outage.why,
                "since": timestamp(outage.since_ms).as_str(), "held_by": outage.held_by,
            })
        })
    });
    let in_hand = view
        .in_hand()
        .map(|(program, entry)| as_json_entry(program, entry));
    let waiting = waiting.iter().map(|one| {
        json!({"queue": one.queue, "count": one.count, "oldest_since": one.oldest_ms.map(at)})
    });
    json!({
        "programs": programs.collect::<Vec<_>>(), "in_hand": in_hand.collect::<Vec<_>>(),
        "outages": outages.collect::<Vec<_>>(), "waiting": waiting.collect::<Vec<_>>(),
    })
}

/// A message in flight, as JSON.
pub fn as_json_entry(program: &Program, entry: &InHand) -> Value {
    let at = |at_ms: u64| timestamp(at_ms).as_str().to_owned();
    json!({
        "pid": program.pid, "service": entry.service, "action": entry.action, "job_id": entry.job_id,
        "step_id": entry.step_id, "correlation_id": entry.correlation_id, "message_id": entry.message_id,
        "attempt": entry.attempt, "since": at(entry.since_ms), "gives_up_at": entry.gives_up_at_ms.map(at),
        "waits_for": entry.waits_for.as_ref().map(|wait| wait.what.clone()),
        "waits_since": entry.waits_for.as_ref().map(|wait| at(wait.since_ms)),
    })
}
