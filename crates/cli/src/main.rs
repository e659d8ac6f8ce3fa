//! The `pudato` command: reads its arguments, calls the runtime, prints.

mod answer;
mod call;
mod collapse;
mod config;
#[cfg(feature = "aws")]
mod cost;
mod dlq;
mod events;
mod exit;
mod job;
mod keep;
mod lineage;
mod lines;
mod nobody;
mod output;
mod payload;
mod pipeline;
mod progress;
mod registry;
mod relocate;
mod run;
mod status;
mod svg;
#[cfg(feature = "aws")]
mod topology;
mod trace;
mod tree;

use clap::{Parser, Subcommand};
use exit::Failure;
use pudato_runtime::settings::{FILE, Sources};
use pudato_runtime::{Pudato, Settings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Many small texts are made and dropped on several threads; this allocator is measurably better at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the steps of a data pipeline, and shows where any table or file came from.
#[derive(Parser)]
#[command(
    name = "pudato",
    version,
    max_term_width = 110,
    after_help = "\
Start:   pudato up                                          (in one terminal)
Then:    pudato call storage put_object container=lake path=a.csv data=@a.csv
         pudato lineage lake/a.csv

Exit codes: 0 success, 1 the operation failed, 2 wrong usage, 3 wrong configuration,
4 the fabric or a store cannot be reached, 5 no Result came in time, 130 interrupted."
)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Args)]
struct Global {
    /// Data folder: the embedded fabric, the registry and objects [default: .pudato]
    #[arg(long, global = true, value_name = "FOLDER")]
    data_dir: Option<String>,
    /// Settings file [default: pudato.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Log filter for stderr, e.g. debug [default: info for up, runner and results, otherwise warn]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Run all handlers and the results consumer until Ctrl-C
    Up(run::Up),
    /// Run one handler until Ctrl-C
    Runner(run::Runner),
    /// Run the results consumer until Ctrl-C
    Results(run::Results),
    /// Run a pipeline as a job
    Run(pipeline::Run),
    /// Publish a command and return at once
    Publish(call::Publish),
    /// Publish a command and wait for its Result
    Call(call::Call),
    /// Show what is running now, and what it waits for
    Status(status::Status),
    /// List jobs, or show a job with its steps
    #[command(subcommand)]
    Job(job::Job),
    /// Show what a dataset was made from, or what was made from it
    Lineage(lineage::Lineage),
    /// Maintain the registry: remove old records, rename datasets whose folder moved, update the tables
    #[command(subcommand)]
    Registry(registry::Registry),
    /// Show a command, its attempts, its Results and its Events by correlation id
    Trace(trace::Trace),
    /// List, show, replay or purge dead letters
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// Show Events
    #[command(subcommand)]
    Events(events::Events),
    /// Create, compare or remove topics and queues on AWS or an emulator
    #[cfg(feature = "aws")]
    #[command(subcommand)]
    Topology(topology::Topology),
    /// Show what a command costs on AWS, in calls and in money
    #[cfg(feature = "aws")]
    Cost(cost::Cost),
    /// Print every setting and where it comes from
    Config(config::Config),
    /// Check this installation for problems
    Doctor(keep::Doctor),
    /// Print the JSON Schema of a message
    Schema(config::Schema),
    /// Copy the fabric and the registry into a new folder while programs use them
    Backup(keep::Backup),
}

/// What every command needs.
struct Context {
    settings: Settings,
    json: bool,
}

impl Context {
    async fn open(&self) -> Result<Pudato, Failure> {
        Ok(Pudato::open(self.settings.clone()).await?)
    }

    /// For a program that sends commands. It needs no registry if Results come through a queue.
    async fn open_to_call(&self) -> Result<Pudato, Failure> {
        Ok(Pudato::open_to_call(self.settings.clone()).await?)
    }
}

fn main() -> ExitCode {
    #[cfg(feature = "duckdb")]
    if let Some(code) = pudato_runtime::query_process() {
        return ExitCode::from(code);
    }
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers. Anything else is wrong usage, and clap says what is wrong.
            let _ = error.print();
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            return ExitCode::from(code);
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pudato: cannot start: {error}");
            return ExitCode::from(exit::UNAVAILABLE);
        }
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = run(&arguments) => outcome,
            () = interrupted(&arguments.command) => Err(Failure::interrupted()),
        }
    });
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(arguments.global.json),
    }
}

/// Ctrl-C ends a command; those that serve, or wait for an answer, handle it themselves.
async fn interrupted(command: &Command) {
    let handles_it = matches!(
        command,
        Command::Up(_)
            | Command::Runner(_)
            | Command::Results(_)
            | Command::Run(_)
            | Command::Call(_)
    );
    if handles_it || tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let settings = settings(&arguments.global, &arguments.command)?;
    let context = Context {
        settings,
        json: arguments.global.json,
    };
    pudato_runtime::logs::start(&context.settings).map_err(Failure::configuration)?;
    match &arguments.command {
        Command::Up(command) => command.run(&context).await,
        Command::Runner(command) => command.run(&context).await,
        Command::Results(command) => command.run(&context).await,
        Command::Run(command) => command.run(&context).await,
        Command::Publish(command) => command.run(&context).await,
        Command::Call(command) => command.run(&context).await,
        Command::Status(command) => command.run(&context).await,
        Command::Job(command) => command.run(&context).await,
        Command::Lineage(command) => command.run(&context).await,
        Command::Registry(command) => command.run(&context).await,
        Command::Trace(command) => command.run(&context).await,
        Command::Dlq(command) => command.run(&context).await,
        Command::Events(command) => command.run(&context).await,
        #[cfg(feature = "aws")]
        Command::Topology(command) => command.run(&context).await,
        #[cfg(feature = "aws")]
        Command::Cost(command) => command.run(&context),
        Command::Config(command) => command.run(&context),
        Command::Doctor(command) => command.run(&context).await,
        Command::Schema(command) => command.run(&context),
        Command::Backup(command) => command.run(&context).await,
    }
}

fn settings(global: &Global, command: &Command) -> Result<Settings, Failure> {
    let mut flags = BTreeMap::new();
    if let Some(data_dir) = &global.data_dir {
        flags.insert("PUDATO_DATA_DIR", data_dir.clone());
    }
    let environment = |name: &str| std::env::var(name).ok();
    let serves = matches!(
        command,
        Command::Up(_) | Command::Runner(_) | Command::Results(_)
    );
    match &global.log {
        Some(log) => {
            flags.insert("PUDATO_LOG", log.clone());
        }
        None if !serves && environment("PUDATO_LOG").is_none() => {
            flags.insert("PUDATO_LOG", "warn".into());
        }
        None => {}
    }
    let named = global.config.as_deref();
    let file = named.or_else(|| Some(Path::new(FILE)).filter(|file| file.exists()));
    let loaded = Settings::load(&Sources {
        flags,
        environment: &environment,
        file,
    });
    loaded.map_err(|error| Failure::configuration(error.to_string()))
}
