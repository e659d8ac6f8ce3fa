//! The process in which DuckDB runs: a Python interpreter that loads this module and nothing else of the package.

use pyo3::prelude::*;
use pyo3::types::PyModule;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the interpreter runs. Its arguments: what this process is, the file of this module, and the version that is expected in it.
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
/// The exit code of a process that cannot start; it has said why.
const FAILED: u8 = 70;

/// Acts as the process in which DuckDB runs, for a program whose module has this version, and returns the exit code.
#[pyfunction]
pub(crate) fn engine_process(py: Python<'_>, expected: &str) -> u8 {
    if expected != VERSION {
        eprintln!(
            "pudato {expected} runs, and {VERSION} was installed in its place meanwhile: restart the program"
        );
        return FAILED;
    }
    py.detach(pudato_runtime::serve_queries)
}

/// Names the interpreter of this process as what the engine's process is started by. Without one, as in a program that was frozen into one
/// file, DuckDB runs in this process, which says so when it opens.
pub(crate) fn name(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let file = module.getattr("__file__").and_then(|file| file.extract());
    let (Ok(file), Some(interpreter)) = (file, interpreter(module.py())?) else {
        return Ok(());
    };
    // The process is started in another folder.
    let file = std::path::absolute::<PathBuf>(file)?;
    // `-I`: nothing of the user's environment and folder; `-S`: no packages, whose `.pth` files run code.
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

/// The program of this interpreter. Where Python is embedded, as in a web server, `sys.executable` is the server, which must not be started
/// again; Python's own program then lies in its installation.
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
