//! Gets Python packages: into `.venv` of the clone those that tests hold pudato against, and dbt.

use crate::tools::{root, run, target};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is installed, with its versions: for the tests, and for the demo.
const REQUIREMENTS: &str = "fixtures/requirements.txt";
const DBT: &str = "fixtures/requirements-dbt.txt";

/// Sees to it that `.venv` has what [`REQUIREMENTS`] says, and dbt. Without Python or a network the tests that need them say that
/// they were skipped; in CI, which sets `CI`, that is a failure.
pub fn ensure() -> Result<(), String> {
    match install(&root().join(".venv"), REQUIREMENTS).and_then(|()| ensure_dbt()) {
        Err(why) if env::var_os("CI").is_none() => {
            eprintln!("xtask: {why}; the tests that need Python's packages are skipped");
            Ok(())
        }
        outcome => outcome,
    }
}

/// Sees to it that `.venv` has dbt.
pub fn ensure_dbt() -> Result<(), String> {
    install(&root().join(".venv"), DBT)
}

/// Sees to it that `.venv-localstack` has LocalStack, whose packages do not go together with the others.
pub fn ensure_localstack() -> Result<(), String> {
    let folder = root().join(".venv-localstack");
    install(&folder, "fixtures/requirements-localstack.txt")
}

/// Sees to it that there are zig and cargo-zigbuild, which build what Lambda runs; answers for the folder of their programs. They
/// lie beside what they build, because the linker's path is part of what cargo knows a build by: in `.venv`, every other clone
/// would build all of it anew.
pub fn ensure_zig() -> Result<PathBuf, String> {
    let folder = target().join("venv-lambda");
    install(&folder, "fixtures/requirements-lambda.txt")?;
    Ok(folder.join("bin"))
}

fn install(folder: &Path, requirements: &str) -> Result<(), String> {
    let file = root().join(requirements);
    let wanted =
        fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    // Written last, so that an installation that was cut off is done again.
    let name = file.file_name().unwrap_or_default();
    let stamp = folder.join(format!("installed-{}", name.to_string_lossy()));
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(());
    }
    eprintln!("xtask: installing {requirements} in {}", folder.display());
    if !folder.join("bin/python").exists() {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder))?;
    }
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet"]);
    pip.args(["--disable-pip-version-check", "--requirement"]);
    run(pip.arg(&file))?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}
