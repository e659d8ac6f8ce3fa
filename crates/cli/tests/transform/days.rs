//! Tables that grow: their rows came from many days, and lineage has all of them.

use crate::project::Bench;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const SOURCES: (&str, &str) = (
    "models/sources.yml",
    "version: 2\nsources:\n  - {name: raw, schema: raw, tables: [{name: orders}]}\n",
);

impl Bench {
    /// Adds a day's file, from which `raw.orders` is rebuilt.
    fn load(&self, day: usize, csv: &str) {
        let (path, data) = (format!("path=raw/day-{day}.csv"), format!("data={csv}"));
        let (job, step) = (format!("job-{day}"), format!("load-{day}"));
        let put = [
            "call",
            "storage",
            "put_object",
            "container=lake",
            &path,
            &data,
        ];
        self.installation.ok(&put);
        let sources =
            format!(r#"sources:={{"day": {{"container": "lake", "path": "raw/day-{day}.csv"}}}}"#);
        let sql = "sql=CREATE SCHEMA IF NOT EXISTS raw; CREATE OR REPLACE TABLE raw.orders AS SELECT * FROM day";
        let load = [
            "call",
            "query",
            "execute_script",
            sql,
            &sources,
            "--job",
            &job,
            "--step",
            &step,
        ];
        self.installation.ok(&load);
    }

    fn build(&self, day: usize, args: &[&str]) -> Value {
        let (job, step) = (format!("job-{day}"), format!("build-{day}"));
        let mut all = vec!["--job", &job, "--step", &step];
        all.extend(args);
        let built = self.call("build", &all);
        assert_eq!(built["status"], "success", "{built}");
        built
    }

    /// The result of a walk: the ends of locations, and steps.
    pub fn walked(&self, from: &str, direction: &str) -> BTreeSet<String> {
        let graph =
            self.installation
                .ok(&["lineage", from, direction, "--max-nodes", "10000", "--json"]);
        let graph: Value = serde_json::from_str(&graph).expect("JSON");
        assert_eq!(graph["truncated"], false, "{from}");
        let nodes = graph["nodes"].as_array().expect("nodes").iter();
        let name = |node: &Value| match node["step_id"].as_str() {
            Some(step) => step.to_owned(),
            None => crate::project::short(&node["location"]),
        };
        nodes.map(name).collect()
    }
}

fn operation(built: &Value, table: &str) -> Value {
    let outputs = built["outputs"].as_array().expect("outputs");
    let is_it = |one: &&Value| {
        let location = one["location"].as_str().unwrap_or_default();
        location.ends_with(&format!(".{table}"))
    };
    let found = outputs.iter().find(is_it);
    found.unwrap_or_else(|| panic!("no {table}"))["metadata"]["operation"].clone()
}

#[test]
fn a_table_that_grew_on_two_days_came_from_both() {
    let files = [
        SOURCES,
        (
            "models/by_key.sql",
            "{{ config(materialized='incremental', unique_key='id') }} select * from {{ source('raw', 'orders') }}",
        ),
        (
            "models/plain.sql",
            "{{ config(materialized='incremental') }} select * from {{ source('raw', 'orders') }}",
        ),
        (
            "models/anew.sql",
            "select * from {{ source('raw', 'orders') }}",
        ),
        (
            "models/report.sql",
            "select count(*) as n from {{ ref('old') }}",
        ),
        (
            "snapshots/old.sql",
            "{% snapshot old %}{{ config(unique_key='id', strategy='check', check_cols='all') }} select * from {{ source('raw', 'orders') }}{% endsnapshot %}",
        ),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    for (day, csv) in [(1, "id,n\n1,1\n"), (2, "id,n\n2,2\n")] {
        bench.load(day, csv);
        bench.build(day, &[]);
    }
    for table in ["old", "by_key", "plain", "report"] {
        let found = bench.walked(&format!("main.{table}"), "--upstream");
        for name in ["day-1.csv", "day-2.csv", "build-1", "build-2"] {
            assert!(found.contains(name), "{table}: {name} is not in {found:?}");
        }
    }
    let anew = bench.walked("main.anew", "--upstream");
    assert!(
        anew.contains("day-2.csv") && !anew.contains("day-1.csv"),
        "{anew:?}"
    );
    let first = bench.walked("raw/day-1.csv", "--downstream");
    for name in ["main.old", "main.by_key", "main.plain", "main.report"] {
        let name = format!("warehouse.{name}");
        assert!(first.contains(&name), "{name} is not in {first:?}");
    }
}

#[test]
fn a_table_is_recorded_as_rebuilt_exactly_if_dbt_rebuilt_it() {
    let model = |config: &str| {
        format!(
            "{{{{ config(materialized='incremental', unique_key='id', {config}) }}}} select * from {{{{ source('raw', 'orders') }}}}"
        )
    };
    let (kept, anew, plain) = (
        model("full_refresh=false"),
        model("full_refresh=true"),
        model("tags=[]"),
    );
    let batches = "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='ts', batch_size='year', begin='2025-01-01') }}\n\
        select id, timestamp '2025-02-03' as ts from {{ source('raw', 'orders') }}";
    let files = [
        SOURCES,
        ("models/kept.sql", kept.as_str()),
        ("models/anew.sql", anew.as_str()),
        ("models/plain.sql", plain.as_str()),
        ("models/batches.sql", batches),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    // For each day: whether the command asks for a full refresh, and what happened to each table.
    let days = [
        (1, false, ["create", "create", "create", "create"]),
        (2, false, ["merge", "create", "merge", "merge"]),
        (3, true, ["merge", "create", "create", "create"]),
    ];
    for (day, refreshes, expected) in days {
        bench.load(day, &format!("id,n\n{day},{day}\n"));
        let refresh = format!("full_refresh:={refreshes}");
        let built = bench.build(day, &[&refresh]);
        let found = ["kept", "anew", "plain", "batches"].map(|table| operation(&built, table));
        assert_eq!(json!(found), json!(expected), "day {day}");
    }
    // The rows agree.
    let days = |table: &str| bench.rows(&format!("SELECT id FROM {table} ORDER BY id"));
    assert_eq!(days("kept"), json!([[1], [2], [3]]));
    assert_eq!(days("anew"), json!([[3]]));
    assert_eq!(days("plain"), json!([[3]]));
    for (table, expected) in [
        ("kept", &["day-1.csv", "day-2.csv", "day-3.csv"][..]),
        ("anew", &["day-3.csv"]),
        ("plain", &["day-3.csv"]),
    ] {
        let found = bench.walked(&format!("main.{table}"), "--upstream");
        let files = found.iter().filter(|name| name.ends_with(".csv"));
        assert_eq!(files.collect::<Vec<_>>(), expected, "{table}");
    }
    bench.check_clean();
}

/// A view shows the tables behind it as they are when it is read, not as they were when it was created.
#[test]
fn a_reader_of_a_view_reads_the_current_tables_behind_it() {
    let files = [
        SOURCES,
        (
            "models/seen.sql",
            "{{ config(materialized='view') }} select * from {{ source('raw', 'orders') }}",
        ),
        ("models/report.sql", "select * from {{ ref('seen') }}"),
    ];
    let Some(bench) = Bench::new(&files) else {
        return;
    };
    let _up = bench.up();
    bench.load(1, "id,n\n1,1\n");
    bench.build(1, &[]);
    bench.load(2, "id,n\n2,2\n");
    bench.build(2, &["select=report"]);
    assert_eq!(bench.rows("SELECT id FROM report"), json!([[2]]));
    let found = bench.walked("main.report", "--upstream");
    assert!(found.contains("day-2.csv"), "{found:?}");
    let found = bench.walked("raw/day-2.csv", "--downstream");
    assert!(found.contains("warehouse.main.report"), "{found:?}");
    bench.check_clean();
}
