//! Steps of a job, and the updates that change them.

use crate::batch::Difference;
use crate::fold::StepStatus;
use pudato_protocol::{DataReference, ExecutionRecord, Object, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// A step of a job: one Command, and what it is sent again as.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its id.
    pub step_id: String,
    /// Its job.
    pub job_id: Option<String>,
    /// Its name in the pipeline; the action where nobody named it.
    pub step_name: Option<String>,
    /// The service.
    pub handler_type: Option<String>,
    /// The action.
    pub action: Option<String>,
    /// That of its Command.
    pub correlation_id: Option<String>,
    /// Its state.
    pub status: StepStatus,
    /// What it read.
    pub inputs: Vec<DataReference>,
    /// What it wrote.
    pub outputs: Vec<DataReference>,
    /// What was executed.
    pub executions: Vec<ExecutionRecord>,
    /// Why it failed.
    pub error: Option<String>,
    /// How long the Result that decides its state took.
    pub duration_ms: Option<u64>,
    /// When its first Result began.
    pub started_at: Option<String>,
    /// When it ended.
    pub completed_at: Option<String>,
    /// When it ended as its Result says, where that is too far ahead of the registry's clock to be believed.
    pub stated_at: Option<String>,
    /// Results that name it and are not its own.
    #[serde(rename = "claims")]
    pub mismatches: Mismatches,
    /// Context.
    pub metadata: Value,
}

/// Results that name a step and do not agree with what it is: they are kept, and change nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Mismatches {
    /// How many there are.
    pub count: u64,
    /// The latest ten of them.
    pub latest: Vec<Mismatch>,
}

/// A Result that names a step and is not its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mismatch {
    /// That of its Command, under which all of it is found.
    pub correlation_id: String,
    /// What it says about the step.
    pub status: String,
    /// In what it differs from the step.
    pub differs_in: Option<Difference>,
    /// When it was written to the registry.
    pub recorded_at: String,
}

/// A step as it is declared.
#[derive(Debug, Clone, Default)]
pub struct NewStep {
    /// Its id; one is made where it is `None`.
    pub step_id: Option<String>,
    /// Its job.
    pub job_id: String,
    /// Its name in the pipeline.
    pub step_name: String,
    /// The service.
    pub handler_type: String,
    /// The action.
    pub action: String,
    /// That of its Command.
    pub correlation_id: Option<String>,
    /// Context.
    pub metadata: Object,
}

/// What is said about a step otherwise than by a Result; it counts like one.
#[derive(Debug, Clone)]
pub struct StepUpdate {
    /// The step.
    pub step_id: String,
    /// The job that it must belong to, where that is said.
    pub job_id: Option<String>,
    /// A correlation id under which it is sent from now on, beside those that it has.
    pub correlation_id: Option<String>,
    /// Its state.
    pub status: Option<StepStatus>,
    /// What it read.
    pub inputs: Vec<DataReference>,
    /// What it wrote.
    pub outputs: Vec<DataReference>,
    /// What was executed.
    pub executions: Vec<ExecutionRecord>,
    /// How long it took.
    pub duration_ms: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended; the time of the update where it is `None`.
    pub completed_at: Option<Timestamp>,
    /// When this was said.
    pub timestamp: Timestamp,
}
