//! Runs the real program on a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The longest wait in a test. A slow machine may take ten times longer than on a good day, and a passing test does not wait for it.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// A fresh installation.
pub struct Installation {
    pub folder: TempDir,
    settings: Vec<(&'static str, String)>,
}

/// A process that serves. It is killed when this is dropped.
pub struct Serving(pub Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Serving {
    pub fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args([name, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for the end of the process. Returns its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Installation {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            settings: Vec::new(),
        }
    }

    /// Sets a variable for every program that is run from now on.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.settings.push((name, value.to_owned()));
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The program with only the settings of this installation. A call without a timeout gets that of the tests.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pudato"));
        command.args(args);
        if args.first() == Some(&"call") && !args.contains(&"--timeout") {
            command.args(["--timeout", &PATIENCE.as_secs().to_string()]);
        }
        self.prepared(command)
    }

    /// Another program, with the same settings.
    #[allow(dead_code, reason = "the tests on AWS need it")]
    pub fn program(&self, path: &str) -> Command {
        self.prepared(Command::new(path))
    }

    /// A shell with the program as `$0`.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_pudato")]);
        self.prepared(command)
    }

    fn prepared(&self, mut command: Command) -> Command {
        command.current_dir(self.folder.path());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            let prefixes = ["PUDATO_", "AWS_", "OPENLINEAGE_"];
            if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                command.env_remove(&*name);
            }
        }
        command.env("PUDATO_DATA_DIR", "data");
        command.env("PUDATO_VISIBILITY_SECONDS", "2");
        for (name, value) in &self.settings {
            command.env(name, value);
        }
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the program runs")
    }

    /// Runs a command that succeeds. Returns its output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Runs a command that fails. Returns its exit code and its stderr.
    pub fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{args:?} must fail");
        (output.status.code().unwrap_or(-1), error)
    }

    pub fn serve(&self, args: &[&str]) -> Serving {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log());
        let child = self
            .command(args)
            .stdout(Stdio::null())
            .stderr(log.expect("a log"))
            .spawn();
        Serving(child.expect("the program starts"))
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn logged(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Serves everything. Returns once the program reports that it runs.
    pub fn up(&self) -> Serving {
        let lock = self.data().join("up.lock");
        let _ = std::fs::remove_file(&lock);
        let up = self.serve(&["up"]);
        wait("pudato up", || lock.exists());
        up
    }

    /// Reads a database of the folder.
    pub fn open(&self, name: &str) -> rusqlite::Connection {
        let connection = rusqlite::Connection::open(self.data().join(name)).expect("opened");
        connection.busy_timeout(PATIENCE).expect("set");
        connection
    }

    pub fn count(&self, database: &str, sql: &str) -> i64 {
        let connection = self.open(database);
        connection
            .query_row(sql, [], |row| row.get(0))
            .expect("counted")
    }
}

/// Waits until `done`.
pub fn wait(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes a file below the folder of the test.
pub fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

/// A Python with `module`, as `cargo xtask test` installs it. `None`, with a message, if it is missing; in CI that is a failure.
pub fn python(module: &str) -> Option<String> {
    let python = concat!(env!("CARGO_MANIFEST_DIR"), "/../../.venv/bin/python");
    let has_it = Command::new(python)
        .args(["-c", &format!("import {module}")])
        .output();
    if has_it.is_ok_and(|output| output.status.success()) {
        return Some(python.to_owned());
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "{python} has no {module}: run `cargo xtask test`"
    );
    eprintln!("SKIPPED: {python} has no {module}; `cargo xtask test` installs it");
    None
}

/// Checks a file of events with OpenLineage's schemas and client. Prints a message if they are missing.
pub fn check_openlineage(file: &Path) -> Option<serde_json::Value> {
    let python = python("openlineage.client, jsonschema")?;
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/check_openlineage.py"
    );
    let output = Command::new(python)
        .arg(script)
        .arg(file)
        .output()
        .expect("python runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}
