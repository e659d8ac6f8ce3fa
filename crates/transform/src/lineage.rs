//! Artifacts as lineage: each node with the datasets that it was made from, and no others.

use crate::artifacts::{Artifacts, Manifest, Node, NodeResult};
use pudato_protocol::{DataReference, Dataset, ExecutionRecord, Object};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How names are made.
pub(crate) struct Naming<'a> {
    /// The warehouse, e.g. `duckdb:///w.duckdb`.
    pub(crate) namespace: &'a str,
    /// dbt's adapter.
    pub(crate) adapter: &'a str,
    /// The project's folder.
    pub(crate) project: &'a Path,
    /// Where the project came from, where it is of a repository: its files are named by it, and not by where this copy lies.
    pub(crate) repository: Option<&'a str>,
}

/// What a run read and wrote.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    pub(crate) inputs: Vec<DataReference>,
    pub(crate) outputs: Vec<DataReference>,
    pub(crate) executions: Vec<ExecutionRecord>,
    /// `Result.data.nodes`.
    pub(crate) nodes: Vec<Value>,
}

/// Kinds of nodes that are datasets.
const DATASETS: [&str; 3] = ["model", "seed", "snapshot"];

impl Naming<'_> {
    fn table(&self, database: Option<&str>, schema: Option<&str>, name: &str) -> Dataset {
        let parts: Vec<&str> = [database, schema, Some(name)]
            .into_iter()
            .flatten()
            .collect();
        Dataset::table(self.namespace, &parts)
    }

    fn node(&self, node: &Node) -> Dataset {
        let name = node.alias.as_deref().unwrap_or(&node.name);
        self.table(node.database.as_deref(), node.schema.as_deref(), name)
    }

    /// The CSV file of a seed.
    fn file(&self, node: &Node) -> Dataset {
        match self.repository {
            Some(repository) => Dataset {
                namespace: repository.to_owned(),
                name: node.original_file_path.clone(),
            },
            None => {
                let root = node.root_path.as_deref().map(Path::new);
                let path = root.unwrap_or(self.project).join(&node.original_file_path);
                let path = path.canonicalize().unwrap_or(path);
                Dataset::file(&path.display().to_string())
            }
        }
    }

    /// The dataset that a parent is, with the kind of reference; `None` where it is none.
    fn parent(&self, manifest: &Manifest, id: &str) -> Option<DataReference> {
        if let Some(source) = manifest.sources.get(id) {
            let (database, schema) = (source.database.as_deref(), source.schema.as_deref());
            let dataset = self.table(database, schema, &source.identifier);
            return Some(DataReference::new("table", dataset.location()));
        }
        let node = manifest.nodes.get(id)?;
        let is_dataset = DATASETS.contains(&node.resource_type.as_str());
        is_dataset.then(|| DataReference::new(kind(node), self.node(node).location()))
    }
}

/// `table` or `view`.
fn kind(node: &Node) -> &'static str {
    match node.config.materialized.as_deref() {
        Some("view") => "view",
        _ => "table",
    }
}

/// The parents of a node that are datasets. What is between (an ephemeral model) is none: its own parents are.
pub(crate) fn parents(manifest: &Manifest, id: &str) -> BTreeSet<String> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        for parent in manifest.parent_map.get(id).into_iter().flatten() {
            if !seen.insert(parent.as_str()) {
                continue;
            }
            let node = manifest.nodes.get(parent);
            let materialized = node.and_then(|node| node.config.materialized.as_deref());
            if materialized == Some("ephemeral") {
                open.push(parent);
            } else {
                found.insert(parent.clone());
            }
        }
    }
    found
}

/// Whether a node with this status was written: what was skipped, reused or failed was not.
fn is_written(status: &str) -> bool {
    matches!(status, "success" | "partial success")
}

/// What writing it did to what was there (`DataReference.metadata.operation`).
fn operation(node: &Node, full_refresh: bool) -> &'static str {
    let is_incremental = node.config.materialized.as_deref() == Some("incremental");
    match node.resource_type.as_str() {
        "snapshot" => "merge",
        _ if !is_incremental || full_refresh => "create",
        _ => match node.config.incremental_strategy.as_deref() {
            Some("append" | "insert_overwrite" | "microbatch") => "insert",
            _ => "merge",
        },
    }
}

