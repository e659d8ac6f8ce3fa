//! DuckDB as the engine: a warehouse in one file, or in memory.

mod answers;
mod bind;
mod catalog;
mod control;
mod errors;
mod fetch;
mod json;
mod lending;
mod lockdown;
mod parse;
mod plan;
mod relations;
mod run;
mod scratch;
mod sources;
mod statements;
mod types;
mod warehouse;

use crate::engine::{
    Begun, Engine, EngineError, Kept, Outcome, QueryEngine, Scratch, Transaction, Work,
};
use async_trait::async_trait;
use control::{CancelOnDrop, Control};
use errors::{engine_error, needs_writing};
use lockdown::Lockdown;
use run::{Names, Run};
use scratch::ScratchRoot;
use statements::Statement;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use warehouse::{Lease, Mode, Place, Warehouse};

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
}

/// The engine.
pub struct DuckDb {
    place: Place,
    options: Options,
    namespace: String,
    /// What is there from the first work on: many programs open pudato and run no SQL.
    started: Mutex<Option<Arc<Started>>>,
    version: OnceLock<String>,
}

/// An engine that has run something.
struct Started {
    warehouse: Arc<Warehouse>,
    scratch: ScratchRoot,
    database: OnceLock<String>,
    making: Mutex<()>,
}

/// How often a work that collides begins again, and how much longer it waits each time: about 2 s in all.
const COLLISIONS_MAX: u32 = 20;
const COLLISION_PAUSE: Duration = Duration::from_millis(10);

impl DuckDb {
    /// A warehouse in `file`, which is made where it is not there. The file is open only while a statement runs.
    ///
    /// # Errors
    /// `Unavailable`: the file's folder cannot be made.
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
        let namespace = format!("duckdb://{}", file.display());
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
            started: Mutex::default(),
            version: OnceLock::new(),
        }
    }

    fn started(&self) -> Result<Arc<Started>, EngineError> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(started) = &*started {
            return Ok(Arc::clone(started));
        }
        let scratch = ScratchRoot::new(&self.options.scratch)?;
        let lockdown = Lockdown {
            scratch: scratch.path().to_owned(),
            spill: scratch.path().join("spill"),
            memory_bytes: self.options.memory_bytes,
            spill_bytes: self.options.spill_bytes,
            threads: self.options.threads,
        };
        let new = Arc::new(Started {
            warehouse: Warehouse::new(self.place.clone(), lockdown),
            scratch,
            database: OnceLock::new(),
            making: Mutex::default(),
        });
        *started = Some(Arc::clone(&new));
        Ok(new)
    }
}

#[async_trait]
impl QueryEngine for DuckDb {
    fn engine(&self) -> Engine {
        let version = || {
            let connection = duckdb::Connection::open_in_memory();
            connection
                .and_then(|connection| connection.version())
                .unwrap_or_default()
        };
        Engine {
            dialect: "duckdb",
            version: self.version.get_or_init(version).clone(),
        }
    }

    fn scratch(&self) -> Result<Scratch, EngineError> {
        self.started()?.scratch.folder()
    }

    async fn begin(&self, work: Work) -> Result<Begun, EngineError> {
        let control = Control::new(work.deadline);
        let expiry = tokio::spawn(Arc::clone(&control).expire());
        let cancel = CancelOnDrop(Arc::clone(&control));
        let job = Job {
            engine: self.started()?,
            namespace: self.namespace.clone(),
            work,
            control,
        };
        let (begun, begins) = oneshot::channel();
        let (decide, decision) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let _ = end.send(job.run(begun, decision));
        });
        let begun = begins.await;
        drop(cancel);
        let outcome = match begun {
            // An error comes when everything is closed again, so that it is true for whoever looks.
            Ok(outcome) => outcome,
            Err(_) => {
                let ended = ended.await.map_err(|_| stopped())?;
                expiry.abort();
                return ended?.map(Begun::Answered).ok_or_else(stopped);
            }
        };
        expiry.abort();
        Ok(Begun::Ran(Box::new(Pending {
            outcome,
            decide: Some(decide),
            ended,
        })))
    }
}

fn stopped() -> EngineError {
    EngineError::Retry("the statement's thread ended without an answer".into())
}

/// A work that was run and waits for its end.
struct Pending {
    outcome: Outcome,
    decide: Option<oneshot::Sender<String>>,
    ended: oneshot::Receiver<Result<Option<Kept>, EngineError>>,
}

#[async_trait]
impl Transaction for Pending {
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    async fn commit(mut self: Box<Self>, answer: &str) -> Result<(), EngineError> {
        if let Some(decide) = self.decide.take() {
            decide.send(answer.to_owned()).map_err(|_| stopped())?;
        }
        self.ended.await.map_err(|_| stopped())?.map(|_| ())
    }
}

