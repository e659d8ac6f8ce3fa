//! The command `pudato`, which the package brings.

use pyo3::prelude::*;
use std::ffi::OsString;

/// What a Rust program that panics ends with; the panic has said why.
const PANICKED: u8 = 101;

/// Runs the command with its arguments, of which the first is its name, and returns its exit code. Nothing in it calls Python, and it
/// handles Ctrl-C itself: the caller takes Python's handler away before.
#[pyfunction]
pub(crate) fn cli(py: Python<'_>, args: Vec<OsString>) -> u8 {
    py.detach(|| std::panic::catch_unwind(|| pudato_cli::run(args)).unwrap_or(PANICKED))
}
