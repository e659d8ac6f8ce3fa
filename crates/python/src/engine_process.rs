//! The process that runs DuckDB: a Python interpreter that loads only this module of the package.

use pyo3::prelude::*;
use pyo3::types::PyModule;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The code that the interpreter runs. Its arguments are the name of the process, the file of this module, and the version that it must have.
const START: &str = "\
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
_, _, path, version = sys.argv
loader = ExtensionFileLoader('pudato._core', path)
core = loader.create_module(ModuleSpec('pudato._core', loader, origin=path))
loader.exec_module(core)
sys.exit(core.engine_process(version))
";

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The exit code of a process that cannot start. It has already printed the reason.
const FAILED: u8 = 70;

/// Runs DuckDB in this process for a program with this version of the module. Returns the exit code.
#[pyfunction]
pub(crate) fn engine_process(py: Python<'_>, expected: &str) -> u8 {
    if expected != VERSION {
        eprintln!(
            "pudato {expected} runs, but {VERSION} has been installed in its place: restart the program"
        );
        return FAILED;
    }
    py.detach(pudato_runtime::serve_queries)
}

/// Makes pudato start the engine process with this process's interpreter. If there is none, as in a program frozen into a single file,
/// DuckDB runs in this process, and pudato says so when it opens the warehouse.
pub(crate) fn name(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let file = module.getattr("__file__").and_then(|file| file.extract());
    let (Ok(file), Some(interpreter)) = (file, interpreter(module.py())?) else {
        return Ok(());
    };
    // The process starts in a different folder.
    let file = std::path::absolute::<PathBuf>(file)?;
    // `-I` ignores the user's environment and folder; `-S` loads no packages, whose `.pth` files could run code.
    let args: [OsString; 7] = [
        "-I".into(),
        "-S".into(),
        "-c".into(),
        START.into(),
        "pudato-query-engine".into(),
        file.into(),
        VERSION.into(),
    ];
    pudato_runtime::query_process_started_by(interpreter, args.into());
    Ok(())
}

/// Finds the interpreter's executable. If Python is embedded, for example in a web server, `sys.executable` is the server, which must not be
/// started again; then the executable is in the Python installation.
fn interpreter(py: Python<'_>) -> PyResult<Option<PathBuf>> {
    let sys = py.import("sys")?;
    if sys.hasattr("frozen")? {
        return Ok(None);
    }
    let named = |name: &str| {
        let path: Option<PathBuf> = sys.getattr(name).ok()?.extract().ok()?;
        path
    };
    let minor = py.version_info().minor;
    let installed = named("exec_prefix").map(|folder| folder.join(format!("bin/python3.{minor}")));
    let candidates = [named("executable"), installed].into_iter().flatten();
    Ok(candidates.into_iter().find(|path| is_python(path)))
}

fn is_python(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.to_ascii_lowercase().starts_with("python") && path.is_file()
}
