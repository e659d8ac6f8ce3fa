//! Shows the progress of a pipeline on stderr: live lines on a terminal, plain lines elsewhere.

use crate::output;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pudato_runtime::pipeline::{Pipeline, Progress, StepEnd, StepOutcome};
use pudato_runtime::protocol::Object;
use serde_json::Value;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The progress in a `pending` Result, as text.
pub fn how_far(data: &Object) -> String {
    if let Some(Value::String(what)) = data.get("waits_for") {
        let since = data.get("since").and_then(Value::as_str);
        let since = since.map(|since| format!(" (since {} UTC)", output::time(since)));
        return format!("waits for {what}{}", since.unwrap_or_default());
    }
    let number = |name: &str| data.get(name).and_then(Value::as_u64);
    // dbt counts hooks and the batches of a model separately, and its version 2 does not report the number of nodes.
    let part = match (data.get("kind"), number("part"), number("parts")) {
        (Some(Value::String(kind)), Some(part), Some(parts)) => {
            Some(format!("{kind} {part} of {parts}"))
        }
        _ => None,
    };
    let all = match (number("done"), number("total")) {
        (Some(done), Some(total)) => Some(format!("{done} of {total}")),
        (Some(0), None) if part.is_some() => None,
        (Some(done), None) => Some(format!("{done} done")),
        _ => None,
    };
    match (all, part, data.get("message")) {
        (Some(all), Some(part), _) => format!("{all}, {part}"),
        (Some(one), None, _) | (None, Some(one), _) => one,
        (None, None, Some(Value::String(message))) => message.clone(),
        (None, None, _) => "running".into(),
    }
}

/// Shows the progress of a pipeline.
pub struct Shown {
    names: Vec<String>,
    width: usize,
    /// The id of the job, for the text after an interruption.
    job: Arc<Mutex<Option<String>>>,
    live: Option<Live>,
}

struct Live {
    all: MultiProgress,
    running: Vec<Option<ProgressBar>>,
}

impl Shown {
    /// Shows the progress of `pipeline`. `job` receives the job's id as soon as there is one.
    pub fn new(pipeline: &Pipeline, job: Arc<Mutex<Option<String>>>) -> Self {
        let names: Vec<String> = pipeline
            .steps
            .iter()
            .map(|step| step.name.clone())
            .collect();
        let width = names
            .iter()
            .map(|name| name.chars().count())
            .max()
            .unwrap_or(0);
        let live = std::io::stderr().is_terminal().then(|| Live {
            all: MultiProgress::new(),
            running: vec![None; names.len()],
        });
        Self {
            names,
            width,
            job,
            live,
        }
    }

    fn line(&self, line: &str) {
        let line = output::told(line);
        match &self.live {
            Some(live) => {
                let _ = live.all.println(line);
            }
            None => eprintln!("{line}"),
        }
    }

    fn named(&self, position: usize) -> String {
        format!("{:<width$}", self.names[position], width = self.width)
    }
}

impl Progress for Shown {
    fn job(&mut self, job_id: &str) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job_id.to_owned());
        self.line(job_id);
    }

    fn sent(&mut self, position: usize) {
        let name = self.named(position);
        let Some(live) = &mut self.live else {
            eprintln!("  {name}  sent");
            return;
        };
        let bar = live.all.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {prefix}  {elapsed} {msg}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(output::told(&name).into_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        live.running[position] = Some(bar);
    }

    fn pending(&mut self, position: usize, data: &Object) {
        let text = how_far(data);
        let name = self.named(position);
        match self
            .live
            .as_ref()
            .and_then(|live| live.running[position].as_ref())
        {
            Some(bar) => bar.set_message(output::told(&text).into_owned()),
            None => eprintln!("  {name}  {text}"),
        }
    }

    fn ended(&mut self, outcome: &StepOutcome) {
        let position = outcome.position;
        if let Some(bar) = self
            .live
            .as_mut()
            .and_then(|live| live.running[position].take())
        {
            bar.finish_and_clear();
        }
        let mark = match outcome.end {
            StepEnd::Success | StepEnd::Before => "✓",
            StepEnd::Skipped => "-",
            StepEnd::Failed | StepEnd::TimedOut => "✗",
        };
        let took = outcome
            .result
            .as_ref()
            .map(|result| format!(" in {} ms", result.duration_ms));
        let name = self.named(position);
        let line = format!(
            "{mark} {name}  {}{}",
            outcome.end.name(),
            took.unwrap_or_default()
        );
        self.line(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::how_far;
    use serde_json::{Value, json};

    #[test]
    fn progress_is_shown_with_and_without_a_total() {
        for (data, expected) in [
            (json!({"done": 4, "total": 9, "kind": "model"}), "4 of 9"),
            (json!({"done": 4, "kind": "unit_test"}), "4 done"),
            (
                json!({"done": 0, "kind": "hook", "part": 1, "parts": 2}),
                "hook 1 of 2",
            ),
            (
                json!({"done": 4, "total": 9, "kind": "batch", "part": 2, "parts": 3}),
                "4 of 9, batch 2 of 3",
            ),
            (json!({"message": "at it"}), "at it"),
            (json!({}), "running"),
        ] {
            let Value::Object(object) = data else {
                panic!("an object");
            };
            assert_eq!(how_far(&object), expected);
        }
    }
}
