//! The conformance suite: what every backend of the ports promises, as plain async functions on a [`Bench`].
//!
//! A backend's test is a type that implements [`Bench`] on a fresh fabric and one call:
//!
//! ```text
//! pudato_messaging::conformance_tests!(MyBench::fresh);
//! ```
//!
//! The suite never sleeps by itself; it asks the bench to let time [pass](Bench::pass). docs/design/conformance.md lists the behaviours by
//! their lines, and [`LINES`] says which functions hold each line, or why it is left out.

pub mod batch;
mod bench;
pub mod consumer_contract;
pub mod dead_letters;
pub mod delay_and_counters;
pub mod delete;
pub mod idempotency;
mod lines;
pub mod operations;
mod promises;
pub mod send_receive;
pub mod settlement;
mod steps;
pub mod topics;
pub mod topology;
pub mod visibility;
pub mod waiting;

pub use bench::Bench;
pub use lines::{Coverage, LINES, Line};
pub use promises::PROMISES;
