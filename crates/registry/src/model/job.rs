//! Jobs: runs of a pipeline.

use pudato_protocol::{Object, Timestamp};
use serde::Serialize;
use serde_json::Value;

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// None of its steps has begun.
    Pending,
    /// Some step has begun, and nobody said that it ended.
    Running,
    /// It ended well.
    Success,
    /// It ended badly.
    Failed,
    /// It was given up.
    Cancelled,
}

impl JobStatus {
    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads its name.
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
    /// Its id.
    pub job_id: String,
    /// The pipeline; `None` where only Results spoke of the job so far.
    pub pipeline: Option<String>,
    /// Where it runs: `dev`, `prod`, ...
    pub environment: Option<String>,
    /// What its names are kept apart by.
    pub namespace: Option<String>,
    /// The version of the logic that ran.
    pub logic_version: Option<String>,
    /// Its state.
    pub status: JobStatus,
    /// How many steps it will have, where that was declared.
    pub expected_steps: Option<u64>,
    /// How many other steps name this job. Once a job has declared as many steps as it expects, a step cannot join it by naming it.
    pub undeclared_steps: u64,
    /// What asked for it.
    pub request: Value,
    /// Its arguments.
    pub parameters: Value,
    /// The scheduler's own id of the run.
    pub dag_run_id: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was created.
    pub created_at: String,
    /// When it ended.
    pub completed_at: Option<String>,
    /// Context.
    pub metadata: Value,
}

/// A job as it is created.
#[derive(Debug, Clone, Default)]
pub struct NewJob {
    /// Its id; one is made where it is `None`.
    pub job_id: Option<String>,
    /// The pipeline.
    pub pipeline: String,
    /// Where it runs.
    pub environment: String,
    /// What its names are kept apart by.
    pub namespace: String,
    /// The version of the logic.
    pub logic_version: Option<String>,
    /// What asked for it.
    pub request: Object,
    /// Its arguments.
    pub parameters: Object,
    /// The scheduler's own id.
    pub dag_run_id: Option<String>,
    /// How many steps it will have.
    pub expected_steps: Option<u64>,
    /// Context.
    pub metadata: Object,
}

impl NewJob {
    /// Its texts, by their names.
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

/// What changes about a job; `None` stays.
#[derive(Debug, Clone, Default)]
pub struct UpdateJob {
    /// Its state.
    pub status: Option<JobStatus>,
    /// The version of the logic.
    pub logic_version: Option<String>,
    /// How many steps it will have.
    pub expected_steps: Option<u64>,
    /// Why it failed.
    pub error: Option<String>,
    /// Keys that are added to its metadata.
    pub metadata: Object,
}

/// Which jobs are asked for; `None` means any.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// The pipeline.
    pub pipeline: Option<String>,
    /// Where they run.
    pub environment: Option<String>,
    /// What their names are kept apart by.
    pub namespace: Option<String>,
    /// Their state.
    pub status: Option<JobStatus>,
    /// The scheduler's own id.
    pub dag_run_id: Option<String>,
    /// Only jobs that ran this commit of the logic.
    pub logic_version: Option<String>,
    /// Only jobs created after this time.
    pub created_after: Option<Timestamp>,
    /// Only jobs created before this time.
    pub created_before: Option<Timestamp>,
    /// Most jobs to answer.
    pub limit: u64,
    /// How many of the newest jobs to skip.
    pub offset: u64,
}
