//! `cargo xtask demo`: real data all the way from a command to its lineage.

use crate::tools::{cargo, output, root, run, target};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The fresh folder of this run, with the program and the data folder in it.
struct Demo {
    pudato: PathBuf,
    folder: PathBuf,
}

/// `pudato up`, stopped when this is dropped.
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

/// Runs the demo; what it leaves behind is in `target/demo`.
pub fn demo() -> Result<(), String> {
    cargo("building pudato", &["build", "-p", "pudato-cli"])?;
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
        // The demo shows the defaults, whatever the caller's shell has set.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("PUDATO_") || name.starts_with("AWS_") {
                command.env_remove(&*name);
            }
        }
        command.env("PUDATO_DATA_DIR", "pudato");
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
        child.map(Up).map_err(|error| format!("pudato up: {error}"))
    }

    fn call(&self, args: &[&str]) -> Result<String, String> {
        output(self.command().arg("call").args(args))
    }

    /// Adds a step to the job and answers its id.
    fn step(&self, job: &str, name: &str, action: &str) -> Result<String, String> {
        let (job, name) = (format!("job_id={job}"), format!("step_name={name}"));
        let action = format!("action={action}");
        let step = self.call(&[
            "registry",
            "add_step",
            &job,
            &name,
            "handler_type=storage",
            &action,
        ])?;
        field(&step, "step_id")
    }

    /// The job, command by command; answers its id.
    fn job(&self) -> Result<String, String> {
        say(
            "create_job",
            "a run of the pipeline birdstrikes, with three steps",
        );
        let created = [
            "registry",
            "create_job",
            "pipeline=birdstrikes",
            "expected_steps:=3",
        ];
        let job = field(&self.call(&created)?, "job_id")?;
        let data = root().join("examples/birdstrikes/data");
        let sources = [
            ("ingest_strikes", "birdstrikes.csv"),
            ("ingest_airports", "airports.csv"),
        ];
        for (name, file) in sources {
            say("put_object", &format!("{file} -> data-lake/raw/{file}"));
            let step = self.step(&job, name, "put_object")?;
            let path = format!("path=raw/{file}");
            let data = format!("data=@{}", data.join(file).display());
            let step = format!("--step={step}");
            let job = format!("--job={job}");
            self.call(&[
                "storage",
                "put_object",
                "container=data-lake",
                &path,
                &data,
                &job,
                &step,
            ])?;
        }
        self.clean(&job)?;
        Ok(job)
    }

    /// Gets both sources, cleans them, puts the result: one step, so that what it read and what it wrote belong together.
    fn clean(&self, job: &str) -> Result<(), String> {
        say(
            "get_object, clean.py, put_object",
            "-> data-lake/clean/strikes.csv",
        );
        let step = format!("--step={}", self.step(job, "clean", "put_object")?);
        let job = format!("--job={job}");
        let work = self.folder.join("work");
        fs::create_dir_all(&work).map_err(|error| error.to_string())?;
        for file in ["birdstrikes.csv", "airports.csv"] {
            let path = format!("path=raw/{file}");
            let answer = self.call(&[
                "storage",
                "get_object",
                "container=data-lake",
                &path,
                &job,
                &step,
            ])?;
            fs::write(work.join(format!("{file}.json")), answer).map_err(|e| e.to_string())?;
        }
        let unpack = "import json, sys\nfor p in sys.argv[1:]:\n    \
            open(p, 'w', encoding='utf-8', newline='').write(json.load(open(p + '.json', encoding='utf-8'))['data'])";
        let (strikes, airports) = (work.join("birdstrikes.csv"), work.join("airports.csv"));
        run(python().arg("-c").arg(unpack).args([&strikes, &airports]))?;
        let script = root().join("examples/birdstrikes/clean.py");
        let clean = work.join("strikes.csv");
        run(python().args([&script, &strikes, &airports, &clean]))?;
        let data = format!("data=@{}", clean.display());
        let put = [
            "storage",
            "put_object",
            "container=data-lake",
            "path=clean/strikes.csv",
            &data,
            &job,
            &step,
        ];
        self.call(&put).map(|_| ())
    }

    /// Prints the job and the lineage, and leaves them in files as well.
    fn show(&self, job: &str) -> Result<(), String> {
        let lineage = ["lineage", "data-lake/clean/strikes.csv"];
        say("pudato job show", job);
        run(self.command().args(["job", "show", job]))?;
        say(
            "pudato lineage",
            "data-lake/clean/strikes.csv, back to its sources",
        );
        run(self.command().args(lineage))?;
        let job = output(self.command().args(["job", "show", job, "--json"]))?;
        let graph = output(self.command().args(lineage).arg("--json"))?;
        let picture = output(self.command().args(lineage).args(["--format", "svg"]))?;
        let files: [(&str, &str); 3] = [
            ("job.json", &job),
            ("lineage.json", &graph),
            ("lineage.svg", &picture),
        ];
        for (name, text) in files {
            fs::write(self.folder.join(name), text).map_err(|error| error.to_string())?;
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

fn python() -> Command {
    Command::new("python3")
}

fn say(what: &str, about: &str) {
    println!("\n== {what}: {about}");
}

/// Below the root, a path is shown as a reader in the root would type it.
fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

/// The text of a field of printed JSON. Ids need no unescaping, so no reader of JSON is needed here.
fn field(json: &str, name: &str) -> Result<String, String> {
    let key = format!("\"{name}\": \"");
    let found = json
        .split_once(&key)
        .and_then(|(_, rest)| rest.split_once('"'));
    found
        .map(|(value, _)| value.to_owned())
        .ok_or_else(|| format!("the answer has no {name}: {json}"))
}
