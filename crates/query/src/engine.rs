//! The port: what an engine that runs SQL must do.

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

/// Which engine runs the SQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// The SQL's dialect, as OpenLineage's facet `sql` names it, e.g. `duckdb`.
    pub dialect: &'static str,
    /// Its version, e.g. `v1.5.6`.
    pub version: String,
}

/// A folder that the engine may read and write, and that nothing else uses; it is removed when this is dropped.
#[derive(Debug)]
pub struct Scratch(pub TempDir);

impl Scratch {
    /// The folder, absolute.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// An object that the SQL reads under a name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The name that the SQL uses.
    pub name: String,
    /// Its bytes, in the work's scratch folder.
    pub file: PathBuf,
    /// How they are to be read.
    pub format: Format,
    /// What the caller says about a text in columns.
    pub options: CsvOptions,
    /// How it stands in lineage; the engine has no use for it.
    #[serde(skip, default = "unnamed")]
    pub reference: DataReference,
}

fn unnamed() -> DataReference {
    DataReference::new("object", "")
}

/// Where the answer of the last statement goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerTo {
    /// Into the Result.
    Rows {
        /// At most so many rows; the rest is left out and the answer says that it is truncated.
        rows_max: usize,
        /// At most so many bytes of JSON; more is an error.
        bytes_max: usize,
    },
    /// Into a new file.
    File {
        /// The file, in the work's scratch folder.
        file: PathBuf,
        /// How it is written.
        format: Format,
    },
}

/// What an engine is asked to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Work {
    /// Who asks for it, as others are told who wait for it, e.g. `query execute_sql of step-0123456789ab`.
    pub label: String,
    /// The SQL as it was sent.
    pub sql: String,
    /// Whether it may be more than one statement.
    pub is_script: bool,
    /// Values for its parameters.
    pub parameters: Parameters,
    /// Objects that it reads.
    pub sources: Vec<Source>,
    /// Where the answer goes.
    pub answer_to: AnswerTo,
    /// It is given up after this time.
    pub deadline: Duration,
    /// The request's identity, where the fabric knows one.
    pub identity: Option<Identity>,
    /// Where it is said what the work waits for.
    #[serde(skip)]
    pub waits: Waits,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type as the engine writes it, e.g. `DECIMAL(18,3)`.
    pub r#type: String,
}

/// The answer of the last statement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// Rows, where [`AnswerTo::Rows`] was asked for.
    Rows {
        /// The columns.
        columns: Vec<Column>,
        /// One array for each row, with one value for each column (docs/design/messages.md, "Values").
        rows: Vec<Value>,
        /// Whether there were more rows.
        truncated: bool,
    },
    /// The file was written, where [`AnswerTo::File`] was asked for.
    File {
        /// Its rows.
        row_count: u64,
    },
}

/// A statement that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Executed {
    /// Its text.
    pub sql: String,
    /// What it is, e.g. `select`, `insert`, `create_table`.
    pub kind: Cow<'static, str>,
    /// Rows that it changed or wrote; `None` where it changes none.
    pub rows: Option<u64>,
    /// What it read and wrote.
    pub lineage: Lineage,
}

/// What was run and is not yet durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The answer of the last statement.
    pub answer: Answer,
    /// The statements in their order.
    pub statements: Vec<Executed>,
}

/// An answer that was kept with the effect it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The text that [`Transaction::commit`] was given.
    pub answer: String,
}

/// What came of the work.
pub enum Begun {
    /// The same request was run before; nothing was run now.
    Answered(Kept),
    /// It was run.
    Ran(Box<dyn Transaction>),
}

/// Statements that were run and wait for their end. Dropping it undoes them.
#[async_trait]
pub trait Transaction: Send + Sync {
    /// What was run.
    fn outcome(&self) -> &Outcome;

    /// Makes the effect durable, together with `answer`, which the same request gets again when it is redelivered. Nothing is
    /// kept for a request that changed nothing or that has no identity.
    ///
    /// # Errors
    /// As [`QueryEngine::begin`]; nothing is durable then.
    async fn commit(self: Box<Self>, answer: &str) -> Result<(), EngineError>;
}

/// Why the SQL was not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EngineError {
    /// The SQL, a parameter or a source is to blame; running it again would fail again.
    Invalid(String),
    /// It collided with another statement, or had other bad luck.
    Retry(String),
    /// The engine itself failed, and nothing can run on what it has open; the work is to be run again on an engine that is opened anew.
    Broken(String),
    /// The engine is not there now, or another process holds its lock.
    Unavailable(String),
    /// The engine ended through no fault of this work, and nothing of the work is left: it is to be run again at once.
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
/// - The SQL reaches nothing but the engine's own tables and the work's sources: no files, no network, no environment,
///   no settings. What it may not do is an `Invalid` error that says so.
/// - At the deadline a statement is interrupted, and the error comes within a second.
/// - Dropping the future, or the transaction, undoes the work.
/// - What the lineage does not know it says: see [`Lineage`].
#[async_trait]
pub trait QueryEngine: Send + Sync {
    /// Which engine this is.
    fn engine(&self) -> Engine;

    /// A new folder for one work's sources and answer.
    ///
    /// # Errors
    /// `Unavailable`: it cannot be made.
    fn scratch(&self) -> Result<Scratch, EngineError>;

    /// Runs the work, up to its commit.
    ///
    /// # Errors
    /// See [`EngineError`].
    async fn begin(&self, work: Work) -> Result<Begun, EngineError>;
}
