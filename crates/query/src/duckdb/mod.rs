//! DuckDB as the engine: a warehouse in one file, or in memory.
//!
//! DuckDB runs in a child process ([`process`]), which is the same program in another role, so that a crash, a memory limit or a
//! deadline costs the Command that caused it and nothing else. [`Isolation::InProcess`] runs it here instead.

mod answers;
mod bind;
mod catalog;
mod control;
mod csv;
mod depth;
mod errors;
mod fetch;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod handles;
mod json;
mod json_source;
mod lending;
mod local;
mod lockdown;
mod moments;
mod numbers;
mod opened;
mod parquet;
mod parse;
mod pivot;
mod place;
mod plan;
pub mod process;
mod relations;
mod rows;
mod run;
mod scratch;
mod sources;
mod statements;
mod tokens;
mod tree;
mod types;
mod warehouse;
mod written;

use crate::engine::{AnswerTo, BeginOutcome, Engine, EngineError, QueryEngine, Scratch, Work};
use async_trait::async_trait;
use gate::Gate;
use local::Local;
use lockdown::Lockdown;
use process::{Program, SharedRows, Supervisor};
use pudato_protocol::Dataset;
use rows::{HandedRows, JsonRows};
use scratch::ScratchRoot;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use warehouse::Place;

/// What the engine may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Folder for sources and for what does not fit into memory; what a crash left there is removed.
    pub scratch: PathBuf,
    /// Most memory for data; more goes to the scratch folder.
    pub memory_bytes: u64,
    /// Most bytes of it.
    pub spill_bytes: u64,
    /// Threads of one statement.
    pub threads: u32,
    /// Where DuckDB runs.
    pub isolation: Isolation,
}

/// Where DuckDB runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolation {
    /// In a child process.
    Process(Program),
    /// In this process: a crash of DuckDB is one of the whole program, and its limits are those that it keeps itself. For a container
    /// that handles one message at a time.
    InProcess,
}

/// The version of the DuckDB that is linked, e.g. `v1.5.6`.
pub fn version() -> Option<String> {
    static VERSION: OnceLock<Option<String>> = OnceLock::new();
    VERSION.get_or_init(local::version).clone()
}

/// The engine.
pub struct DuckDb {
    place: Place,
    options: Options,
    namespace: String,
    gate: Arc<Gate>,
    /// What is there from the first work on: many programs open pudato and run no SQL.
    started: Mutex<Option<Arc<Started>>>,
    version: OnceLock<String>,
}

/// An engine that has run something.
struct Started {
    scratch: ScratchRoot,
    runs: Runs,
}

enum Runs {
    Here(Arc<Local>),
    Elsewhere(Arc<Supervisor>),
}

impl DuckDb {
    /// A warehouse in `file`, which is made where it is not there. The file is open only while a statement runs.
    ///
    /// # Errors
    /// `Unavailable`: the file's folder cannot be created. `Invalid`: DuckDB could open the file but not commit to it.
    pub fn file(file: &Path, options: Options) -> Result<Self, EngineError> {
        let failed = |error: std::io::Error| {
            EngineError::Unavailable(format!("{}: {error}", file.display()))
        };
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let name = file.file_name().unwrap_or_default();
        let file = folder.canonicalize().map_err(failed)?.join(name);
        // A symbolic link is named as what it leads to: there is one warehouse, and it has one name.
        let file = file.canonicalize().unwrap_or(file);
        place::check(&file)?;
        let namespace = Dataset::file_namespace("duckdb", &file.display().to_string());
        Ok(Self::new(Place::File(file), namespace, options))
    }

    /// Tables in memory, which live as long as one Command: only temporary ones can be made.
    pub fn in_memory(options: Options) -> Self {
        Self::new(Place::Memory, "duckdb://memory".into(), options)
    }

    fn new(place: Place, namespace: String, options: Options) -> Self {
        Self {
            place,
            options,
            namespace,
            gate: Arc::default(),
            started: Mutex::default(),
            version: OnceLock::new(),
        }
    }

    /// Runs a query and hands its rows on as Arrow, as they come. Where the query is run again, because its process ended, the
    /// rows come again from the first.
    ///
    /// # Errors
    /// As [`QueryEngine::begin`].
    pub async fn batches(
        &self,
        work: Work,
        take: impl FnMut(&::duckdb::arrow::array::StructArray) + Send + 'static,
    ) -> Result<(), EngineError> {
        let rows = Arc::new(Mutex::new(HandedRows(take)));
        match self.begin_with(work, rows).await? {
            BeginOutcome::Ran(transaction) => transaction.commit("").await,
            BeginOutcome::Answered(_) => Ok(()),
        }
    }

    async fn begin_with(&self, work: Work, rows: SharedRows) -> Result<BeginOutcome, EngineError> {
        let started = self.started()?;
        match &started.runs {
            Runs::Elsewhere(supervisor) => process::begin(supervisor, &self.gate, work, rows).await,
            Runs::Here(local) => {
                let pass = self.gate.work(&work.label, false, &work.waits).await;
                Arc::clone(local).begin(work, rows, Some(pass)).await
            }
        }
    }

    fn started(&self) -> Result<Arc<Started>, EngineError> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = &*started {
            return Ok(Arc::clone(started));
        }
        let scratch = ScratchRoot::new(&self.options.scratch)?;
        let lockdown = Lockdown {
            scratch: scratch.works().to_owned(),
            spill: scratch.spill().to_owned(),
            memory_bytes: self.options.memory_bytes,
            spill_bytes: self.options.spill_bytes,
            threads: self.options.threads,
        };
        let (place, namespace) = (self.place.clone(), self.namespace.clone());
        let runs = match &self.options.isolation {
            Isolation::InProcess => Runs::Here(Local::new(place, namespace, lockdown)),
            Isolation::Process(program) => {
                Runs::Elsewhere(Supervisor::new(program.clone(), place, namespace, lockdown))
            }
        };
        let new = Arc::new(Started { scratch, runs });
        *started = Some(Arc::clone(&new));
        Ok(new)
    }
}

#[async_trait]
impl QueryEngine for DuckDb {
    fn engine(&self) -> Engine {
        let version = || match self.started().map(|started| match &started.runs {
            Runs::Here(_) => local::version(),
            Runs::Elsewhere(supervisor) => supervisor.version(),
        }) {
            Ok(Some(version)) => self.version.get_or_init(|| version).clone(),
            // Nothing has run yet that could tell.
            _ => String::new(),
        };
        Engine {
            dialect: "duckdb",
            version: self.version.get().cloned().unwrap_or_else(version),
        }
    }

    fn scratch(&self) -> Result<Scratch, EngineError> {
        self.started()?.scratch.folder()
    }

    async fn begin(&self, work: Work) -> Result<BeginOutcome, EngineError> {
        let bytes_max = match &work.answer_to {
            AnswerTo::Rows { bytes_max, .. } => *bytes_max,
            AnswerTo::File { .. } => 0,
        };
        let rows = Arc::new(Mutex::new(JsonRows::new(bytes_max)));
        self.begin_with(work, rows).await
    }
}
