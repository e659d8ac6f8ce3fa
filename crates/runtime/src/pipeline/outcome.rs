//! The outcome of a pipeline and of its steps, and the progress of a run.

use pudato_protocol::{Object, Result as Reply};

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// The step had succeeded in an earlier run of the job.
    Before,
    /// The step succeeded.
    Success,
    /// The step failed.
    Failed,
    /// A step that it needs did not succeed.
    Skipped,
    /// Its Result did not arrive in time; it may still arrive.
    TimedOut,
}

impl StepEnd {
    /// The name of the state in tables and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "success before",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::TimedOut => "timed out",
        }
    }
}

/// The outcome of a step.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// The position in the pipeline.
    pub position: usize,
    /// The id in the registry.
    pub step_id: String,
    /// How the step ended.
    pub end: StepEnd,
    /// The Result, if there is one.
    pub result: Option<Reply>,
    /// Why the step did not succeed.
    pub error: Option<String>,
}

/// The outcome of a pipeline.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The id of the job.
    pub job_id: String,
    /// The requested steps, in the order of the file.
    pub steps: Vec<StepOutcome>,
}

/// Receives the progress of a run. Its methods are called from the task that runs the pipeline, so they must not block.
pub trait Progress: Send {
    /// The id of the job, which was found or is about to be created.
    fn job(&mut self, job_id: &str);
    /// A step was sent.
    fn sent(&mut self, position: usize);
    /// A step reported its progress.
    fn pending(&mut self, position: usize, data: &Object);
    /// A step ended.
    fn ended(&mut self, outcome: &StepOutcome);
}
