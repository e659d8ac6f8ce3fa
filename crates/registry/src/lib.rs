//! The registry: jobs, their steps, all Results, and the lineage between datasets that follows from them.
//!
//! A [`RegistryStore`] keeps it: [`SqliteRegistry`] in one file, [`PostgresRegistry`] on a server; [`RegistryHandler`] answers the
//! Commands of the service `registry`. Both stores also remember which requests were answered, as
//! [`pudato_messaging::IdempotencyStore`], for fabrics that do not.

// The logic that the stores share is compiled without any store as well, for callers that need the port alone.
#![cfg_attr(
    not(any(feature = "postgres", feature = "sqlite")),
    allow(
        dead_code,
        unused_imports,
        reason = "the logic that the stores share is compiled without any store as well"
    )
)]

mod batch;
mod error;
mod fold;
mod handler;
mod hash;
mod idempotency;
mod migrations;
mod model;
pub mod openlineage;
#[cfg(feature = "postgres")]
mod postgres;
mod queries;
mod relocate;
mod resolve;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod walk;

pub use batch::Difference;
pub use fold::StepStatus;
pub use handler::{ACTIONS, RegistryHandler};
pub use model::{
    Direction, Edge, Graph, GraphQuery, Hop, HopQuery, Job, JobFilter, JobStatus, Mismatch,
    Mismatches, NewJob, NewStep, Node, OneHop, Prune, Pruned, Relocate, Relocated, Step,
    StepUpdate, StoredEvent, StoredResult, UpdateJob, Walk,
};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresRegistry, Purpose};
pub use pudato_protocol::{Code, Error, ErrorKind, Retry};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteRegistry;
pub use store::{Applied, Incoming, IncomingEvent, RegistryStore};

use pudato_protocol::Timestamp;

/// Microseconds since the Unix epoch, the precision of timestamps in messages.
fn micros(at: &Timestamp) -> i64 {
    let micros = at.instant().unix_timestamp_nanos() / 1_000;
    i64::try_from(micros).unwrap_or(i64::MAX)
}
