//! Commands for the Python package other than building a wheel: the reference page and the measurements.

use crate::duckdb::{self, Linking};
use crate::tools::{self, output, root, run, target};
use crate::{python, wheel};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package's sources.
const SOURCES: &str = "crates/python/python";

/// `cargo xtask reference`: writes the page from the docstrings. It needs only Python.
///
/// # Errors
/// The script cannot be run.
pub fn reference() -> Result<(), String> {
    run(Command::new("python3")
        .arg("docs/reference.py")
        .current_dir(root()))
}

/// `cargo xtask bench python`: measures the package as users would install it.
///
/// # Errors
/// It cannot be built, or a measurement failed.
pub fn bench(args: &[&str]) -> Result<(), String> {
    let is_json = match args {
        [] => false,
        ["--json"] => true,
        _ => {
            return Err(format!(
                "bench python: expected --json or nothing, found {args:?}"
            ));
        }
    };
    let python = python::ensure_package()?;
    // Build the same crates as the other measurements, so that they share one build.
    let build = [&crate::BENCH_BUILD[..], &["-p", "pudato-python"]].concat();
    tools::build("building the Python package for the measurement", &build)?;
    let package = laid_out()?;
    let scripts = root().join("benches/python");
    for script in scripts_in(&scripts)? {
        let mut measure = Command::new(&python);
        measure
            .arg(&script)
            .env("PYTHONPATH", &package)
            .current_dir(root());
        let said = output(&mut measure)?;
        for line in said.lines() {
            show(line, is_json);
        }
    }
    for file in wheel::wheels(&wheel::folder()).unwrap_or_default() {
        let megabytes = wheel::megabytes(&file)?;
        let figure = json!({"name": "python.wheel_mb", "value": megabytes, "unit": "MB"});
        show(&figure.to_string(), is_json);
    }
    Ok(())
}

/// Prints a figure, given as a line of JSON with `name`, `value` and `unit`, in the format of the other measurements. Other lines are plain text.
fn show(line: &str, is_json: bool) {
    let figure: Option<Value> = serde_json::from_str(line).ok();
    let figure = figure.filter(|figure| figure["value"].is_number());
    match figure {
        Some(figure) if is_json => println!("{figure}"),
        Some(figure) => {
            let text = |name: &str| figure[name].as_str().unwrap_or_default().to_owned();
            let value = figure["value"].as_f64().unwrap_or_default();
            println!("{:<28} {value:>12.3} {}", text("name"), text("unit"));
        }
        None if is_json => {}
        None => println!("{line}"),
    }
}

fn scripts_in(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(folder).map_err(failed)?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut scripts: Vec<PathBuf> = paths
        .filter(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            // The other files are modules that the scripts import.
            path.extension().is_some_and(|end| end == "py") && text.contains("__main__")
        })
        .collect();
    scripts.sort();
    Ok(scripts)
}

/// Lays the package out as in an installation: the sources, the extension module, and libduckdb where the module looks for it.
fn laid_out() -> Result<PathBuf, String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let folder = target().join("python-release");
    let package = folder.join("pudato");
    if package.exists() {
        fs::remove_dir_all(&package).map_err(|error| failed(&package, error))?;
    }
    fs::create_dir_all(&folder).map_err(|error| failed(&folder, error))?;
    let mut copy = Command::new("cp");
    copy.arg("-R").arg(root().join(SOURCES).join("pudato"));
    output(copy.arg(&package))?;
    let built = target().join("release");
    let module = match cfg!(target_os = "macos") {
        true => built.join("lib_core.dylib"),
        false => built.join("lib_core.so"),
    };
    let to = package.join("_core.abi3.so");
    fs::copy(&module, &to).map_err(|error| failed(&module, error))?;
    if let Linking::Ready(library) = duckdb::ensure()? {
        let name = library.file_name().unwrap_or_default();
        let beside = package.join(name);
        fs::copy(&library, &beside).map_err(|error| failed(&beside, error))?;
    }
    Ok(folder)
}
