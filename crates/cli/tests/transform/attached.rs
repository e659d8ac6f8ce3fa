//! Databases beside the warehouse, and tables of another environment.

use crate::project::{Bench, names};
use serde_json::{Value, json};

const PROFILES: (&str, &str) = (
    "profiles.yml",
    "shop:\n  target: dev\n  outputs:\n    \
     dev:\n      type: duckdb\n      path: \"{{ env_var('DUCKDB_PATH') }}\"\n      threads: 2\n      attach:\n        \
     - {path: \"{{ env_var('DUCKDB_PATH') }}.lake\", alias: lake}\n        - {path: archive.duckdb}\n    \
     swapped:\n      type: duckdb\n      path: archive.duckdb\n      attach:\n        - {path: \"{{ env_var('DUCKDB_PATH') }}\", alias: other}\n",
);

/// The inputs of each output, by whole locations without the folder of the test.
fn pairs(bench: &Bench, built: &Value) -> Value {
    let folder = bench.installation.folder.path().canonicalize();
    let folder = folder.expect("a path").display().to_string();
    let short = |location: &Value| location.as_str().unwrap_or_default().replace(&folder, "");
    let outputs = built["outputs"].as_array().expect("outputs").iter();
    let pairs = outputs.map(|output| {
        let from = output["metadata"]["from"].as_array().expect("a list");
        let mut from: Vec<String> = from.iter().map(short).collect();
        from.sort();
        (short(&output["location"]), json!(from))
    });
    Value::Object(pairs.collect())
}

#[test]
fn tables_of_attached_files_are_named_by_their_files() {
    let files = [
        PROFILES,
        (
            "models/a.sql",
            "{{ config(database='lake') }} select 1 as n",
        ),
        ("models/b.sql", "select * from {{ ref('a') }}"),
        (
            "models/c.sql",
            "{{ config(database='archive') }} select * from {{ source('lake', 'a') }} union all select * from {{ ref('b') }}",
        ),
        (
            "models/sources.yml",
            "version: 2\nsources:\n  - {name: lake, database: LAKE, schema: main, tables: [{name: a}]}\n",
        ),
    ];
    let Some(mut bench) = Bench::new(&files) else {
        return;
    };
    {
        let _up = bench.up();
        // One after the other: c reads a as a source, so dbt does not know that c must come later.
        let mut all = json!({});
        for model in ["a", "b", "c"] {
            let select = format!("select={model}");
            let built = bench.call("run", &[&select, "--job", "job-1", "--step", model]);
            assert_eq!(built["status"], "success", "{built}");
            for (output, from) in pairs(&bench, &built).as_object().expect("an object") {
                all[output] = from.clone();
            }
        }
        let (lake, own, archive) = (
            "duckdb:///data/warehouse.duckdb.lake#warehouse.main.a",
            "duckdb:///data/warehouse.duckdb#warehouse.main.b",
            "duckdb:///project/archive.duckdb#archive.main.c",
        );
        assert_eq!(all, json!({lake: [], own: [lake], archive: [own, lake]}));
    }
    // A program that has the file as its warehouse uses the same names for the tables.
    let lake = bench.installation.data().join("warehouse.duckdb.lake");
    bench
        .installation
        .set("DUCKDB_PATH", &lake.display().to_string());
    {
        let _up = bench.up();
        let copy = [
            "call",
            "query",
            "execute_sql",
            "sql=CREATE TABLE copy AS FROM a",
            "--job",
            "job-2",
            "--step",
            "copy",
        ];
        bench.installation.ok(&copy);
        let found = bench.walked("main.copy", "--upstream");
        assert!(found.contains("a"), "the step that made it: {found:?}");
    }
    bench.check_clean();
}

