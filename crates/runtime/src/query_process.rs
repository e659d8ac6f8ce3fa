//! The process in which DuckDB runs, of a program that cannot be its own child: a library in an interpreter.

use pudato_query::duckdb::process::{self, Program};
use std::ffi::OsString;
use std::path::PathBuf;

/// Names the program that is started as the process in which DuckDB runs; with these arguments it calls [`serve_queries`]. The first that
/// is named counts.
pub fn query_process_started_by(program: PathBuf, args: Vec<OsString>) {
    process::started_by(Program {
        program,
        args,
        called: None,
    });
}

/// Acts as the process in which DuckDB runs until the program that started it ends, and returns the exit code. Call it while there is one
/// thread: the restrictions of the process hold for the calling thread and those that it starts.
#[must_use = "the program must end with this code"]
pub fn serve_queries() -> u8 {
    process::serve()
}
