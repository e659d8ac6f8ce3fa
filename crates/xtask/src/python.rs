//! Gets the Python packages that tests hold pudato against, into `.venv` of the clone.

use crate::tools::{root, run};
use std::env;
use std::fs;
use std::process::Command;

/// What is installed, with its versions.
const REQUIREMENTS: &str = "fixtures/requirements.txt";

/// Sees to it that `.venv` has what [`REQUIREMENTS`] says. Without Python or a network the tests that need them say that
/// they were skipped; in CI, which sets `CI`, that is a failure.
pub fn ensure() -> Result<(), String> {
    match installed() {
        Err(why) if env::var_os("CI").is_none() => {
            eprintln!("xtask: {why}; the tests that need Python's packages are skipped");
            Ok(())
        }
        outcome => outcome,
    }
}

/// Sees to it that `.venv-localstack` has LocalStack, whose packages do not go together with the others.
pub fn ensure_localstack() -> Result<(), String> {
    install(".venv-localstack", "fixtures/requirements-localstack.txt")
}

fn installed() -> Result<(), String> {
    install(".venv", REQUIREMENTS)
}

fn install(folder: &str, requirements: &str) -> Result<(), String> {
    let (folder, file) = (root().join(folder), root().join(requirements));
    let wanted =
        fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    // Written last, so that an installation that was cut off is done again.
    let stamp = folder.join("installed.txt");
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    eprintln!("xtask: installing {requirements} in {}", folder.display());
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet"]);
    pip.args(["--disable-pip-version-check", "--requirement"]);
    run(pip.arg(&file))?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}
