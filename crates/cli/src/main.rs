//! The program `pudato`.

use std::process::ExitCode;

/// The program allocates and frees many small texts on several threads; this allocator is measurably faster at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(feature = "duckdb")]
    if let Some(code) = pudato_runtime::query_process() {
        return ExitCode::from(code);
    }
    ExitCode::from(pudato_cli::run(std::env::args_os()))
}
