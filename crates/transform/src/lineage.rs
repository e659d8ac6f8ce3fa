//! Artifacts as lineage: each node with the datasets that it was made from, and no others.

use crate::artifacts::{Artifacts, Manifest, Node, NodeResult, PARTIAL_SUCCESS};
use crate::deeds::{Deed, may_write};
use crate::naming::{Naming, is_dataset, is_table, stores_failures};
use pudato_protocol::{DataReference, ExecutionRecord, Object};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a run read and wrote.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    pub(crate) inputs: Vec<DataReference>,
    pub(crate) outputs: Vec<DataReference>,
    pub(crate) executions: Vec<ExecutionRecord>,
    /// `Result.data.nodes`.
    pub(crate) nodes: Vec<Value>,
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
            let node = manifest.node(parent);
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

/// The datasets that a node reads: its parents, and the datasets behind parents that are views from an earlier run. A view shows the data
/// that is there now, not the data from when it was created.
fn behind(manifest: &Manifest, id: &str, made: &BTreeSet<&str>) -> BTreeSet<String> {
    let mut found = parents(manifest, id);
    let mut open: Vec<String> = found.iter().cloned().collect();
    while let Some(id) = open.pop() {
        let node = manifest.node(&id);
        let materialized = node.and_then(|node| node.config.materialized.as_deref());
        if materialized != Some("view") || made.contains(&*id) {
            continue;
        }
        let new = parents(manifest, &id);
        open.extend(
            new.into_iter()
                .filter(|parent| found.insert(parent.clone())),
        );
    }
    found
}

/// Whether a node with this status was written: what was skipped, reused or failed was not.
fn is_written(status: &str) -> bool {
    matches!(status, "success" | PARTIAL_SUCCESS)
}

/// Whether this run wrote what a node is: a dataset, or what a test found.
fn writes(result: &NodeResult, node: &Node) -> bool {
    match node.resource_type.as_str() {
        "test" => stores_failures(node) && matches!(&*result.status, "pass" | "warn" | "fail"),
        _ => is_dataset(node) && is_written(&result.status),
    }
}

