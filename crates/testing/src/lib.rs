//! Real servers for the tests and measurements of pudato: on loopback, on free ports, stopped when who started them ends.

mod emulator;
mod gate;
mod pgbouncer;
mod postgres;
mod proxy;

pub use emulator::Emulator;
pub use pgbouncer::Pgbouncer;
pub use postgres::{Database, Postgres, Session};
pub use proxy::{Call, Fault, Proxy};

use std::path::PathBuf;

/// What to do where a part that a test needs cannot be had: in CI, which sets `CI`, that is a failure; elsewhere the test says why
/// it did nothing.
///
/// # Panics
/// In CI.
pub fn skipped(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{test}: {why}");
    eprintln!("{test}: skipped: {why}");
}

/// Returns the Python that has pandas, pyarrow, polars and DuckDB. Tests use it to read what pudato writes, and to compare how pudato reads
/// public files. It is next to the build output.
///
/// # Errors
/// It is not installed; `cargo xtask test` does that.
pub fn readers() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let folders = own.ancestors().map(|folder| folder.join("venv-readers"));
    // Written last, when all is there.
    let is_whole = |folder: &PathBuf| folder.join("installed-requirements-readers.txt").exists();
    let mut found = folders
        .filter(is_whole)
        .map(|folder| folder.join("bin/python"));
    found
        .next()
        .ok_or_else(|| "pandas, pyarrow and polars are not installed: use cargo xtask test".into())
}
