//! What the Python of a dbt has installed. pudato asks before each run, not once: pip may change the packages while this program runs, and a user
//! who follows the advice of an error expects it to disappear.

use crate::process::child::{self, Ended, Terms};
use serde::Deserialize;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long to wait for Python's answer, which takes some 50 ms. Without an answer the versions are unknown.
const DEADLINE: Duration = Duration::from_secs(60);

/// Most bytes to read from the start of a program to find its interpreter.
const HEAD: u64 = 4_096;

/// Asks what is installed and imports none of it.
const ASK: &str = "
import importlib.metadata, json
def version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
print(json.dumps({'dbt': version('dbt-core') or version('dbt'), 'duckdb': version('dbt-duckdb') and version('duckdb')}))
";

/// Versions; each is `None` if the package is not installed or pudato cannot ask: not every dbt is written in Python.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Installed {
    /// dbt itself.
    pub(crate) dbt: Option<String>,
    /// The DuckDB that its adapter brings.
    pub(crate) duckdb: Option<String>,
    /// How its Python is called.
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
        // Python looks for modules where it is run: in the program's folder, as dbt does, and never in a project's.
        let folder = program.parent().unwrap_or(Path::new("/"));
        let terms = Terms::until(DEADLINE);
        let first = PathBuf::from(first);
        let ran = child::run(&first, &args, folder, environment, terms, &mut line);
        match (ran.await, said) {
            (Ok(Ended::Code(0)), Some(said)) => Self {
                python: called,
                ..said
            },
            _ => Self::default(),
        }
    }

    /// Whether dbt is of this version or a later one, as far as is known.
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
        // Files are the same within major and minor.
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

/// Major and minor of a version.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches(['v', '=']).split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// How the Python is called that runs `program`: by its first line, or by its second where that path is too long for a first line or has
/// a space in it (as pip and uv write it); `None` where it is no script of Python's.
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
        // An environment that may be moved: its Python lies beside the program.
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