/// What the write did to the old contents (`DataReference.metadata.operation`): according to what dbt ran, or, if that cannot be seen (a model
/// in Python), according to the configuration. Anything not known to rebuild the table counts as keeping the old contents.
fn operation(node: &Node, full_refresh: bool, deed: Option<Deed>) -> &'static str {
    let materialized = node.config.materialized.as_deref();
    match (node.resource_type.as_str(), materialized) {
        (_, Some("external")) if node.config.keeps_files() => "append",
        ("seed" | "test" | "function", _) | (_, None | Some("table" | "view" | "external")) => {
            "create"
        }
        _ if deed.is_some() => deed.unwrap_or(Deed::Changed).operation(),
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
            // A unit test reads no dataset: its inputs are written into it. Others are an exposure or a saved query, which do nothing.
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
            let mut from: Vec<DataReference> = behind(manifest, id, &made)
                .iter()
                .flat_map(|parent| naming.read(manifest, parent, sql_of(result, node)))
                .collect();
            if node.resource_type == "seed" {
                from.push(naming.seed(manifest, node));
            }
            if writes(result, node) {
                let deed = artifacts.deeds.get(id).copied();
                let operation = operation(node, full_refresh, deed);
                let mut output = naming
                    .node(node)
                    .with("operation", operation)
                    .with("from", locations(&from));
                // An adapter counts what its last statement wrote: all rows of what was made anew, and of a merge nobody knows which.
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
            // What failed or only looked has read all the same.
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

/// The exposures of what this run wrote, such as dashboards, whatever else the run did.
fn exposures(
    manifest: &Manifest,
    naming: &Naming<'_>,
    made: &BTreeSet<&str>,
    outputs: &[DataReference],
) -> Vec<DataReference> {
    let is_new = |one: &DataReference| outputs.iter().any(|output| output.location == one.location);
    let exposures = manifest.exposures.iter().filter_map(|(id, exposure)| {
        let from = behind(manifest, id, made);
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

/// Rows that the adapter reports as written. For a test, it reports only the one row that counts the failures.
fn rows_of(result: &NodeResult, node: Option<&Node>) -> Option<u64> {
    if node.is_some_and(|node| node.resource_type == "test") {
        return None;
    }
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

/// What was run for a node, as it was compiled.
fn sql_of<'a>(result: &'a NodeResult, node: &'a Node) -> Option<&'a str> {
    let compiled = result.compiled_code.as_deref();
    compiled.or(node.compiled_code.as_deref())
}

/// What was executed for a node.
fn details(
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

/// What was executed for a test, with the datasets that it is about.
fn details_of_test(
    result: &NodeResult,
    kind: &str,
    manifest: &Manifest,
    naming: &Naming<'_>,
) -> Object {
    let id = &result.unique_id;
    let attached = manifest.node(id);
    // A test of a column says what it is about; one that is SQL of its own is about all that it reads, a unit test about its model.
    let about: Vec<String> = match attached.and_then(|node| node.attached_node.clone()) {
        Some(attached) => vec![attached],
        None => parents(manifest, id).into_iter().collect(),
    };
    let sql = attached.and_then(|node| sql_of(result, node));
    let datasets = about.iter().flat_map(|id| naming.read(manifest, id, sql));
    let datasets: Vec<Value> = datasets.map(|one| one.location.into()).collect();
    let mut details = details_of(result, kind, naming);
    set(&mut details, "failures", json!(result.failures));
    // A unit test is about a model's SQL, on rows of its own, and about no data.
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
    // As the query service calls it.
    set("query", json!(result.compiled_code));
    set("batches", json!(result.batch_results));
    if !is_written(&result.status) {
        set("message", json!(result.message));
    }
    details
}

/// Nothing is said of what is not known.
fn set(details: &mut Object, name: &str, value: Value) {
    if !value.is_null() {
        details.insert(name.into(), value);
    }
}

/// Tables that were written and whose adapter does not say their rows: each by its id and name.
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A seed, a source, tables made of them through what is ephemeral, a snapshot, and tests.
    fn manifest() -> Value {
        let node = |kind: &str, name: &str, config: Value| {
            json!({"resource_type": kind, "database": "w", "schema": "main", "name": name, "config": config,
                "original_file_path": format!("{kind}s/{name}"), "compiled_code": "select 1"})
        };
        let (table, ephemeral) = (
            json!({"materialized": "table"}),
            json!({"materialized": "ephemeral"}),
        );
        let mut attached = node("test", "unique_a", json!({}));
        attached["attached_node"] = "model.p.a".into();
        attached["column_name"] = "n".into();
        json!({
            "metadata": {"invocation_id": "i", "project_name": "p"},
            "nodes": {
                "seed.p.s": node("seed", "s.csv", json!({"materialized": "seed"})),
                "model.p.e1": node("model", "e1", ephemeral.clone()),
                "model.p.e2": node("model", "e2", ephemeral),
                "model.p.a": node("model", "a", table.clone()),
                "model.p.v": node("model", "v", json!({"materialized": "view"})),
                "model.p.b": node("model", "b", table),
                "model.p.grown": node("model", "grown", json!({"materialized": "incremental"})),
                "model.p.added": node("model", "added", json!({"materialized": "incremental", "incremental_strategy": "append"})),
                "snapshot.p.old": node("snapshot", "old", json!({"materialized": "snapshot"})),
                "test.p.unique_a": attached,
                "test.p.free": node("test", "free", json!({})),
            },
            "sources": {"source.p.raw.t": {"database": "w", "schema": "raw", "identifier": "t"}},
            "unit_tests": {"unit_test.p.b.works": {"name": "works", "model": "b"}},
            "parent_map": {
                "model.p.e1": ["seed.p.s", "source.p.raw.t"],
                "model.p.e2": ["model.p.e1", "model.p.a"],
                "model.p.a": ["model.p.e1"],
                "model.p.v": ["model.p.a"],
                "model.p.b": ["model.p.e2", "model.p.e1", "macro.p.m"],
                "model.p.grown": ["model.p.b"],
                "model.p.added": ["snapshot.p.old"],
                "snapshot.p.old": ["model.p.v"],
                "test.p.unique_a": ["model.p.a", "model.p.b"],
                "test.p.free": ["model.p.e2"],
                "unit_test.p.b.works": ["model.p.b"],
            },
        })
    }

    fn run(results: Value, command: &str, full_refresh: bool) -> Lineage {
        run_of(manifest(), results, command, full_refresh)
    }

    fn run_of(manifest: Value, results: Value, command: &str, full_refresh: bool) -> Lineage {
        let results = json!({"metadata": {"invocation_id": "i"}, "results": results});
        let artifacts = Artifacts {
            manifest: serde_json::from_value(manifest).expect("a manifest"),
            results: serde_json::from_value(results).expect("results"),
            deeds: BTreeMap::new(),
        };
        let naming = Naming {
            namespace: "duckdb:///w",
            adapter: "duckdb",
            attached: &[],
            project: Path::new("/p"),
            repository: None,
        };
        let rows = BTreeMap::from([("model.p.a".to_owned(), 7)]);
        of_run(&artifacts, &naming, command, full_refresh, &rows)
    }

    fn all(status: &str, ids: &[&str]) -> Value {
        let all = ids.iter();
        all.map(|id| json!({"unique_id": id, "status": status, "execution_time": 0.25}))
            .collect()
    }

    fn short(location: &str) -> &str {
        location.rsplit(['#', '/']).next().unwrap_or(location)
    }

    fn names(references: &[DataReference]) -> Vec<&str> {
        references.iter().map(|one| short(&one.location)).collect()
    }

    /// What each output was made from.
    fn pairs(lineage: &Lineage) -> Value {
        let pairs = lineage.outputs.iter().map(|output| {
            let from = output.metadata["from"].as_array().expect("a list");
            let from: Vec<&str> = from.iter().filter_map(Value::as_str).map(short).collect();
            (short(&output.location).to_owned(), json!(from))
        });
        Value::Object(pairs.collect())
    }

    #[test]
    fn each_output_has_the_datasets_behind_its_parents_and_no_others() {
        let ids = [
            "seed.p.s",
            "model.p.a",
            "model.p.v",
            "model.p.b",
            "model.p.grown",
            "snapshot.p.old",
            "model.p.added",
        ];
        let lineage = run(all("success", &ids), "build", false);
        let expected = json!({
            "w.main.\"s.csv\"": ["s.csv"],
            "w.main.a": ["w.main.\"s.csv\"", "w.raw.t"],
            "w.main.v": ["w.main.a"],
            "w.main.b": ["w.main.a", "w.main.\"s.csv\"", "w.raw.t"],
            "w.main.grown": ["w.main.b"],
            "w.main.old": ["w.main.v"],
            "w.main.added": ["w.main.old"],
        });
        assert_eq!(pairs(&lineage), expected);
        // What the same run wrote it did not read from before.
        assert_eq!(names(&lineage.inputs), ["w.raw.t", "s.csv"]);
        let output = |name: &str| {
            let found = lineage
                .outputs
                .iter()
                .find(|one| short(&one.location) == name);
            found.expect(name)
        };
        let operations = ["w.main.a", "w.main.grown", "w.main.added", "w.main.old"]
            .map(|name| output(name).metadata["operation"].clone());
        assert_eq!(operations, ["create", "merge", "insert", "merge"]);
        assert_eq!(output("w.main.a").metadata["row_count"], 7);
        assert_eq!(output("w.main.v").ref_type, "view");
        let refreshed = run(all("success", &["model.p.grown"]), "run", true);
        assert_eq!(refreshed.outputs[0].metadata["operation"], "create");
        assert_eq!(names(&refreshed.inputs), ["w.main.b"]);
    }

    #[test]
    fn a_table_is_new_where_dbt_made_it_and_where_nobody_knows_it_keeps_what_it_had() {
        let node = |kind: &str, config: Value| -> Node {
            let node = json!({"resource_type": kind, "config": config});
            serde_json::from_value(node).expect("a node")
        };
        let incremental = |more: Value| {
            let mut config = json!({"materialized": "incremental"});
            for (name, value) in more.as_object().expect("an object") {
                config[name] = value.clone();
            }
            node("model", config)
        };
        let kind = |materialized: &str| node("model", json!({"materialized": materialized}));
        let (plain, made, added) = (incremental(json!({})), Some(Deed::Made), Some(Deed::Added));
        for (node, flag, deed, expected) in [
            (&plain, false, made, "create"),
            (&plain, true, added, "insert"),
            (&plain, true, None, "create"),
            (&plain, false, None, "merge"),
            (
                &incremental(json!({"full_refresh": false})),
                true,
                None,
                "merge",
            ),
            (
                &incremental(json!({"full_refresh": true})),
                false,
                None,
                "create",
            ),
            (
                &incremental(json!({"incremental_strategy": "append"})),
                false,
                None,
                "insert",
            ),
            (
                &incremental(json!({"incremental_strategy": "microbatch"})),
                false,
                None,
                "merge",
            ),
            (
                &node("snapshot", json!({"materialized": "snapshot"})),
                true,
                None,
                "merge",
            ),
            (
                &node("snapshot", json!({"materialized": "snapshot"})),
                false,
                made,
                "create",
            ),
            (&kind("table"), false, Some(Deed::Changed), "create"),
            (&kind("materialized_view"), false, None, "create"),
            (&kind("of_my_own"), true, None, "merge"),
            (&kind("of_my_own"), false, made, "create"),
            (&kind("external"), false, None, "create"),
            (
                &node(
                    "model",
                    json!({"materialized": "external", "options": {"APPEND": true}}),
                ),
                false,
                None,
                "append",
            ),
        ] {
            assert_eq!(
                operation(node, flag, deed),
                expected,
                "{node:?} {flag} {deed:?}"
            );
        }
    }

    #[test]
    fn a_view_that_was_made_before_shows_what_is_there_now() {
        // b reads v, which reads a.
        let mut project = manifest();
        project["parent_map"]["model.p.b"] = json!(["model.p.v"]);
        project["exposures"] = json!({"exposure.p.board": {"name": "board", "package_name": "p"}});
        project["parent_map"]["exposure.p.board"] = json!(["model.p.v"]);
        let run = |ids: &[&str]| run_of(project.clone(), all("success", ids), "run", false);
        assert_eq!(
            pairs(&run(&["model.p.b"])),
            json!({"w.main.b": ["w.main.a", "w.main.v"]})
        );
        let both = run(&["model.p.v", "model.p.b"]);
        let expected = json!({
            "w.main.v": ["w.main.a"], "w.main.b": ["w.main.v"], "exposure.board": ["w.main.v"],
        });
        assert_eq!(pairs(&both), expected);
        // Who uses the view sees the new table.
        let table = run(&["model.p.a"]);
        assert_eq!(
            pairs(&table)["exposure.board"],
            json!(["w.main.a", "w.main.v"])
        );
    }

    #[test]
    fn what_was_not_written_is_no_output_and_what_was_not_read_is_no_input() {
        // Each by its status: whether it was written, and whether it was read for.
        for (status, is_written, has_read) in [
            ("success", true, true),
            ("partial success", true, true),
            ("error", false, true),
            ("no-op", false, false),
            ("reused", false, false),
            ("skipped", false, false),
        ] {
            let lineage = run(all(status, &["model.p.v"]), "run", false);
            assert_eq!(lineage.outputs.len(), usize::from(is_written), "{status}");
            assert_eq!(lineage.inputs.len(), usize::from(has_read), "{status}");
            assert_eq!(lineage.nodes[0]["status"], status);
            assert_eq!(lineage.executions[0].details["status"], status);
        }
        let compiled = run(all("success", &["model.p.v"]), "compile", false);
        assert!(compiled.outputs.is_empty() && compiled.inputs.is_empty());
        assert_eq!(compiled.executions[0].details["compiled"], true);
        // What is no node of the manifest's is listed, and is no lineage.
        let hook = run(all("success", &["operation.p.hook"]), "run", false);
        assert_eq!((hook.nodes.len(), hook.executions.len()), (1, 0));
    }

    #[test]
    fn tests_are_recorded_against_what_they_are_about() {
        let results = json!([
            {"unique_id": "test.p.unique_a", "status": "warn", "failures": 2, "message": "Got 2 results"},
            {"unique_id": "test.p.free", "status": "pass", "failures": 0},
            {"unique_id": "unit_test.p.b.works", "status": "fail", "failures": 1, "message": "actual differs", "compiled_code": "select 2"},
        ]);
        let lineage = run(results, "test", false);
        assert!(lineage.outputs.is_empty());
        let details = |n: usize| &lineage.executions[n].details;
        let about = |n: usize| {
            let field = if n == 2 { "models" } else { "tests" };
            let about = details(n)[field].as_array().expect("a list");
            let about = about.iter().filter_map(Value::as_str).map(short);
            about.collect::<Vec<_>>()
        };
        assert_eq!(about(0), ["w.main.a"], "its own, not all that it reads");
        assert_eq!(details(0)["column"], "n");
        assert_eq!(details(0)["message"], "Got 2 results");
        assert_eq!(details(0)["query"], "select 1");
        assert_eq!(about(1), ["w.main.a", "w.main.\"s.csv\"", "w.raw.t"]);
        assert_eq!(about(2), ["w.main.b"]);
        assert_eq!(details(2)["resource_type"], "unit_test");
        assert!(!details(2).contains_key("tests"), "it is about no data");
        assert_eq!(
            (&details(2)["status"], &details(2)["failures"]),
            (&json!("fail"), &json!(1))
        );
        assert_eq!(details(2)["message"], "actual differs");
        assert_eq!(details(2)["query"], "select 2");
        assert_eq!(lineage.nodes.len(), 3);
        // A unit test reads what is written into it, and no dataset.
        assert!(!names(&lineage.inputs).contains(&"w.main.b.works"));
        assert!(
            lineage
                .executions
                .iter()
                .all(|one| one.execution_type == "dbt")
        );
    }

    #[test]
    fn what_an_adapter_counted_is_all_of_a_dataset_only_where_that_was_made_anew() {
        let ids = [
            "model.p.a",
            "model.p.grown",
            "model.p.added",
            "snapshot.p.old",
        ];
        let mut results = all("success", &ids);
        for result in results.as_array_mut().expect("a list") {
            result["adapter_response"] = json!({"rows_affected": 5});
        }
        let lineage = run(results, "build", false);
        let counts = lineage.outputs.iter().map(|output| {
            let count = |name: &str| output.metadata.get(name).and_then(Value::as_u64);
            let operation = output.metadata["operation"].as_str().expect("a word");
            (operation, count("row_count"), count("rows_changed"))
        });
        let counts: Vec<_> = counts.collect();
        let right = [
            ("create", Some(5), None),
            ("merge", None, None),
            ("insert", None, Some(5)),
            ("merge", None, None),
        ];
        assert_eq!(counts, right);
    }
}
