//! What the registry knows, as callers see it.

use crate::batch::Difference;
use crate::fold::StepStatus;
use pudato_protocol::{DataReference, ExecutionRecord, Object, Timestamp};
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
    pub claims: Claims,
    /// Context.
    pub metadata: Value,
}

/// Results that name a step and do not agree with what it is: they are kept, and change nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Claims {
    /// How many there are.
    pub count: u64,
    /// The latest ten of them.
    pub latest: Vec<ClaimOfStep>,
}

/// A Result that names a step and is not its own.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ClaimOfStep {
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

/// A Result as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredResult {
    /// The SHA-256 of its JSON as published.
    pub identity: String,
    /// Its JSON.
    pub body: String,
    /// When it was written to the registry.
    pub recorded_at: String,
    /// In what it differs from the step that it names: it is a claim then, and not applied. `None` where it counts.
    pub claims: Option<Difference>,
}

/// An Event as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredEvent {
    /// Grows with each Event that is recorded.
    pub cursor: i64,
    /// Its JSON.
    pub body: String,
    /// When it was written to the registry.
    pub recorded_at: String,
}

/// Which way one hop goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The steps that wrote it.
    Producers,
    /// The steps that read it.
    Consumers,
    /// Both.
    Both,
}

/// A step next to a dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hop {
    /// The step's job.
    pub job_id: Option<String>,
    /// The step.
    pub step_id: String,
    /// Its name in the pipeline; the action where nobody named it.
    pub step_name: Option<String>,
    /// The job's pipeline.
    pub pipeline: Option<String>,
    /// The step's state.
    pub status: StepStatus,
    /// When it ended.
    pub completed_at: Option<String>,
}

/// What one hop asks for.
#[derive(Debug, Clone)]
pub struct HopQuery {
    /// The dataset: a full location or a short name.
    pub location: String,
    /// Which way.
    pub direction: Direction,
    /// Only steps of jobs in this environment.
    pub environment: Option<String>,
    /// Only what Results until then say.
    pub as_of: Option<Timestamp>,
    /// Most steps on each side.
    pub max_nodes: u64,
}

/// One hop of lineage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OneHop {
    /// The dataset, by its full location.
    pub location: String,
    /// Who wrote it, the latest first.
    pub producers: Vec<Hop>,
    /// Who read it, the latest first.
    pub consumers: Vec<Hop>,
    /// Whether there are more on some side.
    pub truncated: bool,
}

/// Which way a walk goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// To what it was made from.
    Upstream,
    /// To what was made from it.
    Downstream,
}

/// What a walk asks for.
#[derive(Debug, Clone)]
pub struct GraphQuery {
    /// Where it begins: a full location or a short name.
    pub location: String,
    /// Which way.
    pub walk: Walk,
    /// How many steps deep.
    pub depth: u64,
    /// Most nodes.
    pub max_nodes: u64,
    /// Only what Results until then say.
    pub as_of: Option<Timestamp>,
    /// Only steps of jobs in this environment.
    pub environment: Option<String>,
    /// All runs, instead of those that made what the consumer read.
    pub all_runs: bool,
}

/// The id of the only node of a graph whose dataset nobody named yet.
pub(crate) const UNKNOWN: &str = "dataset:0";

/// A dataset or a step in a graph. A step that knows which of its outputs was made from what stands once for each of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Node {
    /// Data.
    Dataset {
        /// Unique in the graph.
        id: String,
        /// Where it lives.
        namespace: String,
        /// Its name there.
        name: String,
        /// Both, printed.
        location: String,
        /// The step that wrote it last, as far as the walk asked.
        last_run: Option<String>,
        /// Its rows, as that step counted them; if no step wrote it, as the last step in the graph that read it counted them.
        row_count: Option<u64>,
        /// Rows that that step inserted, updated or deleted.
        rows_changed: Option<u64>,
    },
    /// Work.
    Step {
        /// Unique in the graph.
        id: String,
        /// The step.
        step_id: String,
        /// Its job.
        job_id: Option<String>,
        /// Its name in the pipeline; `None` if it has none.
        step_name: Option<String>,
        /// The job's pipeline.
        pipeline: Option<String>,
        /// The service.
        handler: Option<String>,
        /// The action.
        action: Option<String>,
        /// Its state.
        status: StepStatus,
        /// When it ended.
        completed_at: Option<String>,
    },
}

impl Node {
    /// Its id in the graph.
    pub fn id(&self) -> &str {
        match self {
            Self::Dataset { id, .. } | Self::Step { id, .. } => id,
        }
    }

    pub(crate) fn with_id(mut self, new: String) -> Self {
        let (Self::Dataset { id, .. } | Self::Step { id, .. }) = &mut self;
        *id = new;
        self
    }
}

/// Data that flows from a node to another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edge {
    /// Id of the node it comes from.
    pub from: String,
    /// Id of the node it goes to.
    pub to: String,
    /// The step that read or wrote.
    pub step: String,
    /// Rows of the dataset, as the step counted them last.
    pub row_count: Option<u64>,
    /// Rows that it inserted, updated or deleted then.
    pub rows_changed: Option<u64>,
    /// When a Result said so last.
    pub last_run: String,
    /// How many Results said so.
    pub count: u64,
}

/// A part of the lineage.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Graph {
    /// Where the walk began, by its full location.
    pub location: String,
    /// The asked dataset first, then in the order of the walk.
    pub nodes: Vec<Node>,
    /// What connects them.
    pub edges: Vec<Edge>,
    /// `false`, or why there is more than is shown: `"depth"` or `"max_nodes"`.
    pub truncated: Value,
}

/// What is removed. Results go whose timestamp is before an instant, unless one of them is the last that wrote a dataset (then it
/// and what it says is kept, so that every dataset still has its origin), its step is not over, or others are still to be told of it.
/// Steps go of whose Results nothing is left, and jobs of whose steps nothing is.
#[derive(Debug, Clone)]
pub struct Prune {
    /// Only what is older than this.
    pub before: Timestamp,
    /// Where the call before ended; `None` begins with the oldest.
    pub after: Option<(i64, i64)>,
    /// Most Results that one call looks at: it is one transaction, which others wait for.
    pub limit: u64,
    /// Only count.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Results.
    pub results: u64,
    /// What they said that was read or written.
    pub edges: u64,
    /// Steps.
    pub steps: u64,
    /// Jobs.
    pub jobs: u64,
    /// Where the next call begins; `None`: there is nothing more.
    #[serde(skip)]
    pub next: Option<(i64, i64)>,
}

/// A folder that moved: its files and database files get names with the new path.
#[derive(Debug, Clone)]
pub struct Relocate {
    /// The old folder as it appears in names: absolute, without a trailing slash. Several paths if one place had several names.
    pub from: Vec<String>,
    /// The new path of the folder.
    pub to: String,
    /// If a dataset with the new name already exists, treat both as the same data.
    pub merge: bool,
    /// Only count.
    pub dry_run: bool,
}

/// Which names changed, or would change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Relocated {
    /// How many datasets get another name.
    pub datasets: u64,
    /// How many of them were merged with a dataset that already had that name.
    pub merged: u64,
    /// The first few: old name and new name.
    pub examples: Vec<(String, String)>,
}
