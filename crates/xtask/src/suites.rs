//! `cargo xtask test`: builds the programs of all tests and runs them beside each other. The long ones mostly wait, for servers and for clocks,
//! and leave the cores to others.

use crate::duckdb::{self, Linking};
use crate::tools::{self, as_by_hand, target};
use crate::{lambda, python};
use serde_json::Value;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Begun first, because the others are done before these are; the longest first. Each with how many of its tests run at once for each core:
/// those of `aws` wait for leases, deadlines and calls that hang, three quarters of their time.
const LONG: [(&str, usize); 10] = [
    ("transform", 1),
    ("aws", 2),
    ("deploy", 1),
    ("cli", 1),
    ("python", 1),
    ("conformance_aws", 1),
    ("day", 1),
    ("round_trip", 1),
    ("stores", 1),
    ("loops", 1),
];

/// What libtest reads; who sets it decides for all.
const THREADS: &str = "RUST_TEST_THREADS";

/// One program of tests.
struct Suite {
    /// Its crate and its name, e.g. `pudato-cli aws`.
    name: String,
    program: PathBuf,
    /// Where cargo would run it.
    folder: PathBuf,
}

impl Suite {
    /// In [`LONG`].
    fn place(&self) -> Option<usize> {
        let name = self.name.rsplit('/').next()?;
        LONG.iter().position(|(long, _)| *long == name)
    }
}

/// How one of them ended.
struct Ended {
    name: String,
    took: Duration,
    /// Where what it printed lies.
    log: PathBuf,
    is_good: bool,
}

/// Runs every test. Some let other programs prove what pudato says, so those are installed first.
///
/// # Errors
/// Something cannot be built, or a test failed.
pub fn test() -> Result<(), String> {
    python::ensure()?;
    match lambda::build_for_tests() {
        Err(why) if std::env::var_os("CI").is_none() => {
            eprintln!("xtask: {why}; the tests that deploy them are skipped");
        }
        built => built?,
    }
    let build = ["test", "--workspace", "--no-run"];
    let json = ["--message-format=json-render-diagnostics"];
    let built = tools::built("building every test", &[&build[..], &json].concat())?;
    let ended = run_all(in_order(suites(&built)))?;
    tools::build(
        "running the documentation's examples",
        &["test", "--workspace", "--doc"],
    )?;
    verdict(&ended)
}

/// What cargo says that it built.
fn suites(messages: &str) -> Vec<Suite> {
    let suite = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_test = message["profile"]["test"].as_bool()?;
        let program = PathBuf::from(message["executable"].as_str()?);
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
        let package = folder.file_name()?.to_string_lossy().into_owned();
        let name = message["target"]["name"].as_str()?;
        is_test.then(|| Suite {
            name: format!("{package}/{name}"),
            program,
            folder: folder.to_owned(),
        })
    };
    messages.lines().filter_map(suite).collect()
}

fn in_order(mut suites: Vec<Suite>) -> VecDeque<Suite> {
    // Stable: what is not long stays in cargo's order.
    suites.sort_by_key(|suite| suite.place().unwrap_or(LONG.len()));
    suites.into()
}

