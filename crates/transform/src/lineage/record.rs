//! The execution record of a node: what dbt ran for it, and how that ended.

use super::is_written;
use super::parents::parents;
use crate::dbt::artifacts::{Manifest, Node, NodeResult};
use crate::lineage::naming::{Naming, is_dataset, stores_failures};
use crate::lineage::writes::may_write;
use pudato_protocol::Object;
use serde_json::{Value, json};

/// The number of rows that the adapter reports as written. For a test, it reports only the one row with the number of failures.
pub(super) fn rows_of(result: &NodeResult, node: Option<&Node>) -> Option<u64> {
    if node.is_some_and(|node| node.resource_type == "test") {
        return None;
    }
    let rows = result.adapter_response.get("rows_affected")?;
    // Some adapters report -1 for an unknown number.
    rows.as_u64()
}

pub(super) fn row(result: &NodeResult, rows: Option<u64>) -> Value {
    json!({
        "unique_id": result.unique_id, "status": result.status, "seconds": seconds(result), "rows": rows,
    })
}

/// Rounded to milliseconds.
fn seconds(result: &NodeResult) -> f64 {
    (result.execution_time * 1_000.0).round() / 1_000.0
}

/// The compiled SQL of a node.
pub(super) fn sql_of<'a>(result: &'a NodeResult, node: &'a Node) -> Option<&'a str> {
    let compiled = result.compiled_code.as_deref();
    compiled.or(node.compiled_code.as_deref())
}

/// The execution record of a node.
pub(super) fn details(
    result: &NodeResult,
    node: &Node,
    manifest: &Manifest,
    naming: &Naming<'_>,
    rows: Option<u64>,
) -> Object {
    let kind = node.resource_type.as_str();
    let mut details = match kind {
        "test" => details_of_test(result, kind, manifest, naming),
        _ => details_of(result, kind, naming),
    };
    set(&mut details, "row_count", json!(rows));
    set(&mut details, "column", json!(node.column_name));
    if !details.contains_key("query") {
        set(&mut details, "query", json!(node.compiled_code));
    }
    if is_dataset(node) || stores_failures(node) {
        let dataset = naming.node(node).location;
        set(&mut details, "dataset", dataset.into());
    }
    let missing = missing(result, node, manifest, naming);
    if !missing.is_empty() {
        set(&mut details, "lineage", "partial".into());
        set(&mut details, "lineage_missing", missing.join("; ").into());
    }
    details
}

/// What a node read or wrote that dbt does not report.
fn missing(
    result: &NodeResult,
    node: &Node,
    manifest: &Manifest,
    naming: &Naming<'_>,
) -> Vec<String> {
    let mut missing = Vec::new();
    let is_hook = node.resource_type == "operation";
    let own = node.compiled_code.as_deref().filter(|_| is_hook);
    if node.config.hooks().chain(own).any(may_write) {
        let what = "what its hooks write, and what they read without ref() and source()";
        missing.push(what.to_owned());
    }
    for parent in parents(manifest, &result.unique_id) {
        let is_source = manifest.sources.contains_key(&parent);
        if is_source && naming.parent(manifest, &parent).is_none() {
            missing.push(format!("{parent}, which is not a single file"));
        }
    }
    missing
}

/// The execution record of a test, with the datasets that it checks.
pub(super) fn details_of_test(
    result: &NodeResult,
    kind: &str,
    manifest: &Manifest,
    naming: &Naming<'_>,
) -> Object {
    let id = &result.unique_id;
    let attached = manifest.node(id);
    // A test of a column names its model. A test with its own SQL checks everything that it reads, and a unit test checks its model.
    let about: Vec<String> = match attached.and_then(|node| node.attached_node.clone()) {
        Some(attached) => vec![attached],
        None => parents(manifest, id).into_iter().collect(),
    };
    let sql = attached.and_then(|node| sql_of(result, node));
    let datasets = about.iter().flat_map(|id| naming.read(manifest, id, sql));
    let datasets: Vec<Value> = datasets.map(|one| one.location.into()).collect();
    let mut details = details_of(result, kind, naming);
    set(&mut details, "failures", json!(result.failures));
    // A unit test checks a model's SQL with its own rows, and no data.
    let about = if kind == "unit_test" {
        "models"
    } else {
        "tests"
    };
    set(&mut details, about, datasets.into());
    details
}

fn details_of(result: &NodeResult, kind: &str, naming: &Naming<'_>) -> Object {
    let mut details = Object::new();
    let mut set = |name: &str, value: Value| set(&mut details, name, value);
    set("unique_id", result.unique_id.as_str().into());
    set("resource_type", kind.into());
    set("status", result.status.as_str().into());
    set("seconds", seconds(result).into());
    set("dialect", naming.adapter.into());
    // The same name as in the query service.
    set("query", json!(result.compiled_code));
    set("batches", json!(result.batch_results));
    if !is_written(&result.status) {
        set("message", json!(result.message));
    }
    details
}

/// Leaves out unknown values.
fn set(details: &mut Object, name: &str, value: Value) {
    if !value.is_null() {
        details.insert(name.into(), value);
    }
}
