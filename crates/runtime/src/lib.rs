//! The composition of pudato: settings, installation, roles, the client, Lambda and pipelines.

#[cfg_attr(
    not(feature = "aws"),
    allow(
        dead_code,
        unused_imports,
        reason = "a build without AWS keeps the shapes that only AWS fills"
    )
)]
mod adapters;
pub mod admin;
pub mod builtin;
mod client;
pub mod drawing;
mod input;
#[cfg_attr(
    not(feature = "aws"),
    allow(
        dead_code,
        unused_imports,
        reason = "a build without AWS keeps the shapes that only AWS fills"
    )
)]
mod installation;
#[cfg(feature = "aws")]
pub mod lambda;
mod names;
pub mod openlineage;
pub mod pipeline;
#[cfg(feature = "duckdb")]
mod query_process;
mod serve;
pub mod settings;
mod time;

pub use client::Trace;
pub use client::{CallError, Client, Listener, View};
pub use input::read_file;
pub use installation::{Backend, Fabric, Installation, OpenError, Profile, registry_place};
pub use names::{HISTORY, Names};
pub use pudato_engine::{
    Backoff, DeadLetterWatch, Decision, EnvelopePolicy, Incoming, Jitter, Kind, Outbox, Outcome,
    PRODUCER, Processor, ResultsConsumer, SignatureVerifier, Spawn, Tally, Task, TokioTasks,
    Worker, board, publish_command, sha256_hex,
};
#[cfg(feature = "duckdb")]
pub use query_process::{query_process_started_by, serve_queries};
pub use serve::{Role, logs, notices};
pub use settings::{Settings, SettingsError, VARIABLES, Variable};
pub use time::{duration, seconds, since, thousands, timestamp};
pub use tokio_util::sync::CancellationToken;

/// Lets a program also be the separate process in which DuckDB runs. Call it first in `main`.
#[cfg(feature = "duckdb")]
pub use pudato_query::duckdb::process::enter as query_process;

/// The handler trait, for programs with handlers of their own.
pub use pudato_handler as handler;
/// The ports of messages, re-exported as [`handler`] is.
pub use pudato_messaging as messaging;
/// The messages, re-exported as [`handler`] is.
pub use pudato_protocol as protocol;
/// SQL engines, re-exported as [`handler`] is.
pub use pudato_query as query;
/// Jobs, steps and lineage, re-exported as [`handler`] is.
pub use pudato_registry as registry;
