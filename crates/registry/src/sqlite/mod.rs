//! The registry in one SQLite file, for any number of processes on one machine.

mod columns;
mod events;
mod idempotency;
mod key;
mod lineage;
mod outbox;
mod prune;
mod records;
mod relocate;
mod resolve;
mod schema;
mod steps;
mod write;

use crate::batch::{Observation, StoredUpdate, check_indexed};
use crate::error::{Error, ErrorKind, sqlite_error};
use crate::model::{
    Graph, GraphQuery, HopQuery, Job, JobFilter, NewJob, NewStep, OneHop, Prune, Pruned, Relocate,
    Relocated, Step, StepUpdate, StoredEvent, StoredResult, UpdateJob,
};
use crate::openlineage::ExportedResult;
use crate::queries;
use crate::store::{Applied, Incoming, IncomingEvent, RegistryStore};
use crate::walk;
use async_trait::async_trait;
use lineage::SqliteLineage;
use pudato_messaging::{Clock, SystemClock};
use pudato_protocol::Timestamp;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// The most datasets whose ids are cached. A full cache is emptied.
const DATASETS_MAX: usize = 100_000;

/// The registry in one SQLite file. Clones share its connections.
#[derive(Clone)]
pub struct SqliteRegistry {
    shared: Arc<Shared>,
    has_outbox: bool,
    clock: Arc<dyn Clock>,
}

struct Shared {
    /// `None` means in memory: there is one connection, and nothing to wait for.
    path: Option<PathBuf>,
    writer: Mutex<Writer>,
    readers: Mutex<Vec<Connection>>,
}

/// The connection that writes, and a cache of committed dataset ids.
struct Writer {
    connection: Connection,
    datasets: HashMap<String, i64>,
    /// The last relocation when the cache was filled. Another relocation may have renamed the datasets.
    relocation: i64,
}

impl Drop for Writer {
    fn drop(&mut self) {
        schema::empty_log(&self.connection);
    }
}

impl SqliteRegistry {
    /// Opens the registry in the file `path`. A new file is created for its owner alone.
    ///
    /// # Errors
    /// `Invalid`: the path is a symbolic link, or a newer pudato wrote the file. `Corrupt`: not a database, or a damaged one.
    /// `Unavailable`: no permission, or no space.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let unusable = |error: std::io::Error| {
            let context = format!("{}: the registry cannot be opened: {error}", path.display());
            Error::new(ErrorKind::Unavailable, context).with_io(error)
        };
        if path.is_symlink() {
            let context = format!("{}: must not be a symbolic link", path.display());
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700);
            builder.create(folder).map_err(unusable)?;
        }
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.mode(0o600).open(path).map_err(unusable)?;
        let connection = schema::open(path).map_err(|error| error.within(path.display()))?;
        Ok(Self {
            shared: Arc::new(Shared {
                path: Some(path.to_owned()),
                writer: Mutex::new(Writer {
                    connection,
                    datasets: HashMap::new(),
                    relocation: 0,
                }),
                readers: Mutex::default(),
            }),
            has_outbox: false,
            clock: Arc::new(SystemClock),
        })
    }

    /// A registry in memory, for tests and simulations. It vanishes when dropped, and uses no threads.
    ///
    /// # Errors
    /// `Unavailable`: out of memory.
    pub fn in_memory() -> Result<Self, Error> {
        Ok(Self {
            shared: Arc::new(Shared {
                path: None,
                writer: Mutex::new(Writer {
                    connection: schema::open(Path::new(":memory:"))?,
                    datasets: HashMap::new(),
                    relocation: 0,
                }),
                readers: Mutex::default(),
            }),
            has_outbox: false,
            clock: Arc::new(SystemClock),
        })
    }

    /// Takes the time of stored answers from `clock`. The default is the clock of the machine.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Also puts every future Result into the outbox, for [`RegistryStore::take_outbox`].
    #[must_use]
    pub fn with_outbox(mut self) -> Self {
        self.has_outbox = true;
        self
    }

    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Change<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.write_unless(false, operation).await
    }

    /// Writes as [`Self::write`]; with `undo` everything is rolled back.
    async fn write_unless<T: Send + 'static>(
        &self,
        undo: bool,
        operation: impl FnOnce(&mut Change<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        let has_outbox = self.has_outbox;
        blocking(shared.path.is_none(), move || {
            let mut writer = lock(&shared.writer);
            let Writer {
                connection,
                datasets,
                relocation,
            } = &mut *writer;
            let (answer, found) = {
                let transaction = connection
                    .transaction_with_behavior(TransactionBehavior::Immediate)
                    .map_err(sqlite_error)?;
                let last = relocate::last(&transaction)?;
                if *relocation != last {
                    datasets.clear();
                    *relocation = last;
                }
                let mut change = Change {
                    transaction,
                    committed: datasets,
                    found: HashMap::new(),
                    has_outbox,
                };
                let answer = operation(&mut change)?;
                if undo {
                    change.transaction.rollback().map_err(sqlite_error)?;
                    return Ok(answer);
                }
                change.transaction.commit().map_err(sqlite_error)?;
                (answer, change.found)
            };
            // Only committed ids are cached.
            if datasets.len() + found.len() > DATASETS_MAX {
                datasets.clear();
            }
            datasets.extend(found);
            Ok(answer)
        })
        .await
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let shared = Arc::clone(&self.shared);
        blocking(shared.path.is_none(), move || {
            let Some(path) = &shared.path else {
                return query(&lock(&shared.writer).connection);
            };
            let pooled = lock(&shared.readers).pop();
            let connection = match pooled {
                Some(connection) => connection,
                None => schema::open_reader(path)?,
            };
            // One transaction, so that all queries see the same registry.
            connection.execute_batch("BEGIN").map_err(sqlite_error)?;
            let answer = query(&connection);
            // A connection whose commit failed is not used again.
            if connection.execute_batch("COMMIT").is_ok() {
                lock(&shared.readers).push(connection);
            }
            answer
        })
        .await
    }
}

