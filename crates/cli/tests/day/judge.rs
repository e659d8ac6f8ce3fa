//! Judges the day: whether the honest senders lost nothing, and whether lineage agrees with the model.

use super::day::PATIENCE;
use super::model::{Edge, Model, Step};
use super::senders::Plan;
use pudato_runtime::Installation;
use pudato_runtime::protocol::{DataReference, Result as Reply, Status, decode_claim};
use pudato_runtime::registry::{
    Direction, GraphQuery, HopQuery, JobStatus, Node, StepStatus, Walk,
};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::fmt::{Debug, Display};
use std::time::{Duration, Instant};

/// The pause between two checks for something that must arrive.
const LOOK: Duration = Duration::from_millis(20);
/// More than a day has, so that nothing is cut off.
const ALL: u64 = 1_000_000;

/// A final Result in the registry.
pub struct Found {
    pub result: Reply,
    /// The Result does not count for the step that it names.
    pub is_claim: bool,
}

/// Tries until there is an answer.
///
/// # Errors
/// The description of the missing answer.
pub async fn until<T>(
    what: &str,
    look: impl AsyncFn() -> Result<Option<T>, String>,
) -> Result<T, String> {
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(format!("waited too long until {what}"))
}

/// The final Results under a correlation id.
pub async fn results(pudato: &Installation, correlation_id: &str) -> Result<Vec<Found>, String> {
    let stored = pudato.registry.results_of(correlation_id).await;
    let mut found = Vec::new();
    for stored in stored.map_err(text)? {
        let result: Reply = decode_claim(stored.body.as_bytes()).map_err(text)?;
        if result.status != Status::Pending {
            let is_claim = stored.mismatch.is_some();
            found.push(Found { result, is_claim });
        }
    }
    Ok(found)
}

/// Checks that every command of an honest sender has one Result, a success, and that none is left on a queue.
///
/// # Errors
/// The first command that fails the check.
pub async fn nothing_is_lost(pudato: &Installation, plan: &Plan) -> Result<(), String> {
    for order in &plan.orders {
        let id = &order.command.correlation_id;
        let found = results(pudato, id).await?;
        let own = found.iter().filter(|found| !found.is_claim);
        let statuses: Vec<Status> = own.map(|found| found.result.status).collect();
        same(
            &format!("the Results of {id}"),
            &vec![Status::Success],
            &statuses,
        )?;
        // Its Event may still be on its way to the history.
        until(&format!("nothing of {id} is left on a queue"), async || {
            let left = pudato.fabric.operations.find("correlation_id", id).await;
            let left = left.map_err(text)?;
            match left.iter().find(|stored| stored.dead_letter.is_some()) {
                Some(stored) => Err(format!("{id} is left on {}", stored.queue)),
                None => Ok(left.is_empty().then_some(())),
            }
        })
        .await?;
    }
    Ok(())
}

/// Checks that steps, jobs and lineage of an honest sender agree with the model.
///
/// # Errors
/// The first difference.
pub async fn lineage(pudato: &Installation, plan: &Plan) -> Result<(), String> {
    let steps = plan.orders.iter().filter_map(|order| order.step.clone());
    let model = Model {
        steps: steps.collect(),
    };
    for step in &model.steps {
        compare_step(pudato, step).await?;
    }
    for job in &plan.jobs {
        let steps = pudato.registry.get_job_steps(&job.id).await.map_err(text)?;
        let found = steps.into_iter().map(|step| step.step_id).collect();
        let expected: BTreeSet<String> = job.steps.iter().cloned().collect();
        same(&format!("the steps of {}", job.id), &expected, &found)?;
        let found = pudato.registry.get_job(&job.id).await.map_err(text)?;
        let is_done = job.is_declared && !job.steps.is_empty();
        let expected = is_done.then_some(JobStatus::Success);
        let status = found.map(|job| job.status).filter(|_| is_done);
        same(&format!("the state of {}", job.id), &expected, &status)?;
    }
    for location in model.datasets() {
        compare_hop(pudato, &model, location).await?;
        let found = upstream(pudato, location).await?;
        same(
            &format!("all that leads to {location}"),
            &model.upstream(location),
            &found,
        )?;
    }
    Ok(())
}

