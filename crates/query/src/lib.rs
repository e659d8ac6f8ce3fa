//! SQL that is safe, durable and traceable: the service `query`.
//!
//! [`QueryHandler`] reads the Command, fetches the objects it names through [`Files`], runs the SQL on a [`QueryEngine`], and answers with
//! rows or an object, and with the lineage. The engine of this crate is [`duckdb::DuckDb`]: a warehouse in one file, or in memory.
//!
//! The effect of the SQL and the answer for a redelivery commit in one transaction of the engine, so that a crash leaves both or neither.

mod answer;
#[cfg(feature = "conformance")]
pub mod conformance;
mod csv_options;
#[cfg(feature = "duckdb")]
pub mod duckdb;
mod engine;
mod files;
mod format;
mod handler;
mod kept;
mod lineage;
mod parameters;
mod request;

pub use csv_options::CsvOptions;
pub use engine::{
    Answer, AnswerTo, BeginOutcome, Column, Engine, EngineError, Executed, Outcome, QueryEngine,
    Scratch, Source, StoredAnswer, Transaction, Work,
};
pub use files::{Files, ObjectFile};
pub use format::Format;
pub use handler::{ACTIONS, Limits, QueryHandler};
pub use lineage::{Lineage, Operation, SourceRead, Table};
pub use parameters::{Parameter, Parameters};
/// Receives what a work waits for.
pub use pudato_handler::Waits;
pub use request::check_payload;
