//! Lineage: one hop around a dataset, and the graph of a walk.

use crate::fold::StepStatus;
use pudato_protocol::Timestamp;
use serde::Serialize;
use serde_json::Value;

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
