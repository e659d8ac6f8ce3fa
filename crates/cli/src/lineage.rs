//! `pudato lineage`.

use crate::Context;
use crate::exit::Failure;
use crate::{output, svg, tree};
use clap::ValueEnum;
use pudato_runtime::protocol::Timestamp;
use pudato_runtime::registry::{Graph, GraphQuery, Walk};
use serde_json::json;
use std::path::PathBuf;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Tree,
    Json,
    Mermaid,
    Svg,
}

/// Show what a dataset was made from (or, with --downstream, what was made from it).
#[derive(clap::Args)]
#[command(after_help = "Examples:
  pudato lineage data-lake/clean/strikes.csv
  pudato lineage data-lake/raw/birdstrikes.csv --downstream
  pudato lineage data-lake/clean/strikes.csv --format svg --output lineage.svg")]
pub struct Lineage {
    /// Where the data lies: a full location, or how it ends
    location: String,
    /// What it was made from (the default)
    #[arg(long)]
    upstream: bool,
    /// What was made from it
    #[arg(long, conflicts_with = "upstream")]
    downstream: bool,
    /// How many steps deep
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100))]
    depth: u64,
    /// Most nodes
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    max_nodes: u64,
    /// What was known at this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Only jobs in this environment
    #[arg(long)]
    environment: Option<String>,
    /// All runs, not only those that made what was read
    #[arg(long)]
    all_runs: bool,
    /// How it is drawn
    #[arg(long, value_enum, default_value = "tree")]
    format: Format,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Lineage {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let as_of = self.as_of.as_deref().map(Timestamp::parse).transpose();
        let as_of = as_of.map_err(|error| Failure::usage(format!("--as-of: {}", error.reason)))?;
        let pudato = context.open().await?;
        let walk = if self.downstream {
            Walk::Downstream
        } else {
            Walk::Upstream
        };
        let query = GraphQuery {
            location: self.location.clone(),
            walk,
            depth: self.depth,
            max_nodes: self.max_nodes,
            as_of,
            environment: self.environment.clone(),
            all_runs: self.all_runs,
        };
        let graph = pudato.registry.graph(query).await?;
        if graph.edges.is_empty() && !self.is_known(&graph) {
            let location = &self.location;
            let hint = "only commands with a step (--step) leave lineage";
            return Err(Failure::failed(format!(
                "nothing is known about {location:?}; {hint}"
            )));
        }
        let drawn = match self.format {
            _ if context.json => format!("{:#}\n", json!(graph)),
            Format::Json => format!("{:#}\n", json!(graph)),
            Format::Tree => tree::draw(&graph, walk),
            Format::Mermaid => tree::mermaid(&graph),
            Format::Svg => svg::draw(&graph, walk),
        };
        match &self.output {
            None => output::text(&drawn),
            Some(path) => std::fs::write(path, drawn)
                .map_err(|error| Failure::failed(format!("{}: {error}", path.display()))),
        }
    }

    /// A dataset that some step read or wrote, even if nothing lies on the asked side of it.
    fn is_known(&self, graph: &Graph) -> bool {
        graph.nodes.iter().any(|node| node.id() != "dataset:0")
    }
}
