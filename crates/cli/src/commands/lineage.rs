//! `pudato lineage`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use clap::ValueEnum;
use pudato_runtime::PRODUCER;
use pudato_runtime::drawing::{Hints, Picture};
use pudato_runtime::protocol::Timestamp;
use pudato_runtime::registry::openlineage::run_events;
use pudato_runtime::registry::{Graph, GraphQuery, Walk};
use serde_json::json;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// The options that show more of a drawing.
const HINTS: Hints = Hints {
    all: "--full",
    limit: |name| format!("--{}", name.replace('_', "-")),
};

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Tree,
    Json,
    Mermaid,
    Svg,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runs {
    /// For each step, the runs that made the data which it read
    Latest,
    /// Every run
    All,
}

/// Show what a dataset was made from (or, with --downstream, what was made from it).
#[derive(clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  pudato lineage data-lake/clean/strikes.csv
  pudato lineage data-lake/raw/birdstrikes.csv --downstream
  pudato lineage data-lake/clean/strikes.csv --format svg --output lineage.svg
  pudato lineage data-lake/clean/strikes.csv --as-of 2026-11-01T00:00:00Z --runs all
  pudato lineage export --output events.jsonl"
)]
pub struct Lineage {
    #[command(subcommand)]
    what: Option<What>,
    /// The dataset: its full location, or the end of it
    #[arg(required = true)]
    location: Option<String>,
    /// Show what the dataset was made from (the default)
    #[arg(long)]
    upstream: bool,
    /// Show what was made from the dataset
    #[arg(long, conflicts_with = "upstream")]
    downstream: bool,
    /// How many steps to follow
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100))]
    depth: u64,
    /// Maximum number of datasets and steps
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    max_nodes: u64,
    /// Use only Results up to this time (RFC 3339)
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Use only jobs in this environment
    #[arg(long)]
    environment: Option<String>,
    /// Which runs of a step to follow
    #[arg(long, value_enum, default_value = "latest")]
    runs: Runs,
    /// Draw everything, even if the graph is large
    #[arg(long)]
    full: bool,
    /// Output format
    #[arg(long, value_enum, default_value = "tree")]
    format: Format,
    /// Write to this file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum What {
    /// Print every Result as OpenLineage events, one per line
    #[command(after_help = "Example:\n  pudato lineage export --output events.jsonl")]
    Export {
        /// Only Results from this time on (RFC 3339)
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Write to this file instead of stdout
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

fn time(option: &str, text: Option<&String>) -> Result<Option<Timestamp>, Failure> {
    let parsed = text.map(|text| Timestamp::parse(text)).transpose();
    parsed.map_err(|error| Failure::usage(format!("{option}: {}", error.reason)))
}

/// The most Results that are read at once.
const PAGE: u64 = 1_000;

async fn export(
    context: &Context,
    since: Option<Timestamp>,
    output: Option<&PathBuf>,
) -> Result<(), Failure> {
    let pudato = context.open().await?;
    let failed = |error: std::io::Error| Failure::failed(format!("output: {error}"));
    let mut out: Box<dyn Write> = match output {
        Some(path) => {
            Box::new(BufWriter::new(File::create(path).map_err(|error| {
                Failure::failed(format!("{}: {error}", path.display()))
            })?))
        }
        None => Box::new(BufWriter::new(std::io::stdout())),
    };
    let since = since.map(|since| since.instant().unix_timestamp_nanos() / 1_000);
    let mut after = 0;
    loop {
        let told = pudato.registry.exported_after(after, PAGE).await?;
        let Some(last) = told.last() else {
            break;
        };
        after = last.row;
        let told = told.iter();
        for told in told.filter(|told| since.is_none_or(|since| i128::from(told.at_us) >= since)) {
            for event in run_events(told, PRODUCER) {
                // A reader that closes the pipe (`| head`) is not an error.
                match writeln!(out, "{event}") {
                    Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
                    written => written.map_err(failed)?,
                }
            }
        }
    }
    match out.flush() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}

impl Lineage {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        if let Some(What::Export { since, output }) = &self.what {
            let since = time("--since", since.as_ref())?;
            return export(context, since, output.as_ref()).await;
        }
        let as_of = time("--as-of", self.as_of.as_ref())?;
        let location = self.location.clone().unwrap_or_default();
        let pudato = context.open().await?;
        let walk = if self.downstream {
            Walk::Downstream
        } else {
            Walk::Upstream
        };
        let query = GraphQuery {
            location: location.clone(),
            walk,
            depth: self.depth,
            max_nodes: self.max_nodes,
            as_of,
            environment: self.environment.clone(),
            all_runs: self.runs == Runs::All,
        };
        let graph = pudato.registry.graph(query).await?;
        if graph.edges.is_empty() && !self.is_known(&graph) {
            let hint = "only commands with a step (--step) leave lineage";
            return Err(Failure::failed(format!(
                "nothing is known about {location:?}; {hint}"
            )));
        }
        let picture = Picture::of(&graph, walk, self.full);
        let drawn = match self.format {
            _ if context.json => format!("{:#}\n", json!(graph)),
            Format::Json => format!("{:#}\n", json!(graph)),
            Format::Tree => picture.tree(&HINTS),
            Format::Mermaid => picture.mermaid(),
            Format::Svg => picture.svg(),
        };
        match &self.output {
            None => output::text(&drawn),
            Some(path) => std::fs::write(path, drawn)
                .map_err(|error| Failure::failed(format!("{}: {error}", path.display()))),
        }
    }

    /// Whether some step read or wrote the dataset, even if there is nothing on the requested side of it.
    fn is_known(&self, graph: &Graph) -> bool {
        graph.nodes.iter().any(|node| node.id() != "dataset:0")
    }
}
