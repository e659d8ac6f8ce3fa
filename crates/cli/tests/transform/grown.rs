//! Two builds a day for every kind of table that keeps its rows. Every row names the run that added it, so the lineage of every day is
//! compared with the rows.

use crate::project::Bench;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The number of days, unless `PUDATO_LINEAGE_DAYS` sets another (CONTRIBUTING.md).
const DAYS: usize = 4;

/// Each kind of table: its name, and its configuration.
const MODELS: [(&str, &str); 7] = [
    (
        "appended",
        "materialized='incremental', incremental_strategy='append'",
    ),
    ("by_key", "materialized='incremental', unique_key='id'"),
    (
        "deleted",
        "materialized='incremental', incremental_strategy='delete+insert', unique_key='id'",
    ),
    (
        "merged",
        "materialized='incremental', incremental_strategy='merge', unique_key='id'",
    ),
    (
        "batches",
        "materialized='incremental', incremental_strategy='microbatch', event_time='ts', batch_size='day', begin='2026-01-01'",
    ),
    (
        "kept",
        "materialized='incremental', incremental_strategy='append', full_refresh=false",
    ),
    ("anew", "materialized='table'"),
];

const SNAPSHOTS: [(&str, &str); 4] = [
    ("by_time", "strategy='timestamp', updated_at='ts'"),
    ("by_check", "strategy='check', check_cols=['run']"),
    (
        "closed",
        "strategy='check', check_cols=['run'], hard_deletes='invalidate'",
    ),
    (
        "marked",
        "strategy='check', check_cols=['run'], hard_deletes='new_record'",
    ),
];

/// The runs whose rows are in a table, by the table's name.
type Rows = BTreeMap<String, BTreeSet<usize>>;

fn project() -> Vec<(String, String)> {
    let rows = "select id, run, ts from {{ source('raw', 'orders') }}";
    let mut files = vec![(
        "models/sources.yml".to_owned(),
        "version: 2\nsources:\n  - {name: raw, schema: raw, tables: [{name: orders, config: {event_time: ts}}]}\n".to_owned(),
    )];
    for (name, config) in MODELS {
        let sql = format!("{{{{ config({config}) }}}} {rows}");
        files.push((format!("models/{name}.sql"), sql));
    }
    for (name, config) in SNAPSHOTS {
        let config = format!("{{{{ config(unique_key='id', {config}) }}}}");
        let sql = format!("{{% snapshot {name} %}}{config} {rows}{{% endsnapshot %}}");
        files.push((format!("snapshots/{name}.sql"), sql));
    }
    // The tables that the same build makes from each.
    for (name, _) in MODELS.iter().chain(&SNAPSHOTS) {
        let sql = format!("select distinct run from {{{{ ref('{name}') }}}}");
        files.push((format!("models/of_{name}.sql"), sql));
    }
    files
}

/// A simulated day, counted from 1.
fn date(day: usize) -> String {
    let (month, day) = ((day - 1) / 28 + 1, (day - 1) % 28 + 1);
    format!("2026-{month:02}-{day:02}")
}

