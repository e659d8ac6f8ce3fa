//! Turns dbt's artifacts into lineage: each node with the datasets that it was made from, and no others.

pub(crate) mod naming;
mod parents;
mod record;
#[cfg(test)]
mod tests;
pub(crate) mod writes;

use crate::dbt::artifacts::{Artifacts, Manifest, Node, NodeResult, PARTIAL_SUCCESS};
use crate::lineage::naming::{Naming, is_dataset, is_table, stores_failures};
use crate::lineage::writes::WriteKind;
use parents::datasets_read;
use pudato_protocol::{DataReference, ExecutionRecord};
use record::{details, details_of_test, row, rows_of, sql_of};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The lineage of a run.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    pub(crate) inputs: Vec<DataReference>,
    pub(crate) outputs: Vec<DataReference>,
    pub(crate) executions: Vec<ExecutionRecord>,
    /// `Result.data.nodes`.
    pub(crate) nodes: Vec<Value>,
}

/// Whether a node with this status was written. Skipped, reused and failed nodes were not.
fn is_written(status: &str) -> bool {
    matches!(status, "success" | PARTIAL_SUCCESS)
}

/// Whether this run wrote the dataset of a node, or the failures of a test.
fn writes(result: &NodeResult, node: &Node) -> bool {
    match node.resource_type.as_str() {
        "test" => stores_failures(node) && matches!(&*result.status, "pass" | "warn" | "fail"),
        _ => is_dataset(node) && is_written(&result.status),
    }
}

/// What the write did to the old contents (`DataReference.metadata.operation`): according to what dbt ran, or, if that cannot be seen (a model
/// in Python), according to the configuration. Anything not known to rebuild the table counts as keeping the old contents.
fn operation(node: &Node, full_refresh: bool, write: Option<WriteKind>) -> &'static str {
    let materialized = node.config.materialized.as_deref();
    match (node.resource_type.as_str(), materialized) {
        (_, Some("external")) if node.config.keeps_files() => "append",
        ("seed" | "test" | "function", _) | (_, None | Some("table" | "view" | "external")) => {
            "create"
        }
        _ if write.is_some() => write.unwrap_or(WriteKind::Changed).operation(),
        (_, Some("materialized_view" | "dynamic_table")) => "create",
        (_, Some("incremental")) => {
            let configured = node.config.full_refresh.as_ref();
            let refreshes = configured.and_then(Value::as_bool).unwrap_or(full_refresh);
            match node.config.incremental_strategy.as_deref() {
                _ if refreshes => "create",
                Some("append") => "insert",
                _ => "merge",
            }
        }
        _ => "merge",
    }
}

/// The lineage of a run. `command` is dbt's word for it; `rows` holds counts of tables whose adapter reports none.
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
    let is_run = command != "compile";
    let results = artifacts.results.results.iter();
    let made = results.filter(|result| is_written(&result.status));
    let made: BTreeSet<&str> = made.map(|result| result.unique_id.as_str()).collect();
    for result in &artifacts.results.results {
        let id = &result.unique_id;
        let node = manifest.node(id);
        let rows = rows_of(result, node).or_else(|| rows.get(id).copied());
        lineage.nodes.push(row(result, rows));
        let Some(node) = node else {
            // A unit test contains its inputs and reads no dataset. Other results without a node are exposures and saved queries, which do
            // nothing.
            if manifest.unit_tests.contains_key(id) {
                let details = details_of_test(result, "unit_test", manifest, naming);
                let record = ExecutionRecord::new("dbt", details);
                lineage.executions.push(record);
            }
            continue;
        };
        let ran = is_run && result.status != "skipped";
        let mut details = details(result, node, manifest, naming, rows);
        if ran {
            let mut from: Vec<DataReference> = datasets_read(manifest, id, &made)
                .iter()
                .flat_map(|parent| naming.read(manifest, parent, sql_of(result, node)))
                .collect();
            if node.resource_type == "seed" {
                from.push(naming.seed(manifest, node));
            }
            if writes(result, node) {
                let write = artifacts.writes.get(id).copied();
                let operation = operation(node, full_refresh, write);
                let mut output = naming
                    .node(node)
                    .with("operation", operation)
                    .with("from", locations(&from));
                // An adapter counts the rows of its last statement: all rows of a new table, but of a merge only an unknown part.
                let counted = match (operation, rows_of(result, Some(node))) {
                    ("create", _) | (_, None) => rows.map(|rows| ("row_count", rows)),
                    ("insert", Some(added)) => Some(("rows_changed", added)),
                    (_, Some(_)) => None,
                };
                if let Some((name, rows)) = counted {
                    output = output.with(name, rows);
                }
                lineage.outputs.push(output);
            }
            // A node that failed, or only checked something, has read its inputs as well.
            if !matches!(result.status.as_str(), "no-op" | "reused") {
                read.extend(from.into_iter().map(|one| (one.location.clone(), one)));
            }
        } else if !is_run {
            details.insert("compiled".into(), true.into());
        }
        let record = ExecutionRecord::new("dbt", details);
        lineage.executions.push(record);
    }
    let exposures = exposures(manifest, naming, &made, &lineage.outputs);
    lineage.outputs.extend(exposures);
    // Datasets that the same run wrote are not among its inputs.
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

/// The exposures, such as dashboards, of the datasets that this run wrote.
fn exposures(
    manifest: &Manifest,
    naming: &Naming<'_>,
    made: &BTreeSet<&str>,
    outputs: &[DataReference],
) -> Vec<DataReference> {
    let is_new = |one: &DataReference| outputs.iter().any(|output| output.location == one.location);
    let exposures = manifest.exposures.iter().filter_map(|(id, exposure)| {
        let from = datasets_read(manifest, id, made);
        let from = from
            .iter()
            .filter_map(|parent| naming.parent(manifest, parent));
        let from: Vec<DataReference> = from.collect();
        if !from.iter().any(is_new) {
            return None;
        }
        let mut reference = naming.exposure(exposure).with("from", locations(&from));
        for (name, value) in [("exposure_type", &exposure.kind), ("url", &exposure.url)] {
            if let Some(value) = value {
                reference = reference.with(name, value.as_str());
            }
        }
        Some(reference)
    });
    exposures.collect()
}

fn locations(from: &[DataReference]) -> Vec<Value> {
    from.iter()
        .map(|one| one.location.as_str().into())
        .collect()
}
/// Written tables whose adapter reports no row count, with their ids and names.
pub(crate) fn uncounted(artifacts: &Artifacts) -> Vec<(String, [String; 3])> {
    let manifest = &artifacts.manifest;
    let results = artifacts.results.results.iter();
    results
        .filter_map(|result| {
            let node = manifest.node(&result.unique_id)?;
            if !writes(result, node) || rows_of(result, Some(node)).is_some() {
                return None;
            }
            let name = node.alias.as_deref().unwrap_or(&node.name).to_owned();
            let (database, schema) = (node.database.clone()?, node.schema.clone()?);
            is_table(node).then(|| (result.unique_id.clone(), [database, schema, name]))
        })
        .collect()
}