/// Runs them, one more at once than there are cores because two of the first mostly wait, and prints what each printed when it has ended.
fn run_all(suites: VecDeque<Suite>) -> Result<Vec<Ended>, String> {
    let at_once = 1 + cores();
    eprintln!(
        "xtask: running {} programs of tests, {at_once} at once",
        suites.len()
    );
    let logs = target().join("test-logs");
    fs::create_dir_all(&logs).map_err(|error| format!("{}: {error}", logs.display()))?;
    let library = match duckdb::ensure()? {
        Linking::Ready(library) => library.parent().map(Path::to_owned),
        Linking::Bundled => None,
    };
    let (waiting, ended) = (Mutex::new(suites), Mutex::new(Vec::new()));
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    let work = || -> Result<(), String> {
        while let Some(suite) = next() {
            let log = logs.join(suite.name.replace('/', "-"));
            let one = run_one(suite, log, library.as_deref())?;
            let mut ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
            say(&one);
            ended.push(one);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let mut ended = lanes.into_iter().map(|lane| lane.join());
        ended.try_for_each(|lane| {
            lane.unwrap_or_else(|_| Err("a thread of xtask panicked".to_owned()))
        })
    })?;
    Ok(ended.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// As cargo runs it, with its output in a file.
fn run_one(suite: Suite, log: PathBuf, library: Option<&Path>) -> Result<Ended, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", suite.name);
    let output = File::create(&log).map_err(failed)?;
    let mut command = Command::new(&suite.program);
    as_by_hand(&mut command).current_dir(&suite.folder);
    command.env("CARGO_MANIFEST_DIR", &suite.folder);
    command.env("CARGO", tools::cargo());
    if let Some(place) = suite.place()
        && std::env::var_os(THREADS).is_none()
    {
        command.env(THREADS, (LONG[place].1 * cores()).to_string());
    }
    let name = match cfg!(target_os = "macos") {
        true => "DYLD_FALLBACK_LIBRARY_PATH",
        false => "LD_LIBRARY_PATH",
    };
    let before = std::env::var_os(name).unwrap_or_default();
    let mut folders: Vec<PathBuf> = library.map(Path::to_owned).into_iter().collect();
    folders.extend(std::env::split_paths(&before));
    let folders = std::env::join_paths(folders).map_err(|error| error.to_string())?;
    command.env(name, folders);
    command.stdout(output.try_clone().map_err(failed)?);
    command.stderr(output);
    let started = Instant::now();
    let status = command.status().map_err(failed)?;
    Ok(Ended {
        name: suite.name,
        took: started.elapsed(),
        log,
        is_good: status.success(),
    })
}

fn say(ended: &Ended) {
    let text = fs::read(&ended.log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let how = if ended.is_good { "passed" } else { "FAILED" };
    let seconds = ended.took.as_secs_f64();
    println!(
        "{}\n== {} {how} in {seconds:.1} s",
        text.trim_end(),
        ended.name
    );
}

/// Says what took long, and fails with the names of those that failed.
fn verdict(ended: &[Ended]) -> Result<(), String> {
    let mut longest: Vec<&Ended> = ended.iter().collect();
    longest.sort_by_key(|ended| std::cmp::Reverse(ended.took));
    let longest = longest.iter().take(10);
    let longest: Vec<String> = longest
        .map(|ended| format!("{} {:.0} s", ended.name, ended.took.as_secs_f64()))
        .collect();
    eprintln!("xtask: the longest: {}", longest.join(", "));
    let failed = ended.iter().filter(|ended| !ended.is_good);
    let failed: Vec<String> = failed
        .map(|ended| format!("{} ({})", ended.name, ended.log.display()))
        .collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(format!("tests failed in {}", failed.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::{in_order, suites};

    #[test]
    fn programs_of_tests_are_found_and_the_long_ones_come_first() {
        let line = |name: &str, is_test: bool, program: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/r/crates/cli/Cargo.toml","target":{{"name":"{name}"}},"profile":{{"test":{is_test}}},"executable":{program}}}"#
            )
        };
        let messages = [
            line("short", true, "\"/t/short\""),
            line("pudato", false, "\"/t/pudato\""),
            line("library", true, "null"),
            line("deploy", true, "\"/t/deploy\""),
            "no JSON".to_owned(),
            line("aws", true, "\"/t/aws\""),
        ];
        let found = in_order(suites(&messages.join("\n")));
        let names: Vec<&str> = found.iter().map(|suite| suite.name.as_str()).collect();
        assert_eq!(names, ["cli/aws", "cli/deploy", "cli/short"]);
        assert_eq!(found[0].program.to_str(), Some("/t/aws"));
        assert_eq!(found[0].folder.to_str(), Some("/r/crates/cli"));
    }
}
