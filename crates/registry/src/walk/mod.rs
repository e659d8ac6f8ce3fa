//! Walks the lineage graph of datasets and steps, breadth first, for every store. A store answers for many datasets or steps at once, so
//! that a walk costs few round trips per hop, and each answer comes from an index.
//!
//! The rule for connecting steps: a step read the contents that existed when it began. Upstream, those contents come from the last write
//! before that instant. If that write kept the older contents, the writes before it count as well, back to the last write that replaced
//! everything. Downstream, the readers of a write are the steps that began after it and before the next write that replaced everything.

mod breadth_first;
mod one_hop;

pub(crate) use breadth_first::walk;
pub(crate) use one_hop::one_hop;

use crate::batch::{READ, REPLACED};
use crate::error::Error;
use crate::micros;
use crate::model::{GraphQuery, HopQuery, Node};
use pudato_protocol::Timestamp;
use std::collections::HashMap;

/// One question to the store: which steps are related to a dataset, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Probe {
    pub(crate) dataset: i64,
    pub(crate) relation: Relation,
}

/// How the steps are related to the dataset. The store returns the latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Relation {
    /// The last writer up to the instant `until_us`, except the step `not`. If several steps wrote at the same instant, all of them.
    LastWriter { until_us: i64, not: i64 },
    /// All writers.
    Writers,
    /// The readers that began at `from_us` or later and before the next write that replaced the contents. A step that added to the
    /// dataset in this time and read it again itself counts as a reader. `None` selects all readers.
    Readers { from_us: Option<i64> },
}

/// One end of an edge between a dataset and a step, as seen from the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Neighbour {
    /// The row of a step if the probe was for a dataset; the row of a dataset if it was for a step.
    pub(crate) other: i64,
    pub(crate) kind: i64,
    /// The timestamp of the latest Result that reports this edge.
    pub(crate) last_us: i64,
    /// The number of Results that report this edge.
    pub(crate) count: u64,
    pub(crate) row_count: Option<u64>,
    pub(crate) rows_changed: Option<u64>,
}

/// The datasets around a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepNeighbours {
    pub(crate) started_us: Option<i64>,
    /// The datasets that the step read or wrote.
    pub(crate) neighbours: Vec<Neighbour>,
    /// Output, input, and whether the step made the input itself.
    pub(crate) pairs: Vec<(i64, i64, bool)>,
}

/// Reads lineage from a store. Each method answers in the order of its arguments and returns at most [`Limits::neighbours_max`]
/// neighbours for each of them.
pub(crate) trait LineageReader {
    async fn probe(
        &mut self,
        asked: &[Probe],
        limits: &Limits,
    ) -> Result<Vec<Vec<Neighbour>>, Error>;
    async fn steps(&mut self, ids: &[i64], limits: &Limits) -> Result<Vec<StepNeighbours>, Error>;
    /// The nodes of datasets. Each carries the last step that wrote it, with the row count after that write.
    async fn dataset_nodes(&mut self, ids: &[i64], limits: &Limits) -> Result<Vec<Node>, Error>;
    async fn step_nodes(&mut self, ids: &[i64]) -> Result<Vec<Node>, Error>;
}

/// Bounds of every answer.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Ignores Results after this instant.
    pub(crate) until_us: i64,
    /// Limits the walk to steps of jobs in this environment.
    pub(crate) environment: Option<String>,
    /// The most steps of one dataset. It is one more than a graph can show, so that the walk notices when it leaves some out.
    pub(crate) neighbours_max: i64,
}

impl Limits {
    fn of_graph(query: &GraphQuery) -> Self {
        Self::new(
            query.as_of.as_ref(),
            query.environment.as_ref(),
            query.max_nodes,
        )
    }

    fn of_hop(query: &HopQuery) -> Self {
        Self::new(
            query.as_of.as_ref(),
            query.environment.as_ref(),
            query.max_nodes,
        )
    }

    fn new(as_of: Option<&Timestamp>, environment: Option<&String>, max_nodes: u64) -> Self {
        Self {
            until_us: as_of.map_or(i64::MAX, micros),
            environment: environment.cloned(),
            neighbours_max: i64::try_from(max_nodes)
                .unwrap_or(i64::MAX)
                .saturating_add(1),
        }
    }
}

/// Merges the edges to the same neighbour into one. The edges come in the order of their instants, the latest first.
pub(crate) fn sum_up(edges: impl IntoIterator<Item = Neighbour>) -> Vec<Neighbour> {
    let mut places = HashMap::new();
    let mut neighbours: Vec<Neighbour> = Vec::new();
    for edge in edges {
        let is_write = edge.kind != READ;
        match places.get(&(edge.other, is_write)) {
            None => {
                places.insert((edge.other, is_write), neighbours.len());
                neighbours.push(edge);
            }
            Some(place) => {
                let neighbour: &mut Neighbour = &mut neighbours[*place];
                neighbour.count += edge.count;
                // If one Result of the step replaced the contents, nothing older is left.
                if edge.kind == REPLACED {
                    neighbour.kind = REPLACED;
                }
                if edge.last_us > neighbour.last_us {
                    neighbour.last_us = edge.last_us;
                    neighbour.row_count = edge.row_count;
                    neighbour.rows_changed = edge.rows_changed;
                }
            }
        }
    }
    neighbours
}
