//! The inputs and outputs of dbt, node by node, from its artifacts.

use crate::project::{Bench, names, pairs, short, status};
use serde_json::{Value, json};

const SEED: (&str, &str) = (
    "seeds/cities.csv",
    "city,state\nDallas,Texas\nAustin,Texas\n",
);

#[test]
fn every_node_has_its_own_inputs_and_counts() {
    let files = [
        SEED,
        ("models/a.sql", "select * from {{ ref('cities') }}"),
        (
            "models/between.sql",
            "{{ config(materialized='ephemeral') }} select * from {{ ref('a') }}",
        ),
        (
            "models/seen.sql",
            "{{ config(materialized='view') }} select * from {{ ref('between') }}",
        ),
        (
            "models/grown.sql",
            "{{ config(materialized='incremental') }} select * from {{ ref('a') }}",
        ),
        (
            "models/apart.sql",
            "select 1 as n from {{ source('raw', 'events') }}",
        ),
        (
            "models/all.yml",
            "version: 2\nsources:\n  - name: raw\n    schema: raw\n    tables: [{name: events}]\nmodels:\n  - name: a\n    columns:\n      \
             - {name: city, data_tests: [unique, {not_null: {config: {severity: warn}}}]}\n",
        ),
        (
            "snapshots/old.sql",
            "{% snapshot old %}{{ config(target_schema='main', unique_key='city', strategy='check', check_cols='all') }} select * from {{ ref('a') }}{% endsnapshot %}",
        ),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let raw = "sql=CREATE SCHEMA raw; CREATE TABLE raw.events AS SELECT range AS n FROM range(3)";
    bench
        .installation
        .ok(&["call", "query", "execute_script", raw, "--step", "load"]);

    let compiled = bench.call("compile", &[]);
    assert_eq!(compiled["status"], "success", "{compiled}");
    assert_eq!(
        (names(&compiled, "inputs"), names(&compiled, "outputs")),
        (vec![], vec![]),
        "compiling writes nothing"
    );

    let built = bench.call("build", &["--step", "build", "--job", "job-1"]);
    assert_eq!(built["status"], "success", "{built}");
    assert_eq!(
        names(&built, "inputs"),
        ["cities.csv", "warehouse.raw.events"]
    );
    let expected = json!({
        "warehouse.main.cities": ["cities.csv"],
        "warehouse.main.a": ["warehouse.main.cities"],
        "warehouse.main.seen": ["warehouse.main.a"],
        "warehouse.main.grown": ["warehouse.main.a"],
        "warehouse.main.apart": ["warehouse.raw.events"],
        "warehouse.main.old": ["warehouse.main.a"],
    });
    assert_eq!(
        pairs(&built),
        expected,
        "pairs stay pairs, through what is ephemeral"
    );
    let output = |name: &str| {
        let outputs = built["outputs"].as_array().expect("outputs");
        let found = outputs.iter().find(|one| {
            one["location"]
                .as_str()
                .is_some_and(|at| at.ends_with(name))
        });
        found.unwrap_or_else(|| panic!("no {name}")).clone()
    };
    assert_eq!(output("main.a")["metadata"]["row_count"], 2);
    assert_eq!(output("main.apart")["metadata"]["row_count"], 3);
    assert_eq!(output("main.a")["metadata"]["operation"], "create");
    assert_eq!(output("main.grown")["metadata"]["operation"], "create");
    assert_eq!(output("main.seen")["ref_type"], "view");
    // The execution of each node: its SQL, its time and, for tests, their subject.
    let records = built["executions"].as_array().expect("records");
    let record = |id: &str| {
        let found = records.iter().find(|one| {
            one["details"]["unique_id"]
                .as_str()
                .is_some_and(|own| own == id || own.starts_with(&format!("{id}.")))
        });
        found.unwrap_or_else(|| panic!("no {id}"))["details"].clone()
    };
    let test = record("test.shop.unique_a_city");
    assert_eq!(
        (&test["status"], &test["failures"], &test["column"]),
        (&json!("pass"), &json!(0), &json!("city"))
    );
    assert!(
        test["tests"][0]
            .as_str()
            .is_some_and(|at| at.ends_with("#warehouse.main.a")),
        "{test}"
    );
    assert!(
        record("model.shop.a")["query"]
            .as_str()
            .is_some_and(|sql| sql.contains("cities")),
        "{}",
        record("model.shop.a")
    );
    assert!(record("model.shop.a")["seconds"].is_number());
    // The graph connects the outputs of query and dbt.
    let graph = bench.installation.ok(&["lineage", "main.apart", "--json"]);
    assert!(
        graph.contains("raw.events") && graph.contains("\"load\""),
        "{graph}"
    );
    bench.check_clean();

    // A second build adds to incremental tables, and an empty selection writes nothing.
    let again = bench.call("run", &["select=grown", "vars:={\"day\": \"x\"}"]);
    assert_eq!(
        pairs(&again),
        json!({"warehouse.main.grown": ["warehouse.main.a"]})
    );
    assert_eq!(names(&again, "inputs"), ["warehouse.main.a"]);
    assert_eq!(again["outputs"][0]["metadata"]["operation"], "insert");
    let refreshed = bench.call("run", &["select=grown", "full_refresh:=true"]);
    assert_eq!(refreshed["outputs"][0]["metadata"]["operation"], "create");
    let nothing = bench.call("run", &["select=nobody"]);
    assert_eq!(
        (nothing["status"].as_str(), names(&nothing, "outputs")),
        (Some("success"), vec![]),
        "{nothing}"
    );
    let several = bench.call("run", &["select:=[\"a\", \"apart\"]", "exclude=a"]);
    assert_eq!(names(&several, "outputs"), ["warehouse.main.apart"]);
    bench.check_clean();
}

#[test]
fn a_table_is_one_dataset_however_its_name_is_written() {
    let files = [
        (
            "models/a.sql",
            "{{ config(alias='Mart') }} select * from {{ source('raw', 'orders') }}",
        ),
        (
            "models/sources.yml",
            "version: 2\nsources:\n  - {name: raw, schema: raw, tables: [{name: orders}]}\n",
        ),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let load = "sql=CREATE SCHEMA RAW; CREATE TABLE RAW.\"Orders\" AS SELECT 1 AS n";
    let load = [
        "call",
        "query",
        "execute_script",
        load,
        "--step",
        "load",
        "--job",
        "job-1",
    ];
    bench.installation.ok(&load);
    let built = bench.call("build", &["--step", "build", "--job", "job-1"]);
    assert_eq!(
        pairs(&built),
        json!({"warehouse.main.mart": ["warehouse.raw.orders"]})
    );
    let read = [
        "call",
        "query",
        "execute_sql",
        "sql=CREATE TABLE c AS FROM MART",
        "--step",
        "read",
        "--job",
        "job-1",
    ];
    bench.installation.ok(&read);
    let found = bench.walked("main.c", "--upstream");
    assert!(
        found.contains("load") && found.contains("build"),
        "{found:?}"
    );
    let found = bench.walked("RAW.Orders", "--downstream");
    assert!(found.contains("warehouse.main.c"), "{found:?}");
    bench.check_clean();
}

#[test]
fn stored_test_failures_lead_to_the_tested_models_and_hooks_are_reported() {
    let files = [
        (
            "dbt_project.yml",
            "name: shop\nversion: '1.0'\nprofile: shop\nmodels: {+materialized: table}\n\
             on-run-end: [\"create table if not exists ended as select * from {{ ref('a') }}\", \"analyze\"]\n",
        ),
        ("models/a.sql", "select 7 as n union all select null"),
        (
            "models/b.sql",
            "{{ config(post_hook='insert into audit select count(*) from {{ this }}', pre_hook='create table if not exists audit (n bigint)') }} select * from {{ ref('a') }}",
        ),
        (
            "models/c.sql",
            "{{ config(post_hook='grant select on {{ this }} to public', enabled=false) }} select 1 as n",
        ),
        (
            "models/all.yml",
            "version: 2\nmodels:\n  - name: a\n    columns:\n      - name: n\n        data_tests:\n          \
             - not_null: {config: {store_failures: true, severity: warn, alias: found}}\n          \
             - unique: {config: {store_failures_as: view, alias: seen}}\n          \
             - accepted_values: {arguments: {values: [7]}, config: {alias: kept_nowhere}}\n",
        ),
        (
            "tests/both.sql",
            "{{ config(store_failures=true) }} select n from {{ ref('a') }} except select n from {{ ref('b') }}",
        ),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let built = bench.call("build", &["--step", "build", "--job", "job-1"]);
    assert_eq!(built["status"], "success", "{built}");
    let (a, b) = ("warehouse.main.a", "warehouse.main.b");
    let audit = |name: &str| format!("warehouse.main_dbt_test__audit.{name}");
    let expected = json!({
        a: [], b: [a], (audit("found")): [a], (audit("seen")): [a], (audit("both")): [a, b],
    });
    assert_eq!(pairs(&built), expected);
    let outputs = built["outputs"].as_array().expect("outputs");
    let output = |name: &str| {
        let found = outputs.iter().find(|one| short(&one["location"]) == name);
        found.expect("an output").clone()
    };
    let found = output(&audit("found"));
    assert_eq!(
        (&found["ref_type"], &found["metadata"]["row_count"]),
        (&json!("table"), &json!(1))
    );
    assert_eq!(output(&audit("seen"))["ref_type"], "view");
    let walked = bench.walked("main_dbt_test__audit.both", "--upstream");
    assert!(walked.contains(a) && walked.contains(b), "{walked:?}");
    // dbt does not report what hooks write, and the Result says where they may have written.
    let records = built["executions"].as_array().expect("records");
    let partial: std::collections::BTreeMap<&str, bool> = records
        .iter()
        .filter_map(|one| {
            Some((
                one["details"]["unique_id"].as_str()?,
                one["details"]["lineage"] == "partial",
            ))
        })
        .collect();
    for (id, expected) in [
        ("model.shop.a", false),
        ("model.shop.b", true),
        ("operation.shop.shop-on-run-end-0", true),
        ("operation.shop.shop-on-run-end-1", false),
    ] {
        assert_eq!(partial.get(id), Some(&expected), "{id}: {partial:?}");
    }
    bench.check_clean();
}

/// dbt 1.11 creates functions. dbt-duckdb 1.11 does not know them yet; they are macros of DuckDB.
const FUNCTION: (&str, &str) = (
    "macros/function.sql",
    "{% macro duckdb__scalar_function_sql(relation) %}create or replace macro {{ relation.render() }} (x) as ({{ model.compiled_code }}){% endmacro %}",
);

#[test]
fn functions_are_not_tables_and_exposures_are_recorded_as_users() {
    let files = [
        FUNCTION,
        ("models/rates.sql", "select 2 as rate"),
        (
            "functions/a.sql",
            "x * (select max(rate) from {{ ref('rates') }})",
        ),
        (
            "models/a.sql",
            "select {{ function('a') }}(n) as n from range(3) as t (n)",
        ),
        (
            "models/seen.sql",
            "{{ config(materialized='ephemeral') }} select * from {{ ref('a') }}",
        ),
        ("models/apart.sql", "select 1 as n"),
        (
            "models/all.yml",
            "version: 2\nfunctions:\n  - {name: a, arguments: [{name: x, data_type: integer}], returns: {data_type: integer}}\n\
             exposures:\n  - {name: board, type: dashboard, url: 'https://bi.example.org/1', owner: {name: me}, depends_on: [ref('seen')]}\n  \
             - {name: other, type: notebook, owner: {name: me}, depends_on: [ref('apart')]}\n",
        ),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let built = bench.call(
        "build",
        &["--step", "build", "--job", "job-1", "exclude=apart"],
    );
    assert_eq!(built["status"], "success", "{built}");
    // A function may have the name of a table.
    let expected = json!({
        "warehouse.main.rates": [],
        "warehouse.main.a()": ["warehouse.main.rates"],
        "warehouse.main.a": ["warehouse.main.a()"],
        "exposure.board": ["warehouse.main.a"],
    });
    assert_eq!(pairs(&built), expected);
    let outputs = built["outputs"].as_array().expect("outputs");
    let kind = |name: &str| {
        let found = outputs.iter().find(|one| short(&one["location"]) == name);
        found.expect("an output")["ref_type"].clone()
    };
    assert_eq!(
        (kind("warehouse.main.a()"), kind("exposure.board")),
        (json!("function"), json!("exposure"))
    );
    let found = bench.walked("main.rates", "--downstream");
    assert!(
        found.contains("exposure.board") && !found.contains("exposure.other"),
        "{found:?}"
    );
    // The same for nodes that were not selected.
    let run = bench.call("run", &["--step", "run", "--job", "job-1", "select=apart"]);
    assert_eq!(
        names(&run, "outputs"),
        ["exposure.other", "warehouse.main.apart"]
    );
    bench.check_clean();
}

#[test]
fn models_that_were_built_before_a_failure_are_in_the_error() {
    let model = |from: &str| format!("select * from {from}");
    let (one, two, bad) = (
        model("{{ ref('cities') }}"),
        model("{{ ref('one') }}"),
        model("nowhere"),
    );
    let (after, worse) = (model("{{ ref('bad') }}"), "select 1/".to_owned());
    let files = [
        SEED,
        ("models/one.sql", one.as_str()),
        ("models/two.sql", two.as_str()),
        ("models/bad.sql", bad.as_str()),
        ("models/worse.sql", worse.as_str()),
        ("models/after.sql", after.as_str()),
        (
            "models/t.yml",
            "version: 2\nmodels:\n  - name: two\n    columns: [{name: state, data_tests: [{unique: {config: {severity: warn}}}]}]\n",
        ),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let built = bench.call("build", &["--step", "build"]);
    assert_eq!(built["status"], "error", "{built}");
    let errors = built["errors"].to_string();
    assert!(
        errors.contains("bad") && errors.contains("nowhere") && errors.contains("worse"),
        "{errors}"
    );
    assert!(!errors.contains("\\u001b"), "no colours: {errors}");
    assert_eq!(
        names(&built, "outputs"),
        [
            "warehouse.main.cities",
            "warehouse.main.one",
            "warehouse.main.two"
        ]
    );
    for (id, expected) in [
        ("one", "success"),
        ("two", "success"),
        ("bad", "error"),
        ("worse", "error"),
        ("after", "skipped"),
    ] {
        assert_eq!(status(&built, &format!("model.shop.{id}")), expected);
    }
    let step = bench.installation.ok(&["lineage", "main.two", "--json"]);
    assert!(step.contains("cities.csv"), "{step}");
    // A warning is not a failure.
    let warned = bench.call("test", &["select=two"]);
    assert_eq!(warned["status"], "success", "{warned}");
    let nodes = warned["data"]["nodes"].as_array().expect("nodes");
    assert_eq!(nodes[0]["status"], "warn", "{nodes:?}");
    bench.check_clean();
}

#[test]
fn files_that_dbt_reads_and_writes_are_named_as_files() {
    let files = [
        ("data/orders.csv", "n\n1\n2\n"),
        ("out/.keep", ""),
        (
            "models/all.yml",
            "version: 2\nsources:\n  - name: ext\n    config: {meta: {external_location: 'data/{name}.csv'}}\n    tables:\n      - name: orders\n      \
             - {name: all, config: {meta: {external_location: 'data/*.csv'}}}\n      \
             - {name: called, config: {meta: {external_location: \"read_csv('data/orders.csv')\"}}}\n",
        ),
        (
            "models/a.sql",
            "select * from {{ source('ext', 'orders') }}",
        ),
        (
            "models/b.sql",
            "select * from {{ source('ext', 'all') }} union all select * from {{ source('ext', 'called') }}",
        ),
        (
            "models/e.sql",
            "{{ config(materialized='external', location='out/e.parquet') }} select * from {{ ref('a') }}",
        ),
        ("models/after.sql", "select * from {{ ref('e') }}"),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let built = bench.call("build", &["--step", "build"]);
    assert_eq!(built["status"], "success", "{built}");
    let expected = json!({
        "warehouse.main.a": ["orders.csv"],
        "warehouse.main.b": [],
        "e.parquet": ["warehouse.main.a"],
        "warehouse.main.after": ["e.parquet"],
    });
    assert_eq!(pairs(&built), expected);
    let project = bench.project.canonicalize().expect("a path");
    let orders = format!("file://{}/data/orders.csv", project.display());
    assert_eq!(built["inputs"][0]["location"], orders.as_str(), "{built}");
    assert_eq!(names(&built, "inputs"), ["orders.csv"]);
    // An output that is not a single file is left out, and the Result says so.
    let records = built["executions"].as_array().expect("records");
    for record in records.iter().map(|record| &record["details"]) {
        let is_partial = record["unique_id"] == "model.shop.b";
        assert_eq!(record["lineage"] == "partial", is_partial, "{record}");
        let missing = record["lineage_missing"].as_str().unwrap_or_default();
        assert_eq!(
            missing.contains("source.shop.ext.all"),
            is_partial,
            "{record}"
        );
    }
    bench.check_clean();
}

#[test]
fn unit_tests_are_recorded_with_the_model_that_they_test() {
    let files = [
        SEED,
        (
            "models/a.sql",
            "select city || '!' as city from {{ ref('cities') }}",
        ),
        (
            "models/t.yml",
            "unit_tests:\n  - name: shouts\n    model: a\n    given: [{input: ref('cities'), rows: [{city: Rome}]}]\n    \
             expect: {rows: [{city: Rome?}]}\n",
        ),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let built = bench.call("build", &["--step", "build"]);
    assert_eq!(built["status"], "error", "{built}");
    let id = "unit_test.shop.a.shouts";
    assert_eq!(status(&built, id), "fail");
    let records = built["executions"].as_array().expect("records");
    let record = records.iter().find(|one| one["details"]["unique_id"] == id);
    let details = &record.expect("a record")["details"];
    assert_eq!(
        (&details["status"], &details["failures"]),
        (&json!("fail"), &json!(1)),
        "{details}"
    );
    assert!(
        details["message"]
            .as_str()
            .is_some_and(|why| why.contains("Rome")),
        "{details}"
    );
    // It tests the model's SQL on rows of its own, so it reads no data.
    assert_eq!(short(&details["models"][0]), "warehouse.main.a");
    assert!(details["tests"].is_null(), "{details}");
    bench.check_clean();
}

#[test]
fn a_model_with_batches_that_failed_is_a_partial_success() {
    let files = [
        (
            "models/years.sql",
            "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='at', batch_size='year', begin='2024-01-01') }}\n\
             select {% if model.batch and model.batch.id.startswith('2025') %}error('no'){% else %}timestamp '2024-01-01'{% endif %} as at",
        ),
        ("models/after.sql", "select * from {{ ref('years') }}"),
        ("models/beside.sql", "select 1 as n"),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let built = bench.call("build", &["--step", "build"]);
    assert_eq!(built["status"], "success", "{built}");
    assert_eq!(status(&built, "model.shop.years"), "partial success");
    let records = built["executions"].as_array().expect("records");
    let record = records
        .iter()
        .find(|one| one["details"]["unique_id"] == "model.shop.years");
    let details = &record.expect("a record")["details"];
    let failed = &details["batches"]["failed"];
    assert!(failed.to_string().contains("2025-01-01"), "{details}");
    assert!(
        details["query"].is_string(),
        "the SQL of a batch: {details}"
    );
    assert_eq!(status(&built, "model.shop.after"), "skipped");
    assert_eq!(
        names(&built, "outputs"),
        ["warehouse.main.beside", "warehouse.main.years"]
    );
    // If anything else fails besides, it is a failure.
    std::fs::write(bench.project.join("models/bad.sql"), "select 1/").expect("written");
    // All years again: if the first batch of a run fails, the model fails.
    let again = ["full_refresh:=true", "--step", "build"];
    let failed = bench.call("build", &again);
    assert_eq!(failed["status"], "error", "{failed}");
    assert_eq!(status(&failed, "model.shop.years"), "partial success");
    bench.check_clean();
}

/// The lineage of a manifest from an independent script: each written node with the datasets behind its parents.
const SCRIPT: &str = r#"
import json, sys
manifest = json.load(open(sys.argv[1]))
nodes, parents = manifest["nodes"], manifest["parent_map"]
def behind(id):
    for parent in parents.get(id, []):
        if parent.split(".")[0] not in ("model", "seed", "snapshot", "source"):
            continue
        if nodes.get(parent, {}).get("config", {}).get("materialized") == "ephemeral":
            yield from behind(parent)
        else:
            node = nodes.get(parent) or manifest["sources"][parent]
            yield ".".join([node["database"], node["schema"], node.get("alias") or node["identifier"]])
edges = {}
for id, node in nodes.items():
    if node["resource_type"] in ("model", "snapshot") and node["config"]["materialized"] != "ephemeral":
        edges[".".join([node["database"], node["schema"], node["alias"]])] = sorted(set(behind(id)))
print(json.dumps(edges))
"#;

#[test]
fn the_edges_equal_those_that_an_independent_script_finds() {
    const MODELS: usize = 60;
    let mut files = vec![("models/m0.sql".to_owned(), "select 0 as n".to_owned())];
    let mut seed = 7_usize;
    for n in 1..MODELS {
        let mut parents = Vec::new();
        for _ in 0..n.min(3) {
            seed = seed.wrapping_mul(1_103_515_245).wrapping_add(12_345) % (1 << 31);
            parents.push(format!("select n from {{{{ ref('m{}') }}}}", seed % n));
        }
        let kind = ["table", "view", "ephemeral"][n % 3];
        let sql = format!(
            "{{{{ config(materialized='{kind}') }}}} {}",
            parents.join(" union all ")
        );
        files.push((
            format!("models/m{n}.sql"),
            format!("select {n} as n from ({sql}) limit 1"),
        ));
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let built = bench.call("build", &["--step", "build"]);
    assert_eq!(built["status"], "success", "{}", built["errors"]);
    // The name of the project comes from dbt itself.
    let other = tempfile::tempdir().expect("a folder");
    let mut parse = std::process::Command::new(crate::project::dbt());
    parse
        .args(["--log-level=none", "parse", "--project-dir"])
        .arg(&bench.project);
    parse
        .arg("--profiles-dir")
        .arg(&bench.project)
        .arg("--target-path")
        .arg(other.path());
    parse.arg("--log-path").arg(other.path());
    parse.env("DUCKDB_PATH", other.path().join("warehouse.duckdb"));
    crate::project::ok(&mut parse);
    let mut script = std::process::Command::new("python3");
    script
        .args(["-c", SCRIPT])
        .arg(other.path().join("manifest.json"));
    let expected: Value = serde_json::from_str(&crate::project::ok(&mut script)).expect("JSON");
    assert_eq!(pairs(&built), expected);
    assert!(
        expected
            .as_object()
            .is_some_and(|all| all.len() >= MODELS / 2)
    );
}
