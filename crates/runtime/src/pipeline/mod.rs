//! Pipelines: steps that depend on each other, from one file, run as one job (docs/pipelines.md).

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

/// A pipeline as read from its file, including the files that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct Pipeline {
    /// The name of the pipeline.
    pub name: String,
    /// The environment: `dev`, `prod`, ...
    pub environment: String,
    /// The steps, in the order of the file.
    pub steps: Vec<Step>,
}

/// A step of a pipeline: one Command.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The name, unique in the pipeline.
    pub name: String,
    /// The positions of the steps that must succeed before this one.
    pub needs: Vec<usize>,
    /// The service.
    pub r#type: String,
    /// The action.
    pub action: String,
    /// The payload.
    pub payload: Object,
    /// How long to wait for the step's Result.
    pub timeout: Duration,
    /// The files in the payload, by the names in the pipeline file.
    pub files: Vec<String>,
    /// The lines of the action and of each field, by the name that errors use: `payload.sources.s.path`.
    pub lines: BTreeMap<String, usize>,
}

impl Pipeline {
    /// The position of the step `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.name == name)
    }

    /// Whether each step is `from`, or needs it directly or indirectly.
    pub fn after(&self, from: usize) -> Vec<bool> {
        let mut is_after = vec![false; self.steps.len()];
        is_after[from] = true;
        // `order` has the needs of a step before the step.
        for n in self.order() {
            is_after[n] |= self.steps[n].needs.iter().any(|need| is_after[*need]);
        }
        is_after
    }

    /// The steps in an order in which each comes after all its needs.
    pub fn order(&self) -> Vec<usize> {
        let needs: Vec<&[usize]> = self.steps.iter().map(|step| &step.needs[..]).collect();
        order::order(&needs).unwrap_or_default()
    }
}
