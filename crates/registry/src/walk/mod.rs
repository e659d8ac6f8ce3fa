//! The walk over datasets and steps, breadth first, for every store. A store answers questions about many datasets or steps at once, so
//! that a walk costs few round trips per hop; each question is an index walk.
//!
//! Which steps are met (design.md, "Registry"): a step read what was there when it began. Upstream that is what the last
//! write before made, and, where that write kept what was there, what was written before it, back to the last that replaced
//! everything. Downstream those read a write who began after it and before the next that replaced everything.

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

/// What is asked about a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Near {
    pub(crate) dataset: i64,
    pub(crate) side: Side,
}

/// Which of its steps are asked for; the latest come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// The one that wrote it last, not after this instant, and is not this step; all of them where several wrote it at that instant.
    LastWriter { until_us: i64, not: i64 },
    /// All that wrote it.
    Writers,
    /// All that read it, and began from this instant on (if any) until it was replaced after it; and the writes of those who wrote it in
    /// this time, left what was there, and read it again themselves. Without an instant these are all who wrote it and read it again.
    Readers { from_us: Option<i64> },
}

/// A dataset and a step that read or wrote it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flow {
    /// The other end: a step of a dataset, or a dataset of a step.
    pub(crate) other: i64,
    pub(crate) kind: i64,
    /// When a Result said so last.
    pub(crate) last_us: i64,
    /// How many Results said so.
    pub(crate) count: u64,
    pub(crate) row_count: Option<u64>,
    pub(crate) rows_changed: Option<u64>,
}

/// What the walk must know about a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepFlows {
    pub(crate) started_us: Option<i64>,
    /// Datasets that it read and wrote.
    pub(crate) flows: Vec<Flow>,
    /// Output, input, and whether the step made the input itself.
    pub(crate) pairs: Vec<(i64, i64, bool)>,
}

/// What a store knows about datasets and steps. Answers stand in the order of the questions. Lists are cut at
/// [`Limits::flows`](Limits).
pub(crate) trait Facts {
    async fn near(&mut self, asked: &[Near], limits: &Limits) -> Result<Vec<Vec<Flow>>, Error>;
    async fn steps(&mut self, ids: &[i64], limits: &Limits) -> Result<Vec<StepFlows>, Error>;
    /// With the last step that wrote each, and its rows then.
    async fn dataset_nodes(&mut self, ids: &[i64], limits: &Limits) -> Result<Vec<Node>, Error>;
    async fn step_nodes(&mut self, ids: &[i64]) -> Result<Vec<Node>, Error>;
}

/// What bounds every answer.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Only what Results until then say.
    pub(crate) until_us: i64,
    /// Only steps of jobs in this environment.
    pub(crate) environment: Option<String>,
    /// Most steps of one dataset: one more than can be shown, so that it shows that there is more.
    pub(crate) flows: i64,
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
            flows: i64::try_from(max_nodes)
                .unwrap_or(i64::MAX)
                .saturating_add(1),
        }
    }
}

/// Sums up the edges of one dataset (or step) and another, which stand in the order of their instants, the latest first.
pub(crate) fn sum_up(edges: impl IntoIterator<Item = Flow>) -> Vec<Flow> {
    let mut places = HashMap::new();
    let mut flows: Vec<Flow> = Vec::new();
    for edge in edges {
        let is_write = edge.kind != READ;
        match places.get(&(edge.other, is_write)) {
            None => {
                places.insert((edge.other, is_write), flows.len());
                flows.push(edge);
            }
            Some(place) => {
                let flow: &mut Flow = &mut flows[*place];
                flow.count += edge.count;
                // Where one of its Results replaced everything, nothing older is left.
                if edge.kind == REPLACED {
                    flow.kind = REPLACED;
                }
                if edge.last_us > flow.last_us {
                    flow.last_us = edge.last_us;
                    flow.row_count = edge.row_count;
                    flow.rows_changed = edge.rows_changed;
                }
            }
        }
    }
    flows
}