/// Each run adds a row with a key of its own, and one with a key that every second run has.
fn load(bench: &Bench, run: usize) {
    let (day, is_first) = (run.div_ceil(2), run % 2 == 1);
    let at = format!("{} {}:00:00", date(day), if is_first { "08" } else { "20" });
    let csv = format!(
        "id,run,ts\n{run},{run},{at}\n{},{run},{at}\n",
        -((run % 2) as i64)
    );
    let (path, data) = (format!("path=raw/run-{run}.csv"), format!("data={csv}"));
    bench.installation.ok(&[
        "call",
        "storage",
        "put_object",
        "container=lake",
        &path,
        &data,
    ]);
    let source =
        format!(r#"sources:={{"rows": {{"container": "lake", "path": "raw/run-{run}.csv"}}}}"#);
    // The first run of a day rebuilds its table.
    let sql = match is_first {
        true => {
            "sql=CREATE SCHEMA IF NOT EXISTS raw; CREATE OR REPLACE TABLE raw.orders AS SELECT * FROM rows"
        }
        false => "sql=INSERT INTO raw.orders SELECT * FROM rows",
    };
    let (job, step) = (format!("job-{run}"), format!("load-{run}"));
    bench.installation.ok(&[
        "call",
        "query",
        "execute_script",
        sql,
        &source,
        "--job",
        &job,
        "--step",
        &step,
    ]);
}

/// The contents of the tables, by plain SQL.
fn rows(bench: &Bench) -> Rows {
    let tables = MODELS.iter().chain(&SNAPSHOTS).map(|(name, _)| *name);
    let selects = tables.flat_map(|name| {
        [name.to_owned(), format!("of_{name}")]
            .map(|table| format!("SELECT '{table}' AS name, run FROM {table}"))
    });
    let selects: Vec<String> = selects.collect();
    let sql = format!(
        "SELECT DISTINCT name, run FROM ({})",
        selects.join(" UNION ALL ")
    );
    let mut rows = Rows::new();
    for row in bench.rows(&sql).as_array().expect("rows") {
        let run = row[1].as_u64().expect("a run");
        let table = row[0].as_str().expect("a name").to_owned();
        rows.entry(table).or_default().insert(run as usize);
    }
    rows
}

/// The numbers of the nodes of a walk that have such a name.
fn numbers(found: &BTreeSet<String>, before: &str, after: &str) -> BTreeSet<usize> {
    let number = |name: &String| name.strip_prefix(before)?.strip_suffix(after)?.parse().ok();
    found.iter().filter_map(number).collect()
}

/// Upstream of a table are the files whose rows it has, and the steps that loaded them.
fn check_upstream(bench: &Bench, build: usize, rows: &Rows) {
    for (table, expected) in rows {
        let found = bench.walked(&format!("main.{table}"), "--upstream");
        let (files, loads) = (
            numbers(&found, "run-", ".csv"),
            numbers(&found, "load-", ""),
        );
        assert_eq!(
            (&files, &loads),
            (expected, expected),
            "upstream of {table} after build {build}"
        );
    }
}

/// Downstream of a file are the tables that had its rows at any time, and the builds after which any had.
fn check_downstream(bench: &Bench, run: usize, history: &[Rows]) {
    let found = bench.walked(&format!("raw/run-{run}.csv"), "--downstream");
    let tables = found
        .iter()
        .filter_map(|name| name.strip_prefix("warehouse.main."));
    let tables: BTreeSet<&str> = tables.collect();
    let holds = |rows: &Rows| rows.values().any(|runs| runs.contains(&run));
    let builds = (1..).zip(history).filter(|(_, rows)| holds(rows));
    let builds: BTreeSet<usize> = builds.map(|(build, _)| build).collect();
    let held = history
        .iter()
        .flatten()
        .filter(|(_, runs)| runs.contains(&run));
    let held: BTreeSet<&str> = held.map(|(table, _)| table.as_str()).collect();
    let after = history.len();
    assert_eq!(
        tables, held,
        "tables downstream of run {run} after build {after}"
    );
    assert_eq!(
        numbers(&found, "build-", ""),
        builds,
        "builds downstream of run {run} after build {after}"
    );
}

#[test]
fn lineage_of_every_day_agrees_with_the_rows() {
    let days = match std::env::var("PUDATO_LINEAGE_DAYS") {
        Ok(days) => days.parse().expect("PUDATO_LINEAGE_DAYS: a number of days"),
        Err(_) => DAYS,
    };
    let files = project();
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    let Some(mut bench) = Bench::new(&files) else {
        return;
    };
    bench
        .installation
        .set("PUDATO_DBT_ENV", "DBT_EVENT_TIME_START,DBT_EVENT_TIME_END");
    let mut history: Vec<Rows> = Vec::new();
    for day in 1..=days {
        // The batches by time are those of the simulated day.
        bench.installation.set("DBT_EVENT_TIME_START", &date(day));
        bench.installation.set("DBT_EVENT_TIME_END", &date(day + 1));
        let _up = bench.up();
        for run in [2 * day - 1, 2 * day] {
            load(&bench, run);
            let refreshes = format!("full_refresh:={}", json!(run % 10 == 6));
            let (job, step) = (format!("job-{run}"), format!("build-{run}"));
            let built = bench.call("build", &["--job", &job, "--step", &step, &refreshes]);
            assert_eq!(built["status"], "success", "{}", built["errors"]);
            let rows = rows(&bench);
            assert_eq!(rows.len(), 2 * (MODELS.len() + SNAPSHOTS.len()));
            check_upstream(&bench, run, &rows);
            history.push(rows);
            for run in BTreeSet::from([1, run.saturating_sub(2).max(1), run]) {
                check_downstream(&bench, run, &history);
            }
        }
        if day == days {
            for run in 1..=2 * days {
                check_downstream(&bench, run, &history);
            }
        }
    }
    // The expected contents of such tables.
    let last = history.last().expect("a build");
    let all: BTreeSet<usize> = (1..=2 * days).collect();
    assert_eq!((&last["kept"], &last["by_check"]), (&all, &all));
    assert_eq!(last["anew"], BTreeSet::from([2 * days - 1, 2 * days]));
    eprintln!("{} builds on {days} days: {}", history.len(), summary(last));
    bench.check_clean();
}

fn summary(rows: &Rows) -> Value {
    let counts = rows.iter().filter(|(table, _)| !table.starts_with("of_"));
    counts
        .map(|(table, runs)| (table.clone(), json!(runs.len())))
        .collect()
}