#[test]
fn an_attached_warehouse_is_lent_and_its_rows_are_counted() {
    let files = [
        PROFILES,
        (
            "models/a.sql",
            "{{ config(database='other') }} select range as n from range(7)",
        ),
    ];
    let Some(mut bench) = Bench::new(&files) else {
        return;
    };
    bench.installation.set("DBT_TARGET", "swapped");
    let _up = bench.up();
    assert_eq!(bench.rows("SELECT 1"), json!([[1]]));
    let built = bench.call("run", &[]);
    assert_eq!(built["status"], "success", "{built}");
    assert_eq!(names(&built, "outputs"), ["warehouse.main.a"]);
    assert_eq!(built["outputs"][0]["metadata"]["row_count"], 7, "{built}");
    assert_eq!(bench.rows("SELECT count(*) FROM a"), json!([[7]]));
    bench.check_clean();
}

/// Runs dbt directly, like the people who keep production up to date.
fn production(bench: &Bench, state: &std::path::Path) {
    let mut dbt = std::process::Command::new(crate::project::dbt());
    dbt.current_dir(&bench.project);
    dbt.env(
        "DUCKDB_PATH",
        bench.installation.data().join("warehouse.duckdb"),
    );
    dbt.args([
        "--log-level=none",
        "run",
        "--target=prod",
        "--profiles-dir=.",
    ]);
    dbt.arg("--target-path")
        .arg(state)
        .arg("--log-path")
        .arg(state);
    crate::project::ok(&mut dbt);
}

#[test]
fn deferred_models_are_read_from_production() {
    let files = [
        (
            "profiles.yml",
            "shop:\n  target: dev\n  outputs:\n    \
             dev: {type: duckdb, path: \"{{ env_var('DUCKDB_PATH') }}\", threads: 2}\n    \
             prod: {type: duckdb, path: \"{{ env_var('DUCKDB_PATH') }}\", schema: prod}\n",
        ),
        ("models/a.sql", "select 1 as n"),
        (
            "models/between.sql",
            "{{ config(materialized='ephemeral') }} select * from {{ ref('a') }}",
        ),
        ("models/b.sql", "select * from {{ ref('between') }}"),
        (
            "models/batches.sql",
            "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='ts', batch_size='year', begin='2026-01-01') }}\n\
             select n, timestamp '2026-01-01' as ts from {{ ref('a') }}",
        ),
        (
            "models/all.yml",
            "version: 2\nmodels:\n  - {name: a, columns: [{name: n, data_tests: [unique]}]}\n",
        ),
    ];
    let Some(mut bench) = Bench::new(&files) else {
        return;
    };
    std::fs::create_dir_all(bench.installation.data()).expect("a folder");
    let state = bench.installation.folder.path().join("state");
    production(&bench, &state);
    bench
        .installation
        .set("PUDATO_DBT_ENV", "DBT_DEFER,DBT_STATE");
    bench.installation.set("DBT_DEFER", "true");
    bench
        .installation
        .set("DBT_STATE", &state.display().to_string());
    let _up = bench.up();
    let run = |select: &str| {
        let built = bench.call(
            "run",
            &[
                "--step",
                select,
                "--job",
                "job-1",
                &format!("select={select}"),
            ],
        );
        assert_eq!(built["status"], "success", "{built}");
        built
    };
    // Models that are missing here are read from production, and the others are not.
    for (from, before) in [("prod", None), ("main", Some("a"))] {
        if let Some(before) = before {
            run(before);
        }
        for table in ["b", "batches"] {
            let built = run(table);
            let expected =
                json!({(format!("warehouse.main.{table}")): [format!("warehouse.{from}.a")]});
            assert_eq!(crate::project::pairs(&built), expected);
            assert_eq!(names(&built, "inputs"), [format!("warehouse.{from}.a")]);
        }
        let tested = bench.call("test", &[]);
        let records = tested["executions"].as_array().expect("records");
        let about = &records[0]["details"]["tests"];
        assert_eq!(
            crate::project::short(&about[0]),
            format!("warehouse.{from}.a")
        );
        assert_eq!(about.as_array().map(Vec::len), Some(1), "{about}");
    }
    bench.check_clean();
}