async fn compare_step(pudato: &Installation, step: &Step) -> Result<(), String> {
    let id = &step.id;
    let found = pudato.registry.get_step(id).await.map_err(text)?;
    let found = found.ok_or_else(|| format!("the registry has no step {id}"))?;
    let state = (found.status, found.error.clone(), found.job_id.clone());
    let expected = (StepStatus::Success, None, Some(step.job.clone()));
    same(&format!("the state of {id}"), &expected, &state)?;
    let locations = |references: &[DataReference]| -> BTreeSet<String> {
        references.iter().map(|one| one.location.clone()).collect()
    };
    let reads = step.reads.iter().cloned().collect();
    same(
        &format!("what {id} read"),
        &reads,
        &locations(&found.inputs),
    )?;
    let writes = step.writes.iter();
    let expected: BTreeSet<(String, Option<u64>, Option<u64>)> = writes
        .map(|write| (write.location.clone(), write.rows, write.changed))
        .collect();
    let count = |output: &DataReference, name| output.metadata.get(name).and_then(Value::as_u64);
    let outputs = found.outputs.iter();
    let written = outputs.map(|output| {
        let (rows, changed) = (count(output, "row_count"), count(output, "rows_changed"));
        (output.location.clone(), rows, changed)
    });
    same(&format!("what {id} wrote"), &expected, &written.collect())
}

async fn compare_hop(pudato: &Installation, model: &Model, location: &str) -> Result<(), String> {
    let query = HopQuery {
        location: location.to_owned(),
        direction: Direction::Both,
        environment: None,
        as_of: None,
        max_nodes: ALL,
    };
    let hop = pudato.registry.one_hop(query).await.map_err(text)?;
    let ids = |hops: &[pudato_runtime::registry::Hop]| -> Vec<String> {
        hops.iter().map(|hop| hop.step_id.clone()).collect()
    };
    same(
        &format!("who wrote {location}"),
        &owned(model.producers(location)),
        &ids(&hop.producers),
    )?;
    same(
        &format!("who read {location}"),
        &owned(model.consumers(location)),
        &ids(&hop.consumers),
    )
}

fn owned(ids: Vec<&str>) -> Vec<String> {
    ids.into_iter().map(str::to_owned).collect()
}

/// The upstream lineage of a dataset, as the registry's walk returns it.
async fn upstream(pudato: &Installation, location: &str) -> Result<BTreeSet<Edge>, String> {
    let query = GraphQuery {
        location: location.to_owned(),
        walk: Walk::Upstream,
        depth: ALL,
        max_nodes: ALL,
        as_of: None,
        environment: None,
        all_runs: false,
    };
    let graph = pudato.registry.graph(query).await.map_err(text)?;
    same(
        &format!("what is cut off above {location}"),
        &Value::from(false),
        &graph.truncated,
    )?;
    let names: HashMap<&str, &str> = graph
        .nodes
        .iter()
        .map(|node| {
            let name = match node {
                Node::Dataset { location, .. } => location,
                Node::Step { step_id, .. } => step_id,
            };
            (node.id(), name.as_str())
        })
        .collect();
    let name = |id: &str| names.get(id).copied().unwrap_or_default().to_owned();
    let edges = graph.edges.iter();
    Ok(edges
        .map(|edge| (name(&edge.from), name(&edge.to)))
        .collect())
}

fn same<T: PartialEq + Debug>(what: &str, expected: &T, found: &T) -> Result<(), String> {
    match expected == found {
        true => Ok(()),
        false => Err(format!("{what}: expected {expected:?}\nfound {found:?}")),
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}