/// What the run did; `command` is dbt's, `rows` what was counted of tables whose adapter counts none.
pub(crate) fn of_run(
    artifacts: &Artifacts,
    naming: &Naming<'_>,
    command: &str,
    full_refresh: bool,
    rows: &BTreeMap<String, u64>,
) -> Lineage {
    let manifest = &artifacts.manifest;
    let mut lineage = Lineage::default();
    let mut read: BTreeMap<String, DataReference> = BTreeMap::new();
    let writes = command != "compile";
    for result in &artifacts.results.results {
        let Some(node) = manifest.nodes.get(&result.unique_id) else {
            // A kind of node that has no dataset: an operation, a function.
            lineage.nodes.push(row(result, None));
            continue;
        };
        let is_dataset = DATASETS.contains(&node.resource_type.as_str());
        let rows = rows_of(result).or_else(|| rows.get(&result.unique_id).copied());
        let ran = writes && result.status != "skipped";
        let mut details = details(result, node, naming, rows);
        if ran {
            let mut from: Vec<DataReference> = parents(manifest, &result.unique_id)
                .iter()
                .filter_map(|parent| naming.parent(manifest, parent))
                .collect();
            if node.resource_type == "seed" {
                from.push(DataReference::new("file", naming.file(node).location()).format("csv"));
            }
            if is_dataset && is_written(&result.status) {
                let mut output = DataReference::new(kind(node), naming.node(node).location())
                    .with("operation", operation(node, full_refresh))
                    .with("from", locations(&from));
                if let Some(rows) = rows {
                    output = output.with("row_count", rows);
                }
                lineage.outputs.push(output);
            }
            // What failed or only looked has read all the same.
            if !matches!(result.status.as_str(), "no-op" | "reused") {
                read.extend(from.into_iter().map(|one| (one.location.clone(), one)));
            }
        } else if !writes {
            details.insert("compiled".into(), true.into());
        }
        lineage
            .executions
            .push(ExecutionRecord::new("dbt", details));
        lineage.nodes.push(row(result, rows));
    }
    // What the same run wrote it did not read from before.
    let written: BTreeSet<&str> = lineage
        .outputs
        .iter()
        .map(|one| one.location.as_str())
        .collect();
    let is_foreign = |location: &String| !written.contains(location.as_str());
    lineage.inputs = read
        .into_iter()
        .filter(|(location, _)| is_foreign(location))
        .map(|(_, reference)| reference)
        .collect();
    lineage
}

fn locations(from: &[DataReference]) -> Vec<Value> {
    from.iter()
        .map(|one| one.location.as_str().into())
        .collect()
}

/// Rows that the adapter says it wrote.
fn rows_of(result: &NodeResult) -> Option<u64> {
    let rows = result.adapter_response.get("rows_affected")?;
    // Some say -1 where they do not know.
    rows.as_u64()
}

fn row(result: &NodeResult, rows: Option<u64>) -> Value {
    json!({
        "unique_id": result.unique_id, "status": result.status, "seconds": seconds(result), "rows": rows,
    })
}

/// To the millisecond.
fn seconds(result: &NodeResult) -> f64 {
    (result.execution_time * 1_000.0).round() / 1_000.0
}

/// What was executed for a node.
fn details(result: &NodeResult, node: &Node, naming: &Naming<'_>, rows: Option<u64>) -> Object {
    let mut details = Object::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            details.insert(name.into(), value);
        }
    };
    set("unique_id", result.unique_id.as_str().into());
    set("resource_type", node.resource_type.as_str().into());
    set("status", result.status.as_str().into());
    set("seconds", seconds(result).into());
    set("dialect", naming.adapter.into());
    set("row_count", json!(rows));
    let sql = result
        .compiled_code
        .as_ref()
        .or(node.compiled_code.as_ref());
    // As the query service calls it.
    set("query", json!(sql));
    if DATASETS.contains(&node.resource_type.as_str()) {
        set("dataset", naming.node(node).location().into());
    }
    if !is_written(&result.status) {
        set("message", json!(result.message));
    }
    if matches!(node.resource_type.as_str(), "test" | "unit_test") {
        set("failures", json!(result.failures));
        set("column", json!(node.column_name));
    }
    details
}

/// Records tests against the datasets that they are about.
pub(crate) fn attach_tests(lineage: &mut Lineage, artifacts: &Artifacts, naming: &Naming<'_>) {
    let manifest = &artifacts.manifest;
    for record in &mut lineage.executions {
        let id = record.details.get("unique_id").and_then(Value::as_str);
        let Some((id, node)) = id.and_then(|id| Some((id, manifest.nodes.get(id)?))) else {
            continue;
        };
        if node.resource_type != "test" {
            continue;
        }
        // A test of a column says what it is about; one that is SQL of its own is about all that it reads.
        let about: Vec<String> = match &node.attached_node {
            Some(attached) => vec![attached.clone()],
            None => parents(manifest, id).into_iter().collect(),
        };
        let datasets = about.iter().filter_map(|id| naming.parent(manifest, id));
        let datasets: Vec<Value> = datasets.map(|one| one.location.into()).collect();
        record.details.insert("tests".into(), datasets.into());
    }
}

/// Tables that were written and whose adapter does not say their rows: each by its id and name.
pub(crate) fn uncounted(artifacts: &Artifacts) -> Vec<(String, [String; 3])> {
    let manifest = &artifacts.manifest;
    let written = artifacts
        .results
        .results
        .iter()
        .filter(|result| is_written(&result.status));
    written
        .filter(|result| rows_of(result).is_none())
        .filter_map(|result| {
            let node = manifest.nodes.get(&result.unique_id)?;
            let is_table = DATASETS.contains(&node.resource_type.as_str()) && kind(node) == "table";
            let name = node.alias.as_deref().unwrap_or(&node.name).to_owned();
            let (database, schema) = (node.database.clone()?, node.schema.clone()?);
            is_table.then(|| (result.unique_id.clone(), [database, schema, name]))
        })
        .collect()
}
