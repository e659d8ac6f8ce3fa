//! The command `pudato` of the Python package.

use pyo3::prelude::*;
use std::ffi::OsString;

/// The exit code of a Rust program that panics. The panic has already printed the reason.
const PANICKED: u8 = 101;

/// Runs the command and returns its exit code. The first argument is the command's name. The command never calls Python and handles Ctrl-C
/// itself, so the caller must remove Python's signal handler first.
#[pyfunction]
pub(crate) fn cli(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| std::panic::catch_unwind(|| pudato_cli::run(args)).unwrap_or(PANICKED))
}
