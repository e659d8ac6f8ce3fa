//! The actions of dbt other than building: snapshots, retries, freshness, macros, docs.

use crate::project::{Bench, names, pairs, status};
use serde_json::{Value, json};
use std::path::Path;

/// The place of a stored file, from a Result.
fn kept<'a>(result: &'a Value, name: &str) -> &'a Path {
    let place = result["data"]["artifacts"][name].as_str();
    Path::new(place.unwrap_or_else(|| panic!("no {name}: {}", result["data"])))
}

/// The outputs of dbt.
fn read(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn a_retry_builds_the_failed_models_and_records_their_lineage() {
    let files = [
        ("models/good.sql", "select 1 as n"),
        (
            "models/bad.sql",
            "select n from {{ ref('good') }} where cast('x' as int) = 1",
        ),
        ("models/after.sql", "select * from {{ ref('bad') }}"),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    let nothing = bench.call("retry", &[]);
    let why = nothing["errors"].to_string();
    assert!(
        why.contains("payload.execution_id") && why.contains("start a new run"),
        "{nothing}"
    );
    let failed = bench.call("run", &["--job", "job-1", "--step", "a"]);
    assert_eq!(failed["status"], "error", "{failed}");
    assert_eq!(status(&failed, "model.shop.after"), "skipped");
    assert_eq!(names(&failed, "outputs"), ["warehouse.main.good"]);
    assert!(kept(&failed, "run_results").is_file() && kept(&failed, "manifest").is_file());
    // A run of another project or another job is not the one to retry.
    let other = bench.call("retry", &["--job", "job-2", "--step", "a"]);
    assert!(other["errors"].to_string().contains("job-2"), "{other}");
    std::fs::write(
        bench.project.join("models/bad.sql"),
        "select n from {{ ref('good') }}",
    )
    .expect("written");
    let retried = bench.call("retry", &["--job", "job-1", "--step", "b"]);
    assert_eq!(retried["status"], "success", "{retried}");
    assert_eq!(retried["data"]["retried"], failed["data"]["execution_id"]);
    let expected = json!({
        "warehouse.main.bad": ["warehouse.main.good"],
        "warehouse.main.after": ["warehouse.main.bad"],
    });
    assert_eq!(pairs(&retried), expected);
    assert_eq!(names(&retried, "inputs"), ["warehouse.main.good"]);
    assert_eq!(bench.rows("FROM after"), json!([[1]]));
    // One run by its name, which had failed then. A retry can be retried, with nothing left to do.
    let id = failed["data"]["execution_id"].as_str().expect("an id");
    let named = bench.call("retry", &[&format!("execution_id={id}")]);
    assert_eq!(named["status"], "success", "{named}");
    assert_eq!(named["outputs"].as_array().map(Vec::len), Some(2));
    let again = bench.call("retry", &[]);
    assert_eq!(again["status"], "success", "{again}");
    assert_eq!(again["data"]["retried"], named["data"]["execution_id"]);
    assert_eq!(again["outputs"], json!([]));
    bench.check_clean();
}

#[test]
fn a_snapshot_alone_has_its_lineage() {
    let snapshot = "{% snapshot old %}{{ config(target_schema='main', unique_key='n', strategy='check', check_cols='all') }} \
        select * from {{ ref('a') }}{% endsnapshot %}";
    let files = [
        ("models/a.sql", "select 1 as n"),
        ("snapshots/old.sql", snapshot),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    assert_eq!(bench.call("run", &[])["status"], "success");
    let taken = bench.call("snapshot", &["select=old"]);
    assert_eq!(taken["status"], "success", "{taken}");
    assert_eq!(
        pairs(&taken),
        json!({"warehouse.main.old": ["warehouse.main.a"]})
    );
    let refused = bench.call("snapshot", &["full_refresh:=true"]);
    assert!(
        refused["errors"]
            .to_string()
            .contains("payload.full_refresh"),
        "{refused}"
    );
}

#[test]
fn the_freshness_of_each_source_is_reported() {
    let table = |name: &str| {
        format!(
            "{{name: {name}, loaded_at_field: loaded, freshness: {{warn_after: {{count: 1, period: hour}}, error_after: {{count: 1, period: day}}}}}}"
        )
    };
    let sources = format!(
        "version: 2\nsources:\n  - {{name: raw, schema: main, tables: [{}, {}, {}, {}]}}\n",
        table("fresh"),
        table("late"),
        table("stale"),
        table("absent")
    );
    let Some(bench) = Bench::new(&[("models/sources.yml", &sources)]) else {
        return;
    };
    let _up = bench.up();
    for (name, hours) in [("fresh", 0), ("late", 2), ("stale", 50)] {
        let sql = format!(
            "sql=CREATE TABLE {name} AS SELECT now()::TIMESTAMP - INTERVAL {hours} HOUR AS loaded"
        );
        bench
            .installation
            .ok(&["call", "query", "execute_sql", &sql]);
    }
    let found = |result: &Value| -> Vec<String> {
        let sources = result["data"]["sources"].as_array().expect("sources");
        let told = sources.iter().map(|one| {
            let id = one["unique_id"].as_str().expect("an id");
            let name = id.rsplit('.').next().unwrap_or_default();
            format!("{name} {}", one["status"].as_str().expect("a status"))
        });
        told.collect()
    };
    let late = bench.call(
        "source_freshness",
        &["select:=[\"source:raw.fresh\", \"source:raw.late\"]"],
    );
    assert_eq!(late["status"], "success", "a warning is no failure: {late}");
    assert_eq!(found(&late), ["fresh pass", "late warn"]);
    let one = &late["data"]["sources"][1];
    assert_eq!(
        one["criteria"]["warn_after"],
        json!({"count": 1, "period": "hour"})
    );
    assert!(
        one["max_loaded_at"]
            .as_str()
            .is_some_and(|at| at.starts_with("20")),
        "{one}"
    );
    assert!(
        one["max_loaded_at_time_ago_in_s"]
            .as_f64()
            .is_some_and(|ago| ago > 7_000.0),
        "{one}"
    );
    assert!(
        one["dataset"]
            .as_str()
            .is_some_and(|at| at.ends_with("#warehouse.main.late")),
        "{one}"
    );
    assert_eq!(
        names(&late, "inputs"),
        ["warehouse.main.fresh", "warehouse.main.late"]
    );
    assert_eq!(late["outputs"], json!([]));
    assert_eq!(
        read(kept(&late, "sources"))["results"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let stale = bench.call("source_freshness", &[]);
    assert_eq!(stale["status"], "error", "{stale}");
    // A missing source is reported too, though dbt's file leaves it out.
    assert_eq!(
        found(&stale),
        [
            "absent runtime error",
            "fresh pass",
            "late warn",
            "stale error"
        ]
    );
    let why = stale["errors"].to_string();
    assert!(why.contains("stale") && why.contains("absent"), "{why}");
    bench.check_clean();
}

#[test]
fn a_macro_runs_with_its_arguments_and_its_output_is_returned() {
    let text = "{% macro greet(name, n) %}{% do log('hello ' ~ name ~ ' ' ~ n, info=true) %}{{ print('printed') }}\
        {% do run_query('create table greeted as select 1 as n') %}{% endmacro %}";
    let Some(bench) = Bench::new(&[("macros/greet.sql", text)]) else {
        return;
    };
    let _up = bench.up();
    let args = "args:={\"name\": \"it's\", \"n\": 0.0000001}";
    let ran = bench.call("run_operation", &["macro=greet", args]);
    assert_eq!(ran["status"], "success", "{ran}");
    assert_eq!(ran["data"]["said"], json!(["hello it's 1e-07", "printed"]));
    assert_eq!(bench.rows("FROM greeted"), json!([[1]]));
    // The outputs of a macro are unknown, and the Result says so.
    assert_eq!(ran["data"]["lineage"], "partial");
    let records = ran["executions"].as_array().expect("records");
    let record = &records[0]["details"];
    assert_eq!(
        (&record["resource_type"], &record["lineage"]),
        (&json!("macro"), &json!("partial")),
        "{ran}"
    );
    let sql = "args:={\"sql\": \"create table taken as select 1 as n\"}";
    for (args, said) in [
        (&["macro=nothing"][..], "nothing"),
        // Macros of dbt can run any SQL, so only the project's own macros may be called.
        (&["macro=run_query", sql], "run_query"),
        (&["macro=dbt.run_query", sql], "payload.macro"),
        (&["macro=--x"], "payload.macro"),
        (&["macro=greet", "arg:={}"], "did you mean args?"),
        (&[], "payload.macro"),
    ] {
        let refused = bench.call("run_operation", args);
        assert_eq!(refused["status"], "error", "{refused}");
        assert!(refused["errors"].to_string().contains(said), "{refused}");
    }
    let tables = "SELECT count(*) FROM duckdb_tables() WHERE table_name = 'taken'";
    assert_eq!(bench.rows(tables), json!([[0]]));
    bench.check_clean();
}

#[test]
fn docs_are_stored_with_their_catalog_and_report_no_outputs() {
    let files = [
        ("models/a.sql", "select 1 as n"),
        ("models/b.sql", "select * from {{ ref('a') }}"),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    assert_eq!(bench.call("run", &["select=a"])["status"], "success");
    let made = bench.call("docs_generate", &[]);
    assert_eq!(made["status"], "success", "{made}");
    let catalog = read(kept(&made, "catalog"));
    let columns = &catalog["nodes"]["model.shop.a"]["columns"];
    assert_eq!(columns["n"]["type"], "INTEGER", "{catalog}");
    assert!(
        catalog["nodes"]["model.shop.b"].is_null(),
        "it is not built"
    );
    assert!(kept(&made, "manifest").is_file());
    assert_eq!(
        (&made["inputs"], &made["outputs"]),
        (&json!([]), &json!([])),
        "nothing was built"
    );
    bench.check_clean();
}
