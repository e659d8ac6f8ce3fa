//! Runs DuckDB in this process: each work has its own connection and thread.

use super::answers;
use super::control::{CancelOnDrop, Control};
use super::errors::engine_error;
use super::gate::WorkPass;
use super::lockdown::Lockdown;
use super::process::SharedRows;
use super::rows::Rows;
use super::run::{self, Names, Run};
use super::statements::{Statement, quote};
use super::warehouse::{Lease, Mode, Place, Warehouse};
use crate::engine::{BeginOutcome, EngineError, Outcome, StoredAnswer, Transaction, Work};
use async_trait::async_trait;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The most tries of a work that conflicts with others, with growing pauses of about 2 s in total.
const COLLISIONS_MAX: u32 = 20;
const COLLISION_PAUSE: Duration = Duration::from_millis(10);

/// How long cancelled works may take to end.
const CLOSE_MAX: Duration = Duration::from_secs(60);

/// The version of the linked DuckDB.
pub(super) fn version() -> Option<String> {
    let connection = duckdb::Connection::open_in_memory();
    connection.and_then(|connection| connection.version()).ok()
}

/// The warehouse, which is open while it is used.
pub(super) struct Local {
    warehouse: Arc<Warehouse>,
    namespace: String,
    /// The catalog of the warehouse.
    database: OnceLock<String>,
    making: Mutex<()>,
}

impl Local {
    pub(super) fn new(place: Place, namespace: String, lockdown: Lockdown) -> Arc<Self> {
        Arc::new(Self {
            warehouse: Warehouse::new(place, lockdown),
            namespace,
            database: OnceLock::new(),
            making: Mutex::default(),
        })
    }

    /// Runs a work up to its commit. `pass` is released as soon as the warehouse is not used any longer. Must be called within a tokio
    /// runtime.
    pub(super) async fn begin(
        self: Arc<Self>,
        work: Work,
        rows: SharedRows,
        pass: Option<WorkPass>,
    ) -> Result<BeginOutcome, EngineError> {
        let control = Control::new(work.deadline);
        let expiry = tokio::spawn(Arc::clone(&control).expire());
        let cancel = CancelOnDrop(Arc::clone(&control));
        let job = Job {
            engine: self,
            work,
            control,
        };
        let (begun, begins) = oneshot::channel();
        let (decide, decision) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let ended = job.run(rows, begun, decision);
            drop(pass);
            let _ = end.send(ended);
        });
        let begun = begins.await;
        drop(cancel);
        let outcome = match begun {
            // An error is returned after everything is closed, so that the caller finds the file closed.
            Ok(outcome) => outcome,
            Err(_) => {
                let ended = ended.await.map_err(|_| stopped())?;
                expiry.abort();
                return ended?.map(BeginOutcome::Answered).ok_or_else(stopped);
            }
        };
        expiry.abort();
        Ok(BeginOutcome::Ran(Box::new(Pending {
            outcome,
            decide: Some(decide),
            ended,
        })))
    }

    /// Closes the file as soon as the cancelled works have ended. Blocks until then, for a minute at most.
    pub(super) fn close(&self) {
        self.warehouse.close(Instant::now() + CLOSE_MAX);
    }

    /// Closes the file unless it is in use.
    pub(super) fn close_now(&self) {
        self.warehouse.close(Instant::now());
    }

    /// The row counts of tables, each given by catalog, schema and name; `None` if a table does not exist. Blocks.
    pub(super) fn row_counts(&self, tables: &[[String; 3]]) -> Vec<Option<u64>> {
        let missing = || tables.iter().map(|_| None).collect();
        let Ok(lease) = self.warehouse.acquire(Mode::Read, Instant::now()) else {
            return missing();
        };
        let count = |table: &[String; 3]| {
            let name: Vec<String> = table.iter().map(|part| quote(part)).collect();
            let sql = format!("SELECT system.main.count(*) FROM {}", name.join("."));
            let rows = lease
                .connection()
                .query_row(&sql, [], |row| row.get::<_, i64>(0));
            rows.ok().and_then(|rows| u64::try_from(rows).ok())
        };
        tables.iter().map(count).collect()
    }
}

fn stopped() -> EngineError {
    EngineError::Retry("the statement's thread ended without an answer".into())
}

/// A work that ran and waits for its commit.
struct Pending {
    outcome: Outcome,
    decide: Option<oneshot::Sender<String>>,
    ended: oneshot::Receiver<Result<Option<StoredAnswer>, EngineError>>,
}

#[async_trait]
impl Transaction for Pending {
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    async fn commit(mut self: Box<Self>, answer: &str) -> Result<(), EngineError> {
        if let Some(decide) = self.decide.take() {
            // A work that only read has ended by now; its outcome is received below.
            let _ = decide.send(answer.to_owned());
        }
        self.ended.await.map_err(|_| stopped())?.map(|_| ())
    }
}

