//! Shows the progress of a pipeline on stderr: live lines on a terminal, plain lines elsewhere.

use crate::output;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pudato_runtime::drawing::how_far;
use pudato_runtime::pipeline::{Pipeline, Progress, StepEnd, StepOutcome};
use pudato_runtime::protocol::Object;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

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
