//! Pipelines: steps that need each other, from one file, run as one job (docs/pipelines.md).

mod check;
mod file;
mod order;
mod outcome;
mod run;
mod standing;
mod yaml;

pub use file::{FileError, Files};
pub use outcome::{Outcome, Progress, StepEnd, StepOutcome};
pub use run::{Begun, Resume, Runner};

use pudato_protocol::Object;
use std::collections::BTreeMap;
use std::time::Duration;

/// A pipeline as its file says, with the files it names read.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Where it runs: `dev`, `prod`, ...
    pub environment: String,
    /// Its steps, in the order of the file.
    pub steps: Vec<Step>,
}

/// A step of a pipeline: one Command.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its name, unique in the pipeline.
    pub name: String,
    /// Positions of the steps that must have succeeded before.
    pub needs: Vec<usize>,
    /// The service.
    pub r#type: String,
    /// The action.
    pub action: String,
    /// The payload.
    pub payload: Object,
    /// How long its Result is waited for.
    pub timeout: Duration,
    /// Files that the payload holds, as they were named.
    pub files: Vec<String>,
    /// The line of its action, and of each field as errors name it: `payload.sources.s.path`.
    pub lines: BTreeMap<String, usize>,
}

impl Pipeline {
    /// The position of the step `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.name == name)
    }

    /// Whether each step is `from`, or needs it directly or through others.
    pub fn after(&self, from: usize) -> Vec<bool> {
        let mut is_after = vec![false; self.steps.len()];
        is_after[from] = true;
        // `order` has what a step needs before it.
        for n in self.order() {
            is_after[n] |= self.steps[n].needs.iter().any(|need| is_after[*need]);
        }
        is_after
    }

    /// The steps so that each comes after all that it needs.
    pub fn order(&self) -> Vec<usize> {
        let needs: Vec<&[usize]> = self.steps.iter().map(|step| &step.needs[..]).collect();
        order::order(&needs).unwrap_or_default()
    }
}
