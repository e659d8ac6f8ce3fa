//! The dbt projects of the tests, and an installation that runs them.

use crate::support::{Installation, Serving, python};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The dbt that `PUDATO_TEST_DBT` names (`cargo xtask dbt-versions`), or that `cargo xtask test` installs.
pub fn dbt() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/bin/dbt");
    named_dbt().unwrap_or(installed)
}

fn named_dbt() -> Option<PathBuf> {
    let named = std::env::var_os("PUDATO_TEST_DBT").map(PathBuf::from)?;
    assert!(named.is_file(), "PUDATO_TEST_DBT: {named:?} is not a file");
    Some(named)
}

/// An installation with a dbt project of its own.
pub struct Bench {
    pub installation: Installation,
    pub project: PathBuf,
}

/// Writes a project with these files (path and text) into `folder`.
pub fn write_project(folder: &Path, files: &[(&str, &str)]) {
    let usual = [
        (
            "dbt_project.yml",
            "name: shop\nversion: '1.0'\nprofile: shop\nmodels:\n  +materialized: table\n",
        ),
        (
            "profiles.yml",
            "shop:\n  target: dev\n  outputs:\n    dev: {type: duckdb, path: \"{{ env_var('DUCKDB_PATH') }}\", threads: 2}\n",
        ),
    ];
    for (name, text) in usual.iter().chain(files) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }
}

impl Bench {
    /// `None`, with a message, if there is no dbt.
    pub fn new(files: &[(&str, &str)]) -> Option<Self> {
        if named_dbt().is_none() {
            python("dbt")?;
        }
        let mut installation = Installation::new();
        let project = installation.folder.path().join("project");
        write_project(&project, files);
        installation.set("DBT_PROJECT_DIR", &project.display().to_string());
        installation.set("PUDATO_DBT", &dbt().display().to_string());
        Some(Self {
            installation,
            project,
        })
    }

    pub fn up(&self) -> Serving {
        self.installation.up()
    }

    /// A Command's Result, whatever its status.
    pub fn call(&self, action: &str, args: &[&str]) -> Value {
        let mut all = vec!["call", "transform", action, "--json"];
        all.extend(args);
        let output = self.installation.run(&all);
        let text = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&text).unwrap_or_else(|_| {
            let error = String::from_utf8_lossy(&output.stderr);
            panic!("{all:?}: {text}{error}\n{}", self.installation.logged())
        })
    }

    /// Sends a Command and does not wait for its Result.
    pub fn begin(&self, action: &str, args: &[&str]) -> Child {
        let mut all = vec!["call", "transform", action, "--json"];
        all.extend(args);
        let mut command = self.installation.command(&all);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("the program starts")
    }

    /// The answer to a Command that was sent before.
    pub fn end(&self, child: Child) -> Value {
        self.end_with_progress(child).0
    }

    /// The same, with the output until then.
    pub fn end_with_progress(&self, child: Child) -> (Value, String) {
        let output = child.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&output.stdout);
        let result = serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{text}\n{}", self.installation.logged()));
        (result, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// The dbt processes of this installation: its folder is in their arguments.
    pub fn running(&self) -> Vec<u32> {
        let mark = self.installation.folder.path().display().to_string();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).replace('\0', " ");
            words.contains(&mark) && words.contains("--target-path=")
        })
        .collect()
    }

    /// The dbt processes without their guards.
    pub fn running_dbt(&self) -> Vec<u32> {
        let is_dbt = |pid: &u32| {
            let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            !words.starts_with(b"/bin/sh")
        };
        self.running().into_iter().filter(is_dbt).collect()
    }

    /// Checks that nothing of a run is left: no process and no file.
    pub fn check_clean(&self) {
        crate::support::wait("the end of every dbt", || self.running().is_empty());
        let runs = self.installation.data().join("transform/runs");
        let left: Vec<_> = std::fs::read_dir(runs)
            .into_iter()
            .flatten()
            .flatten()
            .collect();
        assert!(left.is_empty(), "{left:?}");
        assert!(
            !self.project.join("target").exists(),
            "nothing is written into the project"
        );
        assert!(
            !self.project.join("logs").exists(),
            "nothing is written into the project"
        );
    }

    /// The rows of a table, from the query service.
    pub fn rows(&self, sql: &str) -> Value {
        let sql = format!("sql={sql}");
        let answer = self
            .installation
            .ok(&["call", "query", "execute_sql", &sql, "--json"]);
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["data"]["rows"].clone()
    }
}

/// A node's status in `Result.data.nodes`.
pub fn status<'a>(result: &'a Value, id: &str) -> &'a Value {
    let nodes = result["data"]["nodes"].as_array().expect("nodes");
    let node = nodes.iter().find(|node| node["unique_id"] == id);
    &node.unwrap_or_else(|| panic!("no {id} in {nodes:?}"))["status"]
}

/// The last parts of the locations of a Result's inputs or outputs, sorted.
pub fn names(result: &Value, side: &str) -> Vec<String> {
    let all = result[side].as_array().expect("references");
    let mut names: Vec<String> = all.iter().map(|one| short(&one["location"])).collect();
    names.sort();
    names
}

pub fn short(location: &Value) -> String {
    let location = location.as_str().expect("a location");
    location
        .rsplit(['#', '/'])
        .next()
        .unwrap_or(location)
        .to_owned()
}

/// The inputs of each output.
pub fn pairs(result: &Value) -> Value {
    let outputs = result["outputs"].as_array().expect("references");
    let pairs = outputs.iter().map(|output| {
        let from = output["metadata"]["from"].as_array().expect("a list");
        let mut from: Vec<String> = from.iter().map(short).collect();
        from.sort();
        (short(&output["location"]), json!(from))
    });
    Value::Object(pairs.collect())
}

/// Runs a program that succeeds.
pub fn ok(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}
