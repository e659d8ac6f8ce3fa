//! The registry: jobs, their steps, every Result that came, and the lineage between datasets that follows from them.
//!
//! A [`RegistryStore`] keeps it, [`SqliteRegistry`] in one file; [`RegistryHandler`] answers the Commands of the service
//! `registry`.

mod error;
mod fold;
mod handler;
mod model;
mod sqlite;
mod store;

pub use error::{Error, ErrorKind};
pub use fold::StepStatus;
pub use handler::RegistryHandler;
pub use model::{
    Direction, Edge, Graph, GraphQuery, Hop, Job, JobFilter, JobStatus, NewJob, NewStep, Node,
    OneHop, Step, StepUpdate, StoredEvent, StoredResult, UpdateJob, Walk,
};
pub use sqlite::SqliteRegistry;
pub use store::{Applied, Incoming, IncomingEvent, RegistryStore};
