//! What runs: settings, wiring, the worker and the results consumer.

mod answering;
#[cfg(feature = "aws")]
mod aws;
mod backend;
pub mod board;
mod breaker;
pub mod builtin;
#[cfg(feature = "aws")]
pub mod calls;
mod chance;
mod claim_store;
mod client;
mod dead_letters;
#[cfg(feature = "aws")]
pub mod deployment;
#[cfg(feature = "aws")]
pub mod examination;
mod health;
mod hearing;
mod identity;
mod input;
mod kept_answers;
#[cfg(feature = "aws")]
pub mod lambda;
mod leases;
mod listener;
pub mod logs;
mod names;
#[cfg(feature = "duckdb")]
mod object_files;
pub mod openlineage;
mod outbox;
mod patience;
pub mod pipeline;
mod process;
mod reporting;
mod results;
pub mod settings;
mod settler;
#[cfg(all(feature = "dbt", feature = "duckdb"))]
mod shared_warehouse;
mod spawn;
mod stores;
mod time;
#[cfg(feature = "dbt")]
mod transform_settings;
mod trust;
mod variables;
mod whereabouts;
mod wiring;
mod worker;

pub use chance::{Backoff, Chance};
pub use client::{CallError, Client, Trace};
pub use dead_letters::DeadLetterWatch;
pub use identity::sha256_hex;
pub use input::read_file;
pub use kept_answers::KeptAnswers;
pub use listener::Listener;
pub use names::{HISTORY, Names};
pub use outbox::{Outbox, publish_command};
pub use process::{Decision, Incoming, Outcome, Processor};
pub use results::{Kind, ResultsConsumer, Tally};
pub use settings::{Fabric, Settings, SettingsError};
pub use spawn::{Spawn, Task, TokioTasks};
pub use time::{duration, since, timestamp};
pub use tokio_util::sync::CancellationToken;
pub use trust::{Seal, Trust};
pub use variables::{VARIABLES, Variable};
pub use whereabouts::View;
pub use wiring::{OpenError, Part, Pudato, registry_place};
pub use worker::Worker;

/// Makes a program able to be the process in which DuckDB runs; to be called first in `main`.
#[cfg(feature = "duckdb")]
pub use pudato_query::duckdb::process::enter as query_process;

/// What a handler is, for programs that bring their own.
pub use pudato_handler as handler;
/// The message ports, as [`handler`].
pub use pudato_messaging as messaging;
/// The messages, as [`handler`].
pub use pudato_protocol as protocol;
/// SQL engines, as [`handler`].
pub use pudato_query as query;
/// Jobs, steps and lineage, as [`handler`].
pub use pudato_registry as registry;
