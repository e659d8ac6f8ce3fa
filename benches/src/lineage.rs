//! How long lineage takes to ask for, with a hundred thousand and a million steps.

use crate::Outcome;
use crate::figures::{Figures, percentile};
use crate::stores::{OnPostgres, Sqlite, load};
use crate::workload::{HUB, names};
use pudato_runtime::registry::{
    Direction, Graph, GraphQuery, HopQuery, Node, OneHop, RegistryStore, Walk,
};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

const SMALL: u64 = 100_000;
const LARGE: u64 = 1_000_000;

/// Questions of each kind.
const QUESTIONS: u64 = 1_000;
/// Of these, every so many are told to the script that checks them.
const CHECKED_EVERY: u64 = 10;
const HUB_QUESTIONS: usize = 100;

/// Milliseconds.
struct Times {
    one_hop_p50: f64,
    one_hop_p99: f64,
    depth10_p50: f64,
    depth10_p95: f64,
    hub_p50: f64,
    hub_p95: f64,
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// Spread over all steps, the same in every run.
fn some_step(n: u64, steps: u64) -> u64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % steps
}

fn graph_query(location: &str, walk: Walk, max_nodes: u64) -> GraphQuery {
    GraphQuery {
        location: location.into(),
        walk,
        depth: 10,
        max_nodes,
        as_of: None,
        environment: None,
        all_runs: false,
    }
}

/// A question and its answer, for the script that checks it.
fn told_hop(location: &str, hop: &OneHop) -> Value {
    let ids = |hops: &[pudato_runtime::registry::Hop]| {
        hops.iter()
            .map(|hop| hop.step_id.clone())
            .collect::<Vec<_>>()
    };
    json!({"ask": "one_hop", "location": location, "producers": ids(&hop.producers), "consumers": ids(&hop.consumers),
        "truncated": hop.truncated})
}

fn told_graph(location: &str, walk: Walk, max_nodes: u64, graph: &Graph) -> Value {
    let name = |id: &str| {
        let node = graph.nodes.iter().find(|node| node.id() == id);
        match node {
            Some(Node::Dataset { location, .. }) => location.clone(),
            Some(Node::Step { step_id, .. }) => step_id.clone(),
            None => String::new(),
        }
    };
    let edges = graph.edges.iter();
    let edges: Vec<_> = edges
        .map(|edge| json!([name(&edge.from), name(&edge.to), edge.row_count]))
        .collect();
    json!({"ask": if walk == Walk::Upstream { "upstream" } else { "downstream" }, "location": location,
        "max_nodes": max_nodes, "edges": edges, "nodes": graph.nodes.len(), "truncated": graph.truncated})
}

async fn ask(
    store: &Arc<dyn RegistryStore>,
    steps: u64,
    answers: &mut Vec<Value>,
) -> Outcome<Times> {
    let (mut one_hop, mut depth10, mut hub) = (Vec::new(), Vec::new(), Vec::new());
    for n in 0..QUESTIONS + QUESTIONS / 10 {
        let (inputs, outputs) = names(some_step(n, steps));
        let location = &outputs[0];
        let started = Instant::now();
        let hop = store
            .one_hop(HopQuery {
                location: location.clone(),
                direction: Direction::Both,
                environment: None,
                as_of: None,
                max_nodes: 500,
            })
            .await?;
        let hop_ms = ms(started);
        // Both ways: from what a step wrote up, from what it read down. The hub is asked for below.
        let asked = if n % 2 == 0 || inputs[0] == HUB {
            (location, Walk::Upstream)
        } else {
            (&inputs[0], Walk::Downstream)
        };
        let started = Instant::now();
        let graph = store.graph(graph_query(asked.0, asked.1, 1_000)).await?;
        let graph_ms = ms(started);
        // The first tenth warms the connections up.
        if n >= QUESTIONS / 10 {
            one_hop.push(hop_ms);
            depth10.push(graph_ms);
        }
        if n % CHECKED_EVERY == 0 {
            answers.push(told_hop(location, &hop));
            answers.push(told_graph(asked.0, asked.1, 1_000, &graph));
        }
    }
    for n in 0..HUB_QUESTIONS {
        let started = Instant::now();
        let graph = store.graph(graph_query(HUB, Walk::Downstream, 500)).await?;
        hub.push(ms(started));
        if n == 0 {
            answers.push(told_graph(HUB, Walk::Downstream, 500, &graph));
        }
    }
    Ok(Times {
        one_hop_p50: percentile(&mut one_hop, 0.5),
        one_hop_p99: percentile(&mut one_hop, 0.99),
        depth10_p50: percentile(&mut depth10, 0.5),
        depth10_p95: percentile(&mut depth10, 0.95),
        hub_p50: percentile(&mut hub, 0.5),
        hub_p95: percentile(&mut hub, 0.95),
    })
}

