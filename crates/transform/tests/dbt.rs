//! The handler with a real dbt: the reports while dbt runs.

use pudato_handler::{Answer, Failure, Handler, Progress, Request};
use pudato_protocol::{Command, Object};
use pudato_transform::{NoWarehouse, Settings, TransformHandler};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// The dbt of the tests: the one in `PUDATO_TEST_DBT`, or the one that `cargo xtask test` installs. `None`, with a message, if there is
/// none; in CI that is a failure.
fn dbt() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/dbt");
    let named = std::env::var_os("PUDATO_TEST_DBT").map(PathBuf::from);
    let must_be_there = named.is_some() || std::env::var_os("CI").is_some();
    let dbt = named.unwrap_or(installed);
    if dbt.is_file() {
        return Some(dbt);
    }
    let why = format!(
        "{} is not there; `cargo xtask test` installs it",
        dbt.display()
    );
    assert!(!must_be_there, "{why}");
    eprintln!("SKIPPED: {why}");
    None
}

/// Records the reports.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Object>>);

impl Progress for Told {
    fn report(&self, _command: &Command, data: Object) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(data);
    }
}

struct Bench {
    _folder: TempDir,
    handler: TransformHandler,
}

impl Bench {
    fn new(dbt: PathBuf, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let project = folder.path().join("project");
        let profile =
            "shop: {target: dev, outputs: {dev: {type: duckdb, path: w.duckdb, threads: 2}}}\n";
        for (name, text) in [("profiles.yml", profile)].iter().chain(files) {
            let path = project.join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("written");
        }
        let settings = Settings {
            project: Some(project),
            profiles: None,
            target: None,
            program: Some(dbt),
            deadline: Duration::from_secs(600),
            memory_bytes: 4 << 30,
            variables: Vec::new(),
            logic: None,
            folder: folder.path().join("transform"),
            warehouse_file: None,
        };
        Self {
            _folder: folder,
            handler: TransformHandler::new(settings, Arc::new(NoWarehouse)),
        }
    }

    /// The answer of an action, and the reports before it.
    async fn call(&self, action: &'static str) -> (Result<Answer, Failure>, Vec<Object>) {
        let told = Told::default();
        let command = Command::new("transform", action, Object::new());
        let request = Request {
            progress: &told,
            ..Request::new(action, &command)
        };
        let answer = self.handler.handle(request).await;
        (
            answer,
            told.0.into_inner().unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// A report in short: its kind, its part, and the last of its node's names.
fn short(report: &Object) -> String {
    let text = |name: &str| report.get(name).map_or(String::new(), Value::to_string);
    let text = |name: &str| text(name).trim_matches('"').to_owned();
    let node = text("node");
    let node = node.rsplit('.').next().unwrap_or_default().to_owned();
    let parts = match report.contains_key("parts") {
        true => format!(" {} of {}", text("part"), text("parts")),
        false => String::new(),
    };
    format!("{}{parts} {node}", text("kind"))
}

/// dbt has its own words for things other than models: they are reported unchanged, and count as nodes only if they are nodes.
#[tokio::test]
async fn hooks_batches_tests_and_unit_tests_are_told_as_what_they_are() {
    let Some(dbt) = dbt() else {
        return;
    };
    let project =
        "name: shop\nversion: '1.0'\nprofile: shop\non-run-start: [\"select 1\", \"select 2\"]\n";
    let files = [
        ("dbt_project.yml", project),
        (
            "models/events.sql",
            "{{ config(materialized='table', event_time='happened') }} select timestamp '2026-01-01 05:00:00' + to_days(range::int) as happened from range(3)",
        ),
        (
            "models/daily.sql",
            "{{ config(materialized='incremental', incremental_strategy='microbatch', event_time='happened', batch_size='day', \
             begin=(modules.datetime.datetime.now() - modules.datetime.timedelta(days=1)).strftime('%Y-%m-%d')) }} select * from {{ ref('events') }}",
        ),
        ("models/a.sql", "select 1 as n"),
        ("models/b.sql", "select n + 1 as n from {{ ref('a') }}"),
        (
            "models/all.yml",
            "models: [{name: a, columns: [{name: n, data_tests: [unique]}]}]\n\
             unit_tests: [{name: adds, model: b, given: [{input: ref('a'), rows: [{n: 1}]}], expect: {rows: [{n: 2}]}}]\n",
        ),
    ];
    let bench = Bench::new(dbt, &files);
    let (answer, reports) = bench.call("build").await;
    let answer = answer.expect("built");
    let version = answer.data["dbt_version"].as_str().expect("a version");
    let told: Vec<String> = reports.iter().map(short).collect();
    let mut expected = vec![
        "hook 1 of 2 shop-on-run-start-0",
        "hook 2 of 2 shop-on-run-start-1",
        "model events",
        "model daily",
        "model a",
        "model b",
        "unit_test adds",
    ];
    // dbt 1.8 has no batches.
    if !version.starts_with("1.8.") {
        expected.extend(["batch 1 of 2 daily", "batch 2 of 2 daily"]);
    }
    for expected in &expected {
        assert!(
            told.iter().any(|one| one == expected),
            "{expected}: {told:?}"
        );
    }
    assert!(told.iter().any(|one| one.starts_with("test ")), "{told:?}");
    assert_eq!(told.len(), expected.len() + 1, "{told:?}");
    let last = reports.last().expect("a report");
    assert_eq!((&last["done"], &last["total"]), (&6.into(), &6.into()));
    assert!(
        !reports[0].contains_key("total"),
        "nobody knows it yet: {reports:?}"
    );
}
