//! `cargo xtask demo`: real data all the way from a command to its lineage.

use crate::python;
use crate::tools::{build, output, root, run, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What the demo exports.
const EXPORT: &str = "data-lake/exports/strikes_by_state_year.parquet";

/// The fresh folder of this run, with the program and the data folder in it.
struct Demo {
    pudato: PathBuf,
    folder: PathBuf,
}

/// `pudato up`, which stops when this is dropped.
struct Up(Child);

impl Up {
    fn stop(mut self) -> Result<(), String> {
        let pid = self.0.id().to_string();
        run(Command::new("kill").args(["-TERM", &pid]))?;
        match self.0.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("pudato up ended with {status}")),
            Err(error) => Err(format!("pudato up: {error}")),
        }
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the demo. Its output stays in `target/demo`.
pub fn demo() -> Result<(), String> {
    python::ensure_dbt()?;
    // The demo does not use AWS, and the SDK takes as long to build as everything else.
    let features = ["--no-default-features", "--features", "dbt,duckdb"];
    let program = [&["build", "-p", "pudato-cli"], &features[..]].concat();
    build("building pudato", &program)?;
    let demo = Demo {
        pudato: target().join("debug/pudato"),
        folder: target().join("demo"),
    };
    if demo.folder.exists() {
        fs::remove_dir_all(&demo.folder).map_err(|error| error.to_string())?;
    }
    fs::create_dir_all(&demo.folder).map_err(|error| error.to_string())?;
    let up = demo.up()?;
    let ran = demo.job();
    up.stop()?;
    let job = ran?;
    demo.show(&job)
}

impl Demo {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.pudato);
        command.current_dir(&self.folder);
        // The demo uses the defaults, regardless of the caller's environment.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let is_set = ["PUDATO_", "AWS_", "DBT_"];
            if is_set.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&*name);
            }
        }
        command.env("PUDATO_DATA_DIR", "pudato");
        command.env("DBT_PROJECT_DIR", root().join("examples/birdstrikes/dbt"));
        command.env("PUDATO_DBT", root().join(".venv/bin/dbt"));
        command
    }

    fn up(&self) -> Result<Up, String> {
        say(
            "pudato up",
            "all handlers and the results consumer, in a fresh data folder",
        );
        let log = fs::File::create(self.folder.join("up.log")).map_err(|e| e.to_string())?;
        let child = self
            .command()
            .arg("up")
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        let mut up = Up(child.map_err(|error| format!("pudato up: {error}"))?);
        // If it has ended, the pipeline would wait forever.
        while !self.folder.join("pudato/up.lock").exists() {
            if up
                .0
                .try_wait()
                .map_err(|error| error.to_string())?
                .is_some()
            {
                let log = fs::read_to_string(self.folder.join("up.log")).unwrap_or_default();
                return Err(format!("pudato up ended: {log}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(up)
    }

    /// Runs the pipeline. Returns its job.
    fn job(&self) -> Result<String, String> {
        let file = root().join("examples/birdstrikes/pipeline.yaml");
        say("pudato run", &shown(&file));
        let table = output(self.command().arg("run").arg(&file))?;
        print!("{table}");
        self.keep("run.txt", &table)?;
        // For the independent check: the mart, the rows that did not join, and the export.
        self.ask("mart.json", "SELECT * FROM mart.strikes_by_state_year", &[])?;
        self.ask(
            "unmatched.json",
            "SELECT * FROM mart.airports_not_joined",
            &[],
        )?;
        let exported = r#"sources:={"e": {"container": "data-lake", "path": "exports/strikes_by_state_year.parquet"}}"#;
        self.ask("export.json", "SELECT * FROM e", &[exported])?;
        let job = table.split_whitespace().next().unwrap_or_default();
        Ok(job.to_owned())
    }

    fn ask(&self, name: &str, sql: &str, more: &[&str]) -> Result<(), String> {
        let sql = format!("sql={sql}");
        let call = ["call", "query", "execute_sql", &sql, "max_rows:=100000"];
        let answer = output(self.command().args(call).args(more))?;
        self.keep(name, &answer)
    }

    fn keep(&self, name: &str, text: &str) -> Result<(), String> {
        fs::write(self.folder.join(name), text).map_err(|error| error.to_string())
    }

    /// Prints the job and the lineage, and also writes them to files.
    fn show(&self, job: &str) -> Result<(), String> {
        let lineage = ["lineage", EXPORT];
        say("pudato job show", job);
        run(self.command().args(["job", "show", job]))?;
        say("pudato lineage", &format!("{EXPORT}, back to its sources"));
        run(self.command().args(lineage))?;
        let job = output(self.command().args(["job", "show", job, "--json"]))?;
        let graph = output(self.command().args(lineage).arg("--json"))?;
        let picture = output(self.command().args(lineage).args(["--format", "svg"]))?;
        for (name, text) in [
            ("job.json", job),
            ("lineage.json", graph),
            ("lineage.svg", picture),
        ] {
            self.keep(name, &text)?;
        }
        println!(
            "\nThe same as a picture: {}",
            shown(&self.folder.join("lineage.svg"))
        );
        println!(
            "Look around: {} --data-dir {} job list",
            shown(&self.pudato),
            shown(&self.folder.join("pudato"))
        );
        Ok(())
    }
}

fn say(what: &str, about: &str) {
    println!("\n== {what}: {about}");
}

/// Shows a path below the root as a user in the root folder would type it.
fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}
