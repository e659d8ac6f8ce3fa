//! The promises that every engine is tested against. A backend's test is a list of calls; see `tests/duckdb.rs`.
//!
//! Each promise gets an engine of its own. Promises that only a durable engine can keep take a [`Subject`] whose tables last.

mod answers;
mod isolation;
mod limits;
mod parameters;
mod sources;
mod statements;
mod subject;
mod transactions;

pub use answers::*;
pub use isolation::*;
pub use limits::*;
pub use parameters::*;
pub use sources::*;
pub use statements::*;
pub use subject::Subject;
pub use transactions::*;
