//! Measurements of pudato. Run them with `cargo xtask bench NAME`, which builds everything as a release first.

mod aws;
mod beside;
mod codec;
mod day;
mod deadline;
mod e2e;
mod figures;
mod floor;
mod idle;
mod lambda;
mod latency;
mod lineage;
mod publisher;
mod query;
mod results;
mod rows;
mod stores;
mod transform;
mod up;
mod workload;

use figures::Figures;
use std::process::ExitCode;

/// The allocator of the `pudato` command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USAGE: &str = "usage: pudato-bench aws|e2e|query|waits|day|lineage|results|codec|idle|lambda|transform [--json]";

fn main() -> ExitCode {
    if let Some(code) = pudato_runtime::query_process() {
        return ExitCode::from(code);
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    let json = args.iter().any(|arg| arg == "--json");
    let mut figures = Figures::new(json);
    let words: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .filter(|a| *a != "--json")
        .collect();
    let outcome = match words[..] {
        ["aws"] => aws::measure(&mut figures),
        ["e2e"] => e2e::measure(&mut figures),
        ["query"] => query::measure(&mut figures)
            .and_then(|()| rows::measure(&mut figures))
            .and_then(|()| deadline::measure(&mut figures)),
        ["query-rows"] => rows::measure(&mut figures),
        ["query-deadline"] => deadline::measure(&mut figures),
        ["waits"] => beside::measure(&mut figures),
        ["day"] => day::measure(&mut figures),
        ["lineage"] => lineage::measure(&mut figures),
        ["results"] => results::measure(&mut figures),
        ["codec"] => codec::measure(&mut figures),
        ["idle"] => idle::measure(&mut figures),
        ["transform"] => transform::measure(&mut figures),
        ["lambda"] => lambda::measure(&mut figures),
        // The other processes of a measurement.
        ["aws-publisher", folder, count, from] => publisher::run_on_aws(folder, count, from),
        ["publisher", folder, kind, count, per_second] => {
            publisher::run(folder, kind, count, per_second)
        }
        ["waiter", folder, count] => latency::waiter(folder, count),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pudato-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What a measurement gives.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