/// A work in its thread.
struct Job {
    engine: Arc<Local>,
    work: Work,
    control: Arc<Control>,
}

impl Job {
    /// Runs the work, sends its outcome through `begun`, and waits for the decision. Returns the stored answer if the request was answered
    /// before.
    fn run(
        self,
        rows: SharedRows,
        begun: oneshot::Sender<Outcome>,
        decision: oneshot::Receiver<String>,
    ) -> Result<Option<StoredAnswer>, EngineError> {
        let ran = self.run_in(rows, begun, decision);
        self.control.end();
        ran
    }

    fn run_in(
        &self,
        rows: SharedRows,
        begun: oneshot::Sender<Outcome>,
        decision: oneshot::Receiver<String>,
    ) -> Result<Option<StoredAnswer>, EngineError> {
        let statements = run::read(&self.work)?;
        let reads_only = statements.iter().all(|statement| statement.kind.is_read());
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.begin(reads_only)?;
        let mode = if reads_only { Mode::Read } else { Mode::Write };
        let (opened, executed) = self.try_until_it_runs(mode, &statements, &mut *rows)?;
        let mut outcome = match executed {
            Executed::Before(kept) => return Ok(Some(kept)),
            Executed::Now(outcome) => outcome,
        };
        self.control.end();
        rows.finish(&mut outcome.answer);
        drop(rows);
        if reads_only {
            // There is nothing to commit, so nobody has to wait for this work any longer.
            drop(opened);
            let _ = begun.send(outcome);
            return Ok(None);
        }
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
            answers::keep(connection, &self.database(connection)?, identity, &answer)?;
        }
        connection.execute_batch("COMMIT").map_err(engine_error)?;
        Ok(None)
    }

    /// Runs the statements. If two works change the same data, the later one conflicts; it starts again on a new connection, because
    /// nothing of it is left.
    fn try_until_it_runs(
        &self,
        mode: Mode,
        statements: &[Statement<'_>],
        rows: &mut dyn Rows,
    ) -> Result<(Lease, Executed), EngineError> {
        let mut collisions = 0;
        loop {
            let opened = self.open(mode)?;
            match self.execute(&opened, statements, mode == Mode::Write, rows) {
                Ok(executed) => return Ok((opened, executed)),
                // The warehouse is of no use any more: nothing can run on it.
                Err(error @ EngineError::Broken(_)) => return Err(error),
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

    /// Whether to store the answer in the warehouse: only if the work changed something, and the warehouse is durable.
    fn keeps(&self, lease: &Lease, changes: bool) -> bool {
        changes && lease.mode == Mode::Write && self.engine.warehouse.place != Place::Memory
    }

    fn execute(
        &self,
        lease: &Lease,
        statements: &[Statement<'_>],
        changes: bool,
        rows: &mut dyn Rows,
    ) -> Result<Executed, EngineError> {
        let connection = lease.connection();
        let database = self.database(connection)?;
        let identity = self
            .work
            .identity
            .as_ref()
            .filter(|_| self.keeps(lease, changes));
        if identity.is_some() {
            // One at a time, because two concurrent creations conflict.
            let _only = self
                .engine
                .making
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            answers::make(connection, &database)?;
        }
        // DuckDB itself refuses a write in a transaction that should only read.
        let begin = match changes {
            true => "BEGIN TRANSACTION",
            false => "BEGIN TRANSACTION READ ONLY",
        };
        connection.execute_batch(begin).map_err(engine_error)?;
        if let Some(identity) = identity
            && let Some(kept) = answers::find(connection, &database, identity)?
        {
            return Ok(Executed::Before(kept));
        }
        let names = Names {
            database,
            namespace: self.engine.namespace.clone(),
            is_durable: self.engine.warehouse.place != Place::Memory,
            spill_bytes: self.engine.warehouse.spill_bytes(),
        };
        let run = Run::new(connection, &self.control, &self.work, &names, rows)?;
        run.all(statements).map(Executed::Now)
    }

    /// The catalog of the warehouse, which DuckDB names after the file.
    fn database(&self, connection: &duckdb::Connection) -> Result<String, EngineError> {
        if let Some(known) = self.engine.database.get() {
            return Ok(known.clone());
        }
        let found = connection.query_row("SELECT system.main.current_database()", [], |row| {
            row.get::<_, String>(0)
        });
        let found = found.map_err(engine_error)?;
        Ok(self.engine.database.get_or_init(|| found).clone())
    }
}

/// The outcome of the statements.
enum Executed {
    Before(StoredAnswer),
    Now(Outcome),
}
