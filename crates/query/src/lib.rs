//! SQL that is safe, durable and traceable: the service `query`.
//!
//! [`QueryHandler`] reads the Command, fetches the objects it names through [`Files`], lets a [`QueryEngine`] run the SQL, and
//! answers with rows or with an object, and with the lineage of what was read and written. The engine here is
//! [`duckdb::DuckDb`]: a warehouse in one file, or in memory.
//!
//! The statement's effect and the answer that is kept for a redelivery commit in one transaction of the engine, so that a
//! crash at any moment leaves both or neither.

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
    Answer, AnswerTo, Begun, Column, Engine, EngineError, Executed, Kept, Outcome, QueryEngine,
    Scratch, Source, Transaction, Work,
};
pub use files::{Files, ObjectFile};
pub use format::Format;
pub use handler::{ACTIONS, Limits, QueryHandler};
pub use lineage::{Lineage, Operation, SourceRead, Table};
pub use parameters::{Parameter, Parameters};
/// Where a work says what it waits for.
pub use pudato_handler::Waits;
pub use request::check_payload;
