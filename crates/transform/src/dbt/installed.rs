//! The packages that dbt's Python has installed. pudato asks before each run, because pip may change them while this program runs, and a
//! user who follows the advice of an error expects it to disappear.

use crate::process::child::{self, Exit, Limits};
use serde::Deserialize;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for Python's answer, which takes some 50 ms. Without an answer the versions are unknown.
const DEADLINE: Duration = Duration::from_secs(60);

/// Most bytes to read from the start of a program to find its interpreter.
const HEAD: u64 = 4_096;

/// Asks for the installed versions without importing anything.
const ASK: &str = "
import importlib.metadata, json
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({'dbt': version('dbt-core') or version('dbt'), 'duckdb': version('dbt-duckdb') and version('duckdb')}))
";

/// The versions of packages; `None` if a package is not installed or pudato cannot ask, because not every dbt is written in Python.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Installed {
    /// The version of dbt.
    pub(crate) dbt: Option<String>,
    /// The version of the DuckDB that dbt's adapter uses.
    pub(crate) duckdb: Option<String>,
    /// The command of its Python.
    #[serde(skip)]
    python: String,
}

impl Installed {
    /// Asks the Python of `program`, in the environment that dbt gets.
    pub(crate) async fn of(program: &Path, environment: &[(OsString, OsString)]) -> Self {
        let Some(python) = interpreter(program) else {
            return Self::default();
        };
        let called = python.join(" ");
        let mut words = python.into_iter().map(OsString::from);
        let Some(first) = words.next() else {
            return Self::default();
        };
        let args: Vec<OsString> = words.chain(["-c".into(), ASK.into()]).collect();
        let mut said = None;
        let mut line = |line: &str| {
            said = serde_json::from_str::<Self>(line).ok().or(said.take());
            true
        };
        // Python searches for modules in its working directory. Like dbt, this uses the program's folder, and never a project's.
        let folder = program.parent().unwrap_or(Path::new("/"));
        let limits = Limits::until(DEADLINE);
        let first = PathBuf::from(first);
        let ran = child::run(&first, &args, folder, environment, limits, &mut line);
        match (ran.await, said) {
            (Ok(Exit::Code(0)), Some(said)) => Self {
                python: called,
                ..said
            },
            _ => Self::default(),
        }
    }

    /// Whether dbt has at least this major version, as far as is known.
    pub(crate) fn is_dbt_from(&self, major: u32) -> bool {
        let dbt = self.dbt.as_deref().and_then(number);
        dbt.is_some_and(|(own, _)| own >= major)
    }

    /// Refuses a DuckDB that is newer than `own`, because `own` could no longer read what the newer one wrote.
    ///
    /// # Errors
    /// The text names both versions and what to install.
    pub(crate) fn check_duckdb(&self, own: &str, file: &Path) -> Result<(), String> {
        let Some(theirs) = &self.duckdb else {
            return Ok(());
        };
        // The file format stays the same within a minor version.
        match (number(theirs), number(own)) {
            (Some(newer), Some((major, minor))) if newer > (major, minor) => Err(format!(
                "dbt's Python has DuckDB {theirs}, but this pudato has DuckDB {}, which cannot read what a newer version writes, so dbt cannot use the \
                 warehouse {}; install an older version ({} -m pip install 'duckdb=={major}.{minor}.*'), or use another file in the profile",
                own.trim_start_matches('v'),
                file.display(),
                self.python,
            )),
            _ => Ok(()),
        }
    }
}

/// The major and minor version.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches(['v', '=']).split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The command of the Python that runs `program`: from its first line, or from its second if the path is too long or contains a space (as
/// pip and uv write it). `None` if the program is not a Python script.
fn interpreter(program: &Path) -> Option<Vec<String>> {
    let mut head = Vec::new();
    let file = std::fs::File::open(program).ok()?;
    file.take(HEAD).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines();
    let words = lines.next()?.strip_prefix("#!")?.split_whitespace();
    let words: Vec<&str> = words.collect();
    if is_python(words.first()?) {
        return Some(words.into_iter().map(str::to_owned).collect());
    }
    if let [env, python, ..] = words[..]
        && env.ends_with("/env")
        && is_python(python)
    {
        return Some(vec![env.to_owned(), python.to_owned()]);
    }
    let called = lines.next()?.trim().strip_prefix("'''exec' ")?;
    let (called, _) = called.split_once(" \"$0\" ")?;
    let called = match called.contains("$(") {
        // In a relocatable environment, Python is beside the program.
        true => {
            let own = program.canonicalize().ok()?;
            own.parent()?.join("python").display().to_string()
        }
        false => called.trim_matches(['\'', '"']).to_owned(),
    };
    is_python(&called).then(|| vec![called])
}

fn is_python(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.starts_with("python") || name.starts_with("pypy")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_python_of_a_program_is_the_one_that_runs_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("dbt");
        let beside = folder.path().canonicalize().expect("a path");
        let beside = beside.join("python").display().to_string();
        for (text, expected) in [
            ("#!/v/bin/python3\nimport dbt", Some("/v/bin/python3")),
            ("#!/v/bin/python3.11 -sP\n", Some("/v/bin/python3.11|-sP")),
            ("#!/usr/bin/env python3\n", Some("/usr/bin/env|python3")),
            (
                "#!/bin/sh\n'''exec' /a/long/python \"$0\" \"$@\"\n' '''\nimport dbt",
                Some("/a/long/python"),
            ),
            (
                "#!/bin/sh\n'''exec' '/a b/python3' \"$0\" \"$@\"\n' '''",
                Some("/a b/python3"),
            ),
            (
                "#!/bin/sh\n'''exec' \"$(dirname -- \"$(realpath -- \"$0\")\")\"/'python' \"$0\" \"$@\"\n' '''",
                Some(beside.as_str()),
            ),
            ("#!/bin/sh\nexec dbt \"$@\"\n", None),
            ("#!/usr/bin/env bash\n", None),
            ("\u{7f}ELF", None),
            ("", None),
        ] {
            std::fs::write(&program, text).expect("written");
            let found = interpreter(&program).map(|words| words.join("|"));
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        assert_eq!(interpreter(&folder.path().join("nothing")), None);
    }

    #[test]
    fn only_a_newer_duckdb_is_refused_and_the_error_says_what_to_install() {
        let with = |duckdb: Option<&str>| Installed {
            dbt: Some("2.0.9".into()),
            duckdb: duckdb.map(str::to_owned),
            python: "/v/bin/python".into(),
        };
        let file = Path::new("/w.duckdb");
        for theirs in [
            Some("1.5.6"),
            Some("1.5.9"),
            Some("1.4.4"),
            Some("odd"),
            None,
        ] {
            with(theirs)
                .check_duckdb("v1.5.6", file)
                .expect("older, or not known");
        }
        for theirs in ["1.6.0", "2.0.1", "1.10.0"] {
            let refused = with(Some(theirs)).check_duckdb("v1.5.6", file);
            let said = refused.expect_err("newer");
            for part in [
                theirs,
                "DuckDB 1.5.6",
                "/v/bin/python -m pip install 'duckdb==1.5.*'",
                "/w.duckdb",
            ] {
                assert!(said.contains(part), "{said}");
            }
        }
        assert!(with(None).is_dbt_from(2) && !with(None).is_dbt_from(3));
        assert!(!Installed::default().is_dbt_from(1));
    }
}