/// A transaction that writes.
pub(super) struct Change<'a> {
    pub(super) transaction: Transaction<'a>,
    /// The cached rows of locations.
    committed: &'a HashMap<String, i64>,
    found: HashMap<String, i64>,
    has_outbox: bool,
}

async fn blocking<T: Send + 'static>(
    is_in_memory: bool,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if is_in_memory {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let context = format!("registry: a query did not finish: {error}");
        Err(Error::new(ErrorKind::Unavailable, context).with_source(error))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // If a panic interrupted a transaction, dropping it rolled it back.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Polls a walk over SQLite, which is always ready at once.
fn ready<T>(walk: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(walk).poll(&mut context) {
        Poll::Ready(answer) => answer,
        Poll::Pending => Err(Error::new(
            ErrorKind::Unavailable,
            "registry: a lineage walk over SQLite had to wait",
        )),
    }
}

#[async_trait]
impl RegistryStore for SqliteRegistry {
    async fn apply(&self, results: Vec<Incoming>) -> Result<Vec<Applied>, Error> {
        self.write(move |change| {
            let observations = results.iter().map(Observation::Result);
            write::apply(change, observations)
        })
        .await
    }

    async fn record_events(&self, events: Vec<IncomingEvent>) -> Result<(), Error> {
        self.write(move |change| {
            let mut each = events.iter();
            each.try_for_each(|event| events::record(&change.transaction, event))
        })
        .await
    }

    async fn create_job(&self, job: NewJob, now: Timestamp) -> Result<Job, Error> {
        check_indexed(&job)?;
        self.write(move |change| records::create_job(&change.transaction, job, &now))
            .await
    }

    async fn get_job(&self, job_id: &str) -> Result<Option<Job>, Error> {
        let job_id = job_id.to_owned();
        self.read(move |connection| records::get_job(connection, &job_id))
            .await
    }

    async fn update_job(
        &self,
        job_id: &str,
        update: UpdateJob,
        now: Timestamp,
    ) -> Result<Option<Job>, Error> {
        let job_id = job_id.to_owned();
        self.write(move |change| records::update_job(&change.transaction, &job_id, &update, &now))
            .await
    }

    async fn query_jobs(&self, filter: JobFilter) -> Result<Vec<Job>, Error> {
        self.read(move |connection| records::query_jobs(connection, &filter))
            .await
    }

    async fn add_step(&self, step: NewStep, now: Timestamp) -> Result<Step, Error> {
        self.write(move |change| records::add_step(change, step, &now))
            .await
    }

    async fn get_step(&self, step_id: &str) -> Result<Option<Step>, Error> {
        let step_id = step_id.to_owned();
        self.read(move |connection| records::get_step(connection, &step_id))
            .await
    }

    async fn get_job_steps(&self, job_id: &str) -> Result<Vec<Step>, Error> {
        let job_id = job_id.to_owned();
        self.read(move |connection| records::get_job_steps(connection, &job_id))
            .await
    }

    async fn update_step(&self, update: StepUpdate) -> Result<Option<Step>, Error> {
        self.write(move |change| {
            if records::get_step(&change.transaction, &update.step_id)?.is_none() {
                return Ok(None);
            }
            let stored = StoredUpdate::of(&update);
            write::apply(change, [Observation::Update(&update, &stored)])?;
            records::get_step(&change.transaction, &update.step_id)
        })
        .await
    }

    async fn one_hop(&self, query: HopQuery) -> Result<OneHop, Error> {
        self.read(move |connection| {
            let found = resolve::resolve(connection, &query.location)?;
            let reader = &mut SqliteLineage(connection);
            ready(walk::one_hop(reader, found.id, &found.dataset, &query))
        })
        .await
    }

    async fn graph(&self, query: GraphQuery) -> Result<Graph, Error> {
        self.read(move |connection| {
            let found = resolve::resolve(connection, &query.location)?;
            let reader = &mut SqliteLineage(connection);
            ready(walk::walk(reader, found.id, &found.dataset, &query))
        })
        .await
    }

    async fn results_of(&self, correlation_id: &str) -> Result<Vec<StoredResult>, Error> {
        let correlation_id = correlation_id.to_owned();
        self.read(move |connection| events::results_of(connection, &correlation_id))
            .await
    }

    async fn events_of(&self, correlation_id: &str) -> Result<Vec<StoredEvent>, Error> {
        let correlation_id = correlation_id.to_owned();
        self.read(move |connection| events::of(connection, &correlation_id))
            .await
    }

    async fn events_after(
        &self,
        cursor: Option<i64>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, Error> {
        self.read(move |connection| events::after(connection, cursor, limit))
            .await
    }

    async fn exported_after(&self, after: i64, limit: u64) -> Result<Vec<ExportedResult>, Error> {
        self.read(move |connection| {
            let params = rusqlite::params![after, limit];
            let relocations = relocate::relocations(connection)?;
            columns::all(connection, queries::EXPORT_AFTER, params, |row| {
                queries::exported(row, &relocations)
            })
        })
        .await
    }

    async fn take_outbox(
        &self,
        limit: u64,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Vec<ExportedResult>, Error> {
        // The outbox is usually empty. Looking first avoids a write transaction that others would wait for.
        let is_empty = self.read(move |connection| {
            let sql = "SELECT 1 FROM outbox WHERE taken_until_ms <= ? LIMIT 1";
            Ok(!connection
                .prepare_cached(sql)
                .map_err(sqlite_error)?
                .exists([now_ms])
                .map_err(sqlite_error)?)
        });
        if is_empty.await? {
            return Ok(Vec::new());
        }
        self.write(move |change| outbox::take(&change.transaction, limit, now_ms, until_ms))
            .await
    }

    async fn mark_exported(&self, rows: Vec<i64>) -> Result<(), Error> {
        self.write(move |change| outbox::mark_exported(&change.transaction, &rows))
            .await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        let dry_run = prune.dry_run;
        self.write_unless(dry_run, move |change| prune::prune(change, &prune))
            .await
    }

    async fn prune_events(
        &self,
        before: Timestamp,
        limit: u64,
        dry_run: bool,
    ) -> Result<u64, Error> {
        self.write(move |change| prune::events(&change.transaction, &before, limit, dry_run))
            .await
    }

    async fn relocate(&self, relocate: Relocate, now: Timestamp) -> Result<Relocated, Error> {
        self.write_unless(relocate.dry_run, move |change| {
            relocate::relocate(&change.transaction, &relocate, &now)
        })
        .await
    }

    async fn data_folders(&self) -> Result<Vec<(String, u64)>, Error> {
        self.read(relocate::data_folders).await
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        self.read(|connection| {
            let mut statement = connection
                .prepare("PRAGMA quick_check")
                .map_err(sqlite_error)?;
            let rows = statement
                .query_map([], |row| row.get(0))
                .map_err(sqlite_error)?;
            let found: Vec<String> = rows.collect::<Result<_, _>>().map_err(sqlite_error)?;
            Ok(found.into_iter().filter(|line| line != "ok").collect())
        })
        .await
    }

    async fn backup(&self, to: &Path) -> Result<(), Error> {
        let to = to.to_owned();
        let shared = Arc::clone(&self.shared);
        blocking(shared.path.is_none(), move || {
            // Created first, so that only the owner can read the copy; SQLite accepts an empty file.
            let mut options = fs::OpenOptions::new();
            let made = options.write(true).create_new(true).mode(0o600).open(&to);
            made.map_err(|error| {
                let context = format!("{}: {error}", to.display());
                Error::new(ErrorKind::Unavailable, context).with_io(error)
            })?;
            let to = to.display().to_string();
            match &shared.path {
                Some(path) => schema::open_reader(path)?
                    .execute("VACUUM INTO ?", [to])
                    .map_err(sqlite_error)?,
                None => lock(&shared.writer)
                    .connection
                    .execute("VACUUM INTO ?", [to])
                    .map_err(sqlite_error)?,
            };
            Ok(())
        })
        .await
    }
}
