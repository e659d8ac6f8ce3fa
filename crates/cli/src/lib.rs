//! The `pudato` command: reads its arguments, calls the runtime, prints the outcome. It is a library, because the Python package brings
//! the same command.

mod answer;
mod commands;
mod context;
mod exit;
mod no_worker;
mod output;
mod payload;
mod progress;
mod request;
mod serving;

use clap::{Parser, Subcommand};
use commands::{
    backup, call, config, demo, dlq, doctor, events, job, lineage, publish, registry, results,
    run as pipeline, runner, schema, status, trace, up,
};
#[cfg(feature = "aws")]
use commands::{cost, topology};
use context::{Context, Global};
use exit::Failure;
use std::ffi::OsString;
use std::io::Write;

/// Runs the steps of a data pipeline, and shows where any table or file came from.
#[derive(Parser)]
#[command(
    name = "pudato",
    version,
    max_term_width = 110,
    after_help = "\
Try it:  pudato demo
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

#[derive(Subcommand)]
enum Command {
    /// Run a pipeline on real public data in a new folder, and show where the answer came from
    Demo(demo::Demo),
    /// Run all handlers and the results consumer until Ctrl-C
    Up(up::Up),
    /// Run one handler until Ctrl-C
    Runner(runner::Runner),
    /// Run the results consumer until Ctrl-C
    Results(results::Results),
    /// Run a pipeline as a job
    Run(pipeline::Run),
    /// Publish a command and return at once
    Publish(publish::Publish),
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
    Doctor(doctor::Doctor),
    /// Print the JSON Schema of a message
    Schema(schema::Schema),
    /// Copy the fabric and the registry into a new folder while programs use them
    Backup(backup::Backup),
}

/// Runs the command with its arguments, of which the first is the name that it was called by. Returns the exit code; what is to be said
/// has been printed. It takes over SIGINT, as a program does, and SIGTERM while it serves.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let code = parse_and_execute(args);
    // A program does this at its end; a library's caller does not know of this buffer.
    let _ = std::io::stdout().flush();
    code
}

fn parse_and_execute(args: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(args) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are normal answers. Anything else is wrong usage, which clap explains.
            let _ = error.print();
            return if error.use_stderr() { exit::USAGE } else { 0 };
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("pudato: cannot start: {error}");
            return exit::UNAVAILABLE;
        }
    };
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = Box::pin(execute(&arguments)) => outcome,
            () = interrupted(&arguments.command) => Err(Failure::interrupted()),
        }
    });
    runtime.shutdown_background();
    match outcome {
        Ok(()) => 0,
        Err(failure) => failure.report(arguments.global.json),
    }
}

/// Ctrl-C ends a command. Commands that serve or wait for a Result handle it themselves.
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

async fn execute(arguments: &Arguments) -> Result<(), Failure> {
    let serves = matches!(
        arguments.command,
        Command::Up(_) | Command::Runner(_) | Command::Results(_)
    );
    let context = Context::load(&arguments.global, serves)?;
    pudato_runtime::logs::start(&context.settings).map_err(Failure::configuration)?;
    dispatch(&arguments.command, &context).await
}

/// Runs the command that these words name, with the settings of `context`: for a command that consists of others.
///
/// # Errors
/// The words are no command, or it failed.
async fn command(context: &Context, words: &[&str]) -> Result<(), Failure> {
    let words = std::iter::once("pudato").chain(words.iter().copied());
    let arguments = Arguments::try_parse_from(words);
    let arguments = arguments.map_err(|error| Failure::usage(error.to_string()))?;
    Box::pin(dispatch(&arguments.command, context)).await
}

async fn dispatch(command: &Command, context: &Context) -> Result<(), Failure> {
    match command {
        // It runs other commands, whose futures would lie in this one.
        Command::Demo(command) => Box::pin(command.run(context)).await,
        Command::Up(command) => command.run(context).await,
        Command::Runner(command) => command.run(context).await,
        Command::Results(command) => command.run(context).await,
        Command::Run(command) => command.run(context).await,
        Command::Publish(command) => command.run(context).await,
        Command::Call(command) => command.run(context).await,
        Command::Status(command) => command.run(context).await,
        Command::Job(command) => command.run(context).await,
        Command::Lineage(command) => command.run(context).await,
        Command::Registry(command) => command.run(context).await,
        Command::Trace(command) => command.run(context).await,
        Command::Dlq(command) => command.run(context).await,
        Command::Events(command) => command.run(context).await,
        #[cfg(feature = "aws")]
        Command::Topology(command) => command.run(context).await,
        #[cfg(feature = "aws")]
        Command::Cost(command) => command.run(context),
        Command::Config(command) => command.run(context),
        Command::Doctor(command) => command.run(context).await,
        Command::Schema(command) => command.run(context),
        Command::Backup(command) => command.run(context).await,
    }
}
