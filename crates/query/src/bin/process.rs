//! The query engine's process by itself, for tests and for programs that cannot be their own child.

use std::process::ExitCode;

fn main() -> ExitCode {
    match pudato_query::duckdb::process::enter() {
        Some(code) => ExitCode::from(code),
        None => {
            eprintln!("this is how pudato starts its query engine; it is not for use by hand");
            ExitCode::from(2)
        }
    }
}
