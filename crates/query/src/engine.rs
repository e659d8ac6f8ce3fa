//! The port of an engine that runs SQL.

use crate::csv_options::CsvOptions;
use crate::format::Format;
use crate::lineage::Lineage;
use crate::parameters::Parameters;
use async_trait::async_trait;
use pudato_handler::{Identity, Waits};
use pudato_protocol::DataReference;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Identifies the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The SQL dialect, in the form of OpenLineage's facet `sql`, e.g. `duckdb`.
    pub dialect: &'static str,
    /// The version, e.g. `v1.5.6`.
    pub version: String,
}

/// A folder for the engine and one work alone. Dropping this removes it.
#[derive(Debug)]
pub struct Scratch(pub TempDir);

impl Scratch {
    /// The absolute path of the folder.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// An object that the SQL reads by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The name of the object in the SQL.
    pub name: String,
    /// The object's bytes, in the scratch folder of the work.
    pub file: PathBuf,
    /// The format of the file.
    pub format: Format,
    /// The caller's options for a CSV file.
    pub options: CsvOptions,
    /// The reference for lineage, which the engine does not use.
    #[serde(skip, default = "unnamed")]
    pub reference: DataReference,
}

fn unnamed() -> DataReference {
    DataReference::new("object", "")
}

/// The destination of the last statement's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerTo {
    /// The Result.
    Rows {
        /// The most rows. Further rows are left out, and the answer is marked as truncated.
        rows_max: usize,
        /// The most bytes of JSON. A larger answer is an error.
        bytes_max: usize,
    },
    /// A new file.
    File {
        /// The file, in the scratch folder of the work.
        file: PathBuf,
        /// The format of the file.
        format: Format,
    },
}

/// The SQL to run, with its inputs and limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// The name of the work in messages to other works that wait for it, e.g. `query execute_sql of step-0123456789ab`.
    pub label: String,
    /// The SQL as the caller sent it.
    pub sql: String,
    /// Whether the SQL may contain more than one statement.
    pub is_script: bool,
    /// The values of its parameters.
    pub parameters: Parameters,
    /// The objects that it reads.
    pub sources: Vec<Source>,
    /// The destination of the answer.
    pub answer_to: AnswerTo,
    /// The work is cancelled after this time.
    pub deadline: Duration,
    /// The identity of the request, if there is one.
    pub identity: Option<Identity>,
    /// Receives what the work waits for.
    #[serde(skip)]
    pub waits: Waits,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The name of the column.
    pub name: String,
    /// The type as the engine writes it, e.g. `DECIMAL(18,3)`.
    pub r#type: String,
}

/// The answer of the last statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Rows, for [`AnswerTo::Rows`].
    Rows {
        /// The columns.
        columns: Vec<Column>,
        /// One array for each row, with one value for each column.
        rows: Vec<Value>,
        /// Whether rows were left out.
        truncated: bool,
    },
    /// The file was written, for [`AnswerTo::File`].
    File {
        /// The number of rows.
        row_count: u64,
    },
}

/// A statement that was executed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Executed {
    /// The text of the statement.
    pub sql: String,
    /// The kind of statement, e.g. `select`, `insert`, `create_table`.
    pub kind: Cow<'static, str>,
    /// The number of rows that it changed or wrote; `None` if it changes no rows.
    pub rows: Option<u64>,
    /// The lineage of the statement.
    pub lineage: Lineage,
}

/// The outcome of a work that is not durable yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The answer of the last statement.
    pub answer: Answer,
    /// The statements, in order.
    pub statements: Vec<Executed>,
}

/// An answer that was stored in the same transaction as the effect that it reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The text that was passed to [`Transaction::commit`].
    pub answer: String,
}

/// The outcome of [`QueryEngine::begin`].
pub enum BeginOutcome {
    /// The request ran before. Nothing ran this time.
    Answered(StoredAnswer),
    /// The work ran.
    Ran(Box<dyn Transaction>),
}

/// A work that ran and waits for its commit. Dropping it rolls back.
#[async_trait]
pub trait Transaction: Send + Sync {
    /// The outcome of the work.
    fn outcome(&self) -> &Outcome;

    /// Commits the effect together with `answer`, which a redelivery of the same request gets. Nothing is stored for a request that changed
    /// nothing or has no identity.
    ///
    /// # Errors
    /// As [`QueryEngine::begin`]; nothing is durable then.
    async fn commit(self: Box<Self>, answer: &str) -> Result<(), EngineError>;
}

/// Why the SQL did not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineError {
    /// The SQL, a parameter or a source is wrong. Running it again would fail again.
    Invalid(String),
    /// The work conflicted with another one, or failed for another transient reason.
    Retry(String),
    /// The engine itself failed, and nothing can run on what it has open; the work is to be run again on an engine that is opened anew.
    Broken(String),
    /// The engine is not there now, or another process holds its lock.
    Unavailable(String),
    /// The engine ended through no fault of this work, and left nothing of it. Run it again at once.
    Again(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Invalid(text)
        | Self::Retry(text)
        | Self::Broken(text)
        | Self::Unavailable(text)
        | Self::Again(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for EngineError {}

/// Runs SQL.
///
/// - One work is one transaction: all of its statements take effect, or none.
/// - The SQL reaches nothing but the engine's own tables and the sources of the work: no files, network, environment or settings.
///   A forbidden statement is an `Invalid` error that says so.
/// - At the deadline a statement is interrupted, and the error is returned within a second.
/// - Dropping the future, or the transaction, undoes the work.
/// - Incomplete lineage says so: see [`Lineage`].
#[async_trait]
pub trait QueryEngine: Send + Sync {
    /// Identifies the engine.
    fn engine(&self) -> Engine;

    /// Creates a folder for the sources and the answer of one work.
    ///
    /// # Errors
    /// `Unavailable`: the folder cannot be created.
    fn scratch(&self) -> Result<Scratch, EngineError>;

    /// Runs the work, up to its commit.
    ///
    /// # Errors
    /// See [`EngineError`].
    async fn begin(&self, work: Work) -> Result<BeginOutcome, EngineError>;
}
