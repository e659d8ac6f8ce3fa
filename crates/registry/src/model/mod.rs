//! The types that the registry's callers see.

mod job;
mod lineage;
mod maintenance;
mod messages;
mod step;

pub use job::{Job, JobFilter, JobStatus, NewJob, UpdateJob};
pub(crate) use lineage::UNKNOWN;
pub use lineage::{Direction, Edge, Graph, GraphQuery, Hop, HopQuery, Node, OneHop, Walk};
pub use maintenance::{Prune, Pruned, Relocate, Relocated};
pub use messages::{StoredEvent, StoredResult};
pub use step::{Mismatch, Mismatches, NewStep, Step, StepUpdate};