/// Lets a script that knows nothing of pudato walk the same steps.
fn check(figures: &Figures, steps: u64, answers: &[Value]) -> Outcome<()> {
    let mut file = tempfile::NamedTempFile::new()?;
    for answer in answers {
        writeln!(file, "{answer}")?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("check_lineage.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(steps.to_string())
        .arg(file.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    figures.note(said.trim());
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the answers are wrong: {said}").into());
    }
    Ok(())
}

fn show(figures: &Figures, name: &str, steps: u64, times: &Times) {
    figures.note(&format!(
        "{name}, {steps} steps: one hop p50 {:.2} p99 {:.2} ms; depth 10 p50 {:.2} p95 {:.2} ms; hub p50 {:.2} p95 {:.2} ms",
        times.one_hop_p50,
        times.one_hop_p99,
        times.depth10_p50,
        times.depth10_p95,
        times.hub_p50,
        times.hub_p95
    ));
}

fn figure(figures: &mut Figures, name: &str, small: &Times, large: &Times) {
    figures.figure(
        &format!("lineage.{name}.one_hop_p99_ms"),
        large.one_hop_p99,
        "ms",
    );
    figures.figure(
        &format!("lineage.{name}.depth10_p95_ms"),
        large.depth10_p95,
        "ms",
    );
    figures.figure(&format!("lineage.{name}.hub_p95_ms"), large.hub_p95, "ms");
    // Medians: the tails of a noisy machine say little about growth.
    let growth = [
        large.one_hop_p50 / small.one_hop_p50,
        large.depth10_p50 / small.depth10_p50,
        large.hub_p50 / small.hub_p50,
    ];
    let growth = growth.into_iter().fold(0.0, f64::max);
    figures.figure(&format!("lineage.{name}.growth_ratio"), growth, "");
}

pub fn measure(figures: &mut Figures) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let sqlite = Sqlite::new()?;
        let mut seconds = load(&sqlite.store, 0, SMALL, LARGE).await?;
        let mut answers = Vec::new();
        let small = ask(&sqlite.store, SMALL, &mut answers).await?;
        show(figures, "SQLite", SMALL, &small);
        check(figures, SMALL, &answers)?;
        seconds += load(&sqlite.store, SMALL, LARGE, LARGE).await?;
        figures.note(&format!(
            "SQLite: {LARGE} steps, {} edges in {seconds:.0} s, {:.2} GB",
            8 * LARGE,
            sqlite.bytes() as f64 / 1e9
        ));
        let mut answers = Vec::new();
        let large = ask(&sqlite.store, LARGE, &mut answers).await?;
        show(figures, "SQLite", LARGE, &large);
        check(figures, LARGE, &answers)?;
        figure(figures, "sqlite", &small, &large);
        drop(sqlite);

        let on = OnPostgres::new().await?;
        let mut seconds = load(&on.store, 0, SMALL, LARGE).await?;
        on.analyze()?;
        let mut answers = Vec::new();
        let small = ask(&on.store, SMALL, &mut answers).await?;
        show(figures, "PostgreSQL", SMALL, &small);
        check(figures, SMALL, &answers)?;
        seconds += load(&on.store, SMALL, LARGE, LARGE).await?;
        figures.note(&format!(
            "PostgreSQL: {LARGE} steps, {} edges in {seconds:.0} s, {:.2} GB",
            8 * LARGE,
            on.bytes()? as f64 / 1e9
        ));
        on.analyze()?;
        let mut answers = Vec::new();
        let large = ask(&on.store, LARGE, &mut answers).await?;
        show(figures, "PostgreSQL", LARGE, &large);
        check(figures, LARGE, &answers)?;
        figure(figures, "postgres", &small, &large);
        Ok(())
    })
}
