//! How a pipeline and its steps ended, and how a caller follows them meanwhile.

use pudato_protocol::{Object, Result as Reply};

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// It had succeeded in an earlier run of the job.
    Before,
    /// It succeeded.
    Success,
    /// It failed.
    Failed,
    /// Something that it needs did not succeed.
    Skipped,
    /// Its Result did not come in time; it may still come.
    TimedOut,
}

impl StepEnd {
    /// Its name in tables and JSON.
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

/// What came of a step.
#[derive(Debug, Clone)]
pub struct StepOutcome {
    /// Its position in the pipeline.
    pub position: usize,
    /// Its id in the registry.
    pub step_id: String,
    /// How it ended.
    pub end: StepEnd,
    /// Its Result, where there is one.
    pub result: Option<Reply>,
    /// Why it did not succeed.
    pub error: Option<String>,
}

/// What came of a pipeline.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The job.
    pub job_id: String,
    /// The steps that were asked for, in the order of the file.
    pub steps: Vec<StepOutcome>,
}

/// Tells somebody how it goes. Called from the task that runs the pipeline: it must not block.
pub trait Progress: Send {
    /// The id of the job: it was found, or is about to be created.
    fn job(&mut self, job_id: &str);
    /// A step was sent.
    fn sent(&mut self, position: usize);
    /// A step told how far it is.
    fn pending(&mut self, position: usize, data: &Object);
    /// A step ended.
    fn ended(&mut self, outcome: &StepOutcome);
}
