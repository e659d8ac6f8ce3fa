//! `cargo xtask`: the commands of this repository, written in Rust so that a clone needs nothing else.

use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask test";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["test"] => run("running every test", &["test", "--workspace"]),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Says what is about to happen, runs cargo, and passes its verdict on.
fn run(what: &str, args: &[&str]) -> ExitCode {
    eprintln!("xtask: {what}: cargo {}", args.join(" "));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    match Command::new(cargo).args(args).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: cargo could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}
