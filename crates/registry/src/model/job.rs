//! Jobs: runs of a pipeline.

use pudato_protocol::{Object, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// The status of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// None of its steps has begun.
    Pending,
    /// A step has begun, and the job has not ended.
    Running,
    /// The job succeeded.
    Success,
    /// The job failed.
    Failed,
    /// The job was cancelled.
    Cancelled,
}

impl JobStatus {
    /// The name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Parses the name in the contract.
    pub fn parse(name: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Running,
            Self::Success,
            Self::Failed,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|status| status.as_str() == name)
    }
}

/// A run of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Job {
    /// The id of the job.
    pub job_id: String,
    /// The pipeline; `None` if only Results mentioned the job so far.
    pub pipeline: Option<String>,
    /// The environment: `dev`, `prod`, ...
    pub environment: Option<String>,
    /// Separates the names of this job from those of other tenants or projects.
    pub namespace: Option<String>,
    /// The version of the logic that ran.
    pub logic_version: Option<String>,
    /// The status of the job.
    pub status: JobStatus,
    /// The number of steps that the job will have, if it was declared.
    pub expected_steps: Option<u64>,
    /// The number of undeclared steps that name this job. Once a job has declared as many steps as it expects, a step cannot join it by
    /// naming it.
    pub undeclared_steps: u64,
    /// The request that started the job.
    pub request: Value,
    /// The arguments of the job.
    pub parameters: Value,
    /// The scheduler's id of the run.
    pub dag_run_id: Option<String>,
    /// The error, if the job failed.
    pub error: Option<String>,
    /// When the job was created.
    pub created_at: String,
    /// When the job ended.
    pub completed_at: Option<String>,
    /// Additional context.
    pub metadata: Value,
}

/// A job to create.
#[derive(Debug, Clone, Default)]
pub struct NewJob {
    /// The id of the job; `None` generates one.
    pub job_id: Option<String>,
    /// The pipeline.
    pub pipeline: String,
    /// The environment.
    pub environment: String,
    /// Separates the names of this job from those of other tenants or projects.
    pub namespace: String,
    /// The version of the logic.
    pub logic_version: Option<String>,
    /// The request that started the job.
    pub request: Object,
    /// The arguments of the job.
    pub parameters: Object,
    /// The scheduler's id of the run.
    pub dag_run_id: Option<String>,
    /// The number of steps that the job will have.
    pub expected_steps: Option<u64>,
    /// Additional context.
    pub metadata: Object,
}

impl NewJob {
    /// Its texts, with the names of their fields.
    pub(crate) fn texts(&self) -> [(&'static str, &str); 6] {
        fn optional(text: &Option<String>) -> &str {
            text.as_deref().unwrap_or_default()
        }
        [
            ("job_id", optional(&self.job_id)),
            ("pipeline", &self.pipeline),
            ("environment", &self.environment),
            ("namespace", &self.namespace),
            ("logic_version", optional(&self.logic_version)),
            ("dag_run_id", optional(&self.dag_run_id)),
        ]
    }
}

/// Changes of a job. `None` leaves a value as it is.
#[derive(Debug, Clone, Default)]
pub struct UpdateJob {
    /// The new status.
    pub status: Option<JobStatus>,
    /// The version of the logic.
    pub logic_version: Option<String>,
    /// The number of steps that the job will have.
    pub expected_steps: Option<u64>,
    /// The error.
    pub error: Option<String>,
    /// Keys to add to the metadata.
    pub metadata: Object,
}

/// Selects jobs. `None` matches any value.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// The pipeline.
    pub pipeline: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The status.
    pub status: Option<JobStatus>,
    /// The scheduler's id of the run.
    pub dag_run_id: Option<String>,
    /// The version of the logic.
    pub logic_version: Option<String>,
    /// Matches jobs created after this time.
    pub created_after: Option<Timestamp>,
    /// Matches jobs created before this time.
    pub created_before: Option<Timestamp>,
    /// The most jobs to return.
    pub limit: u64,
    /// The number of matching jobs to skip, from the newest on.
    pub offset: u64,
}
