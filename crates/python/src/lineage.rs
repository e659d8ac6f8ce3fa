//! Lineage as data and as drawings.

use crate::errors;
use crate::installation::Installation;
use crate::task::{Task, made};
use pudato_protocol::Timestamp;
use pudato_registry::{GraphQuery, Walk};
use pudato_runtime::drawing::{Hints, Picture};
use pyo3::prelude::*;
use std::sync::Arc;

/// The hints in a drawing on how to show more of it.
const HINTS: Hints = Hints {
    all: "full=True",
    limit: str::to_owned,
};

/// What a dataset was made from, or what was made from it.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Graph {
    graph: pudato_registry::Graph,
    walk: Walk,
}

#[pymethods]
impl Graph {
    /// The graph as JSON.
    fn json(&self) -> String {
        serde_json::json!(self.graph).to_string()
    }

    /// The graph as a tree of text.
    fn tree(&self, full: bool) -> String {
        Picture::of(&self.graph, self.walk, full).tree(&HINTS)
    }

    /// The graph as an SVG file.
    fn svg(&self, full: bool) -> String {
        Picture::of(&self.graph, self.walk, full).svg()
    }

    /// The graph as a Mermaid diagram.
    fn mermaid(&self, full: bool) -> String {
        Picture::of(&self.graph, self.walk, full).mermaid()
    }
}

#[pymethods]
impl Installation {
    /// Finds the lineage of a dataset, given by its location or the end of it. Returns a [`Graph`].
    #[pyo3(signature = (location, *, downstream, depth, max_nodes, as_of, environment, all_runs))]
    #[allow(
        clippy::too_many_arguments,
        reason = "they are keywords of a query, and only the package calls it"
    )]
    fn lineage(
        &self,
        location: String,
        downstream: bool,
        depth: u64,
        max_nodes: u64,
        as_of: Option<&str>,
        environment: Option<String>,
        all_runs: bool,
    ) -> PyResult<Task> {
        let as_of = as_of.map(Timestamp::parse).transpose();
        let as_of = as_of.map_err(|error| errors::field("as_of", &error.reason))?;
        let walk = match downstream {
            true => Walk::Downstream,
            false => Walk::Upstream,
        };
        let query = GraphQuery {
            location,
            walk,
            depth,
            max_nodes,
            as_of,
            environment,
            all_runs,
        };
        let opened = Arc::clone(&self.opened);
        Task::start(async move {
            let graph = opened.registry.graph(query).await;
            let graph = graph.map_err(|error| errors::port(&error))?;
            made(Graph { graph, walk })
        })
    }
}
