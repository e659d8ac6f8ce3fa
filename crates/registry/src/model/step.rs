//! Steps of a job, and the updates that change them.

use crate::batch::Difference;
use crate::fold::StepStatus;
use pudato_protocol::{DataReference, ExecutionRecord, Object, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// A step of a job: one Command, including its retries.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The id of the step.
    pub step_id: String,
    /// The job of the step.
    pub job_id: Option<String>,
    /// The step's name in the pipeline, or its action if it has no name.
    pub step_name: Option<String>,
    /// The service.
    pub handler_type: Option<String>,
    /// The action.
    pub action: Option<String>,
    /// The correlation id of its Command.
    pub correlation_id: Option<String>,
    /// The status of the step.
    pub status: StepStatus,
    /// The datasets that the step read.
    pub inputs: Vec<DataReference>,
    /// The datasets that the step wrote.
    pub outputs: Vec<DataReference>,
    /// The work that was executed, such as SQL statements.
    pub executions: Vec<ExecutionRecord>,
    /// The error, if the step failed.
    pub error: Option<String>,
    /// The duration in the Result that decides the status.
    pub duration_ms: Option<u64>,
    /// When its first run began.
    pub started_at: Option<String>,
    /// When the step ended.
    pub completed_at: Option<String>,
    /// When the step ended according to its Result, if that is too far ahead of the registry's clock to be believed.
    pub stated_at: Option<String>,
    /// Results that name the step but do not match it.
    #[serde(rename = "claims")]
    pub mismatches: Mismatches,
    /// Additional context.
    pub metadata: Value,
}

/// Results that name a step but do not match it. The registry stores them and does not apply them.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Mismatches {
    /// The number of mismatches.
    pub count: u64,
    /// The latest ten mismatches.
    pub latest: Vec<Mismatch>,
}

/// A Result that names a step but does not match it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mismatch {
    /// The correlation id of its Command; `pudato trace` shows the whole Result.
    pub correlation_id: String,
    /// The status that the Result reports.
    pub status: String,
    /// The field in which the Result differs from the step.
    pub differs_in: Option<Difference>,
    /// When the registry recorded the Result.
    pub recorded_at: String,
}

/// A step to declare.
#[derive(Debug, Clone, Default)]
pub struct NewStep {
    /// The id of the step; `None` generates one.
    pub step_id: Option<String>,
    /// The job of the step.
    pub job_id: String,
    /// The name of the step in the pipeline.
    pub step_name: String,
    /// The service.
    pub handler_type: String,
    /// The action.
    pub action: String,
    /// The correlation id of its Command.
    pub correlation_id: Option<String>,
    /// Additional context.
    pub metadata: Object,
}

/// An update of a step by a caller. It counts like a Result.
#[derive(Debug, Clone)]
pub struct StepUpdate {
    /// The id of the step.
    pub step_id: String,
    /// The job that the step must belong to, if given.
    pub job_id: Option<String>,
    /// A further correlation id under which the step's Command is sent.
    pub correlation_id: Option<String>,
    /// The status of the step.
    pub status: Option<StepStatus>,
    /// The datasets that the step read.
    pub inputs: Vec<DataReference>,
    /// The datasets that the step wrote.
    pub outputs: Vec<DataReference>,
    /// The work that was executed.
    pub executions: Vec<ExecutionRecord>,
    /// How long the step took.
    pub duration_ms: Option<u64>,
    /// The error.
    pub error: Option<String>,
    /// When the step began.
    pub started_at: Option<Timestamp>,
    /// When the step ended; `None` means the time of the update.
    pub completed_at: Option<Timestamp>,
    /// The time of the update.
    pub timestamp: Timestamp,
}
