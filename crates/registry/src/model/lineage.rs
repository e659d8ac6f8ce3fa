//! Lineage: one hop around a dataset, and the graph of a walk.

use crate::fold::StepStatus;
use pudato_protocol::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// The direction of one hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The steps that wrote the dataset.
    Producers,
    /// The steps that read the dataset.
    Consumers,
    /// Both kinds of steps.
    Both,
}

/// A step that read or wrote a dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hop {
    /// The job of the step.
    pub job_id: Option<String>,
    /// The id of the step.
    pub step_id: String,
    /// The step's name in the pipeline, or its action if it has no name.
    pub step_name: Option<String>,
    /// The pipeline of the job.
    pub pipeline: Option<String>,
    /// The status of the step.
    pub status: StepStatus,
    /// When the step ended.
    pub completed_at: Option<String>,
}

/// A query for one hop.
#[derive(Debug, Clone)]
pub struct HopQuery {
    /// The dataset: a full location or a short name.
    pub location: String,
    /// The direction of the hop.
    pub direction: Direction,
    /// Limits the answer to steps of jobs in this environment.
    pub environment: Option<String>,
    /// Ignores Results after this time.
    pub as_of: Option<Timestamp>,
    /// The most steps in each direction.
    pub max_nodes: u64,
}

/// The steps next to a dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OneHop {
    /// The full location of the dataset.
    pub location: String,
    /// The steps that wrote the dataset, the latest first.
    pub producers: Vec<Hop>,
    /// The steps that read the dataset, the latest first.
    pub consumers: Vec<Hop>,
    /// Whether a list was cut off.
    pub truncated: bool,
}

/// The direction of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// To the inputs.
    Upstream,
    /// To the outputs.
    Downstream,
}

/// A query for a lineage graph.
#[derive(Debug, Clone)]
pub struct GraphQuery {
    /// The dataset to start from: a full location or a short name.
    pub location: String,
    /// The direction of the walk.
    pub walk: Walk,
    /// The most steps from the start to any node.
    pub depth: u64,
    /// The most nodes.
    pub max_nodes: u64,
    /// Ignores Results after this time.
    pub as_of: Option<Timestamp>,
    /// Limits the walk to steps of jobs in this environment.
    pub environment: Option<String>,
    /// Follows all runs, not only those that made the data which a step read.
    pub all_runs: bool,
}

/// The id of the only node in the graph of an unknown dataset.
pub(crate) const UNKNOWN: &str = "dataset:0";

/// A dataset or a step in a graph. A step that reports the inputs of each output has one node for each output.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Node {
    /// A dataset.
    Dataset {
        /// Unique within the graph.
        id: String,
        /// The system that holds the dataset.
        namespace: String,
        /// The name of the dataset within its namespace.
        name: String,
        /// The full location: namespace and name.
        location: String,
        /// The step that wrote the dataset last, within the limits of the walk.
        last_run: Option<String>,
        /// The row count that `last_run` reported; if no step wrote the dataset, the count that its latest reader in the graph reported.
        row_count: Option<u64>,
        /// The number of rows that `last_run` inserted, updated or deleted.
        rows_changed: Option<u64>,
    },
    /// A step.
    Step {
        /// Unique within the graph.
        id: String,
        /// The id of the step.
        step_id: String,
        /// The job of the step.
        job_id: Option<String>,
        /// The step's name in the pipeline, if it has one.
        step_name: Option<String>,
        /// The pipeline of the job.
        pipeline: Option<String>,
        /// The service.
        handler: Option<String>,
        /// The action.
        action: Option<String>,
        /// The status of the step.
        status: StepStatus,
        /// When the step ended.
        completed_at: Option<String>,
    },
}

impl Node {
    /// The id of the node within the graph.
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

/// A flow of data between two nodes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edge {
    /// The id of the source node.
    pub from: String,
    /// The id of the target node.
    pub to: String,
    /// The step that read or wrote the data.
    pub step: String,
    /// The row count of the dataset, as the step reported it last.
    pub row_count: Option<u64>,
    /// The number of rows that the step last inserted, updated or deleted.
    pub rows_changed: Option<u64>,
    /// The timestamp of the latest Result that reports this edge.
    pub last_run: String,
    /// The number of Results that report this edge.
    pub count: u64,
}

/// A lineage graph.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Graph {
    /// The full location of the dataset where the walk started.
    pub location: String,
    /// The start first, then in the order of the walk.
    pub nodes: Vec<Node>,
    /// The edges between the nodes.
    pub edges: Vec<Edge>,
    /// `false`, or the limit that cut the graph off: `"depth"` or `"max_nodes"`.
    pub truncated: Value,
}
