//! Lineage of a small project, run in several ways.

use super::*;
use crate::dbt::artifacts::Node;
use serde_json::json;
use std::path::Path;

/// A seed, a source, tables made from them through ephemeral models, a snapshot, and tests.
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
        writes: BTreeMap::new(),
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

/// The inputs of each output.
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
    // Datasets that the same run wrote are not among its inputs.
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
    let (plain, made, added) = (
        incremental(json!({})),
        Some(WriteKind::Created),
        Some(WriteKind::Appended),
    );
    for (node, flag, write, expected) in [
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
        (&kind("table"), false, Some(WriteKind::Changed), "create"),
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
            operation(node, flag, write),
            expected,
            "{node:?} {flag} {write:?}"
        );
    }
}

#[test]
fn a_view_that_was_made_before_shows_what_is_there_now() {
    // The model b reads v, which reads a.
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
    // A reader of the view sees the new table.
    let table = run(&["model.p.a"]);
    assert_eq!(
        pairs(&table)["exposure.board"],
        json!(["w.main.a", "w.main.v"])
    );
}

#[test]
fn what_was_not_written_is_no_output_and_what_was_not_read_is_no_input() {
    // For each status: whether the node was written, and whether its inputs were read.
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
    // A node that is not in the manifest is listed, but has no lineage.
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
    // A unit test contains its inputs and reads no dataset.
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
