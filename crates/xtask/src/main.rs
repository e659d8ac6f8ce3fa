//! `cargo xtask`: the commands of this repository, written in Rust so that a clone needs nothing else.

mod compare;
mod dbts;
mod demo;
mod deny;
mod duckdb;
mod fuzz;
mod install;
mod lambda;
mod package;
mod pins;
mod python;
mod suites;
mod tools;
mod wheel;

use std::process::{Command, ExitCode};
use tools::{run, target};

const USAGE: &str = "\
usage: cargo xtask <command>

  dbt-versions  run the core of transform's tests with each dbt from 1.8 to 1.12, which it installs
  demo          build pudato, run the bird strikes through it, print the answer and the lineage
  deny          check licences, sources and advisories of the dependencies (deny.toml)
  duckdb        fetch libduckdb, which `cargo build` needs; the other commands do it themselves
  fuzz <name> <seconds>  run a fuzzer: engine_protocol, messages, sources or statements
  install       install pudato and libduckdb beside it, where `cargo install` would
  lambda        build the packages of AWS Lambda, in target/packages
  lock          rewrite the hashes of the Python packages (fixtures/requirements*.lock)
  reference     rewrite docs/python-reference.md from the docstrings of the Python package
  test          run every test
  wheel         build the wheel of the Python package, in target/wheels; --dev builds it quickly, for this machine only
  localstack    run the suite of the fabric on LocalStack, the second emulator, which it installs
  bench <name>  measure: aws, e2e, query, waits, day, lineage, results, codec, idle, lambda, python or transform; --json prints one line per figure
  bench compare <revision> <name>  measure both that revision and the working tree, in turn, --pairs times (5); --json as above

`lambda` and `bench lambda` build the packages as they are deployed, which takes minutes; `test` builds its own quickly.";

/// The measurements.
const BENCHES: [&str; 12] = [
    "aws",
    "e2e",
    "query",
    "waits",
    "day",
    "lineage",
    "results",
    "codec",
    "idle",
    "lambda",
    "python",
    "transform",
];

/// Benches measure what people would run, so they are built like a release.
const BENCH_BUILD: [&str; 6] = [
    "build",
    "--release",
    "-p",
    "pudato-cli",
    "-p",
    "pudato-bench",
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["dbt-versions"] => dbts::check(),
        ["demo"] => demo::demo(),
        ["deny"] => deny::deny(),
        ["duckdb"] => duckdb::ensure().map(|_| ()),
        ["fuzz", name, seconds] => fuzz::fuzz(name, seconds),
        ["install"] => install::install(),
        ["lambda"] => lambda::build(),
        ["lock"] => python::lock(),
        ["reference"] => package::reference(),
        ["test"] => suites::test(),
        ["wheel"] => wheel::build(wheel::Kind::Release),
        ["wheel", "--dev"] => wheel::build(wheel::Kind::Dev),
        ["localstack"] => localstack(),
        ["bench", "compare", ref rest @ ..] => compare::compare(rest),
        ["bench", "python", ref rest @ ..] => package::bench(rest),
        ["bench", ref rest @ ..] if !rest.is_empty() => bench(rest),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

/// LocalStack needs a minute to install and an environment of its own, so it is no part of every run.
fn localstack() -> Result<(), String> {
    python::ensure_localstack()?;
    // As every test is built, so that nothing is built for this alone.
    let suite = ["test", "--workspace", "--test", "conformance_aws"];
    let only = ["--", "localstack", "--ignored", "--nocapture"];
    tools::build("running its suite", &[&suite[..], &only[..]].concat())
}

fn bench(args: &[&str]) -> Result<(), String> {
    install_for_bench(args[0])?;
    tools::build("building for the measurement", &BENCH_BUILD)?;
    run(Command::new(target().join("release/pudato-bench")).args(args))
}

/// Installs what this measurement needs beside pudato.
fn install_for_bench(name: &str) -> Result<(), String> {
    match name {
        "aws" => python::ensure(),
        "lambda" => {
            python::ensure()?;
            lambda::build()
        }
        "transform" | "waits" => python::ensure_dbt(),
        _ => Ok(()),
    }
}