/// A work in its thread.
struct Job {
    engine: Arc<Started>,
    namespace: String,
    work: Work,
    control: Arc<Control>,
}

impl Job {
    /// Runs the work; says what came of it through `begun` and waits for the decision. Answers the answer that was kept before,
    /// where there is one.
    fn run(
        self,
        begun: oneshot::Sender<Outcome>,
        decision: oneshot::Receiver<String>,
    ) -> Result<Option<Kept>, EngineError> {
        let ran = self.run_in(begun, decision);
        self.control.end();
        ran
    }

    fn run_in(
        &self,
        begun: oneshot::Sender<Outcome>,
        decision: oneshot::Receiver<String>,
    ) -> Result<Option<Kept>, EngineError> {
        let statements = run::read(&self.work)?;
        let reads_only = statements.iter().all(|statement| statement.kind.is_read());
        let mode = if reads_only { Mode::Read } else { Mode::Write };
        let (opened, executed) = self.try_until_it_runs(mode, &statements)?;
        let outcome = match executed {
            Executed::Before(kept) => return Ok(Some(kept)),
            Executed::Now(outcome) => outcome,
        };
        self.control.end();
        if begun.send(outcome).is_err() {
            return Ok(None);
        }
        let Ok(answer) = decision.blocking_recv() else {
            return Ok(None);
        };
        let connection = opened.connection();
        if let Some(identity) = self
            .work
            .identity
            .as_ref()
            .filter(|_| self.keeps(&opened, !reads_only))
        {
            answers::keep(connection, identity, &answer)?;
        }
        connection.execute_batch("COMMIT").map_err(engine_error)?;
        Ok(None)
    }

    /// Runs the statements. Two works that change the same at once collide; the later one begins again at once, on a new
    /// connection, since nothing of it is left.
    fn try_until_it_runs(
        &self,
        mut mode: Mode,
        statements: &[Statement<'_>],
    ) -> Result<(Lease, Executed), EngineError> {
        let mut collisions = 0;
        loop {
            let opened = self.open(mode)?;
            match self.execute(&opened, statements, mode == Mode::Write) {
                Ok(executed) => return Ok((opened, executed)),
                Err(error) if needs_writing(&error) && mode == Mode::Read => mode = Mode::Write,
                Err(EngineError::Retry(_))
                    if collisions < COLLISIONS_MAX && self.control.check().is_ok() =>
                {
                    collisions += 1;
                    drop(opened);
                    std::thread::sleep(COLLISION_PAUSE * collisions);
                }
                Err(error) => return Err(self.control.explain(error)),
            }
        }
    }

    fn open(&self, mode: Mode) -> Result<Lease, EngineError> {
        let lease = self
            .engine
            .warehouse
            .acquire(mode, Instant::now() + self.work.deadline)?;
        self.control.watch(lease.connection().interrupt_handle());
        self.control.check()?;
        Ok(lease)
    }

    /// Whether the answer is kept in the warehouse: not for what changes nothing, and not where nothing lasts.
    fn keeps(&self, lease: &Lease, changes: bool) -> bool {
        changes && lease.mode == Mode::Write && self.engine.warehouse.place != Place::Memory
    }

    fn execute(
        &self,
        lease: &Lease,
        statements: &[Statement<'_>],
        changes: bool,
    ) -> Result<Executed, EngineError> {
        let connection = lease.connection();
        let identity = self
            .work
            .identity
            .as_ref()
            .filter(|_| self.keeps(lease, changes));
        if identity.is_some() {
            // One at a time: two that make it at once would collide.
            let _only = self
                .engine
                .making
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            answers::make(connection)?;
        }
        connection
            .execute_batch("BEGIN TRANSACTION")
            .map_err(engine_error)?;
        if let Some(identity) = identity
            && let Some(kept) = answers::find(connection, identity)?
        {
            return Ok(Executed::Before(kept));
        }
        let names = Names {
            database: self.database(connection)?,
            namespace: self.namespace.clone(),
            is_durable: self.engine.warehouse.place != Place::Memory,
        };
        let run = Run::new(connection, &self.control, &self.work, &names)?;
        run.all(statements).map(Executed::Now)
    }

    /// The catalog of the warehouse, which DuckDB names after its file.
    fn database(&self, connection: &duckdb::Connection) -> Result<String, EngineError> {
        if let Some(known) = self.engine.database.get() {
            return Ok(known.clone());
        }
        let found = connection.query_row("SELECT current_database()", [], |row| {
            row.get::<_, String>(0)
        });
        let found = found.map_err(engine_error)?;
        Ok(self.engine.database.get_or_init(|| found).clone())
    }
}

/// What came of the statements.
enum Executed {
    Before(Kept),
    Now(Outcome),
}
