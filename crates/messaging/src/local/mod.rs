//! The embedded fabric: topics, queues and dead-letter queues in one SQLite file, for any number of processes on one machine. An operation
//! that returned `Ok` survives a crash of the process and, except for receives and renewals, a power failure.

mod consumer;
mod event_source;
mod folder;
mod idempotency;
mod late;
mod operations;
mod queue;
mod receipt;
mod receive;
mod schema;
mod send;
mod settle;
mod steady;
mod turn;
mod wake;
mod writer;

pub use consumer::LocalConsumer;
pub use event_source::LocalEventSource;

use crate::{
    BeginOutcome, Clock, Error, ErrorKind, IdempotencyRecord, IdempotencyStore, Key, Limits,
    Message, Publisher, RunningRequest, Topology,
};
use async_trait::async_trait;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use steady::SteadyTime;
use turn::Turn;
use wake::Wake;
use writer::{Durability, Transaction, Writer};

/// The name of the database in the data folder.
const DATABASE: &str = "fabric.db";

/// The embedded fabric of one data folder. Clones share its connections.
#[derive(Clone)]
pub struct LocalFabric {
    time: Arc<SteadyTime>,
    writer: Writer,
    reader: Arc<Mutex<Connection>>,
    wake: Arc<Wake>,
    root: Arc<PathBuf>,
}

impl LocalFabric {
    /// Opens the fabric in the folder `root`. A new folder is created for its owner alone.
    ///
    /// # Errors
    /// `Invalid`: the folder is a symbolic link, or a newer pudato wrote it. `Corrupt`: the file is not a database, or is damaged.
    /// `Unavailable`: no permission, or no space.
    pub fn open(root: &Path, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let root = folder::prepare(root)?;
        let turn = Turn::open(&root)?;
        // Created before SQLite opens it, so that only its owner can read it. SQLite gives its companion files the same permissions.
        drop(folder::file(&root, DATABASE)?);
        let path = root.join(DATABASE);
        // One process at a time creates the tables.
        let connection = turn.take(|| schema::open(&path))?;
        let reader = schema::open_reader(&path)?;
        let wake = Wake::start(&root)?;
        let writer = Writer::start(connection, turn, Arc::clone(&wake))?;
        Ok(Self {
            time: Arc::new(SteadyTime::new(clock)),
            writer,
            reader: Arc::new(Mutex::new(reader)),
            wake,
            root: Arc::new(root),
        })
    }

    /// Declares topics, queues and subscriptions. Those that exist with the same attributes stay as they are.
    ///
    /// # Errors
    /// `Invalid`: see [`Topology::check`], or one exists with other attributes. Nothing changes then.
    pub async fn declare(&self, topology: Topology) -> Result<(), Error> {
        self.write(Durability::Synced, move |transaction| {
            queue::declare(transaction, &topology)
        })
        .await
    }

    /// Opens a consumer of `queue`.
    ///
    /// # Errors
    /// `NotFound` for an unknown queue.
    pub async fn consumer(&self, queue: &str) -> Result<LocalConsumer, Error> {
        LocalConsumer::open(self.clone(), queue)
    }

    /// Counts the messages that were published to `topic` while no queue subscribed to it.
    ///
    /// # Errors
    /// `NotFound` for an unknown topic.
    pub async fn undelivered(&self, topic: &str) -> Result<u64, Error> {
        self.read(|connection| {
            let sql = "SELECT unheard FROM topic WHERE name = ?";
            connection
                .query_row(sql, [topic], |row| row.get(0))
                .map_err(|error| match error {
                    rusqlite::Error::QueryReturnedNoRows => Error::new(
                        ErrorKind::NotFound,
                        format!("topic {topic:?} does not exist"),
                    ),
                    error => schema::database_error(topic, error),
                })
        })
    }

    /// Reads every page of the database and returns the problems that it finds.
    ///
    /// # Errors
    /// `Corrupt` or `Unavailable` if the database cannot be read at all.
    pub async fn check(&self) -> Result<Vec<String>, Error> {
        self.read(|connection| {
            let failed = |error| schema::database_error(DATABASE, error);
            let mut statement = connection.prepare("PRAGMA quick_check").map_err(failed)?;
            let rows = statement.query_map([], |row| row.get(0)).map_err(failed)?;
            let found: Vec<String> = rows.collect::<Result<_, _>>().map_err(failed)?;
            Ok(found.into_iter().filter(|line| line != "ok").collect())
        })
    }

    /// Copies the current state of the fabric to `path`. Other operations continue meanwhile.
    ///
    /// # Errors
    /// `Unavailable`: the file exists or cannot be written.
    pub async fn backup(&self, path: &Path) -> Result<(), Error> {
        let database = self.root.join(DATABASE);
        let path = path.to_owned();
        let copied = tokio::task::spawn_blocking(move || {
            // Created first, so that only the owner can read the copy; SQLite accepts an empty file.
            folder::new_file(&path)?;
            let connection = schema::open_reader(&database)?;
            let to = path.display().to_string();
            let failed = |error| schema::database_error(&to, error);
            connection
                .pragma_update(None, "query_only", "OFF")
                .map_err(failed)?;
            connection
                .execute("VACUUM INTO ?", [&to])
                .map(|_| ())
                .map_err(failed)
        });
        copied
            .await
            .map_err(|error| Error::new(ErrorKind::Unavailable, "backup").with_source(error))?
    }

    fn now_ms(&self) -> i64 {
        self.time.now_ms()
    }

    /// Reads on the calling thread. Every query reads a few rows through an index, and readers never wait.
    fn read<T>(&self, query: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        query(&self.reader.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.writer.call(durability, operation).await
    }
}

#[async_trait]
impl Publisher for LocalFabric {
    async fn limits(&self, topic: &str) -> Result<Limits, Error> {
        let topic = topic.to_owned();
        self.undelivered(&topic).await?;
        Ok(Limits::SQS)
    }

    async fn publish(
        &self,
        topic: &str,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        Limits::SQS.check_batch(messages.iter())?;
        let (topic, now_ms) = (topic.to_owned(), self.now_ms());
        self.write(Durability::Synced, move |transaction| {
            send::known_topic(transaction, &topic)?;
            // An entry is refused before any of it is written. A disk error fails the whole call.
            messages
                .iter()
                .map(|message| match Limits::SQS.check(message) {
                    Ok(()) => send::publish(transaction, &topic, message, now_ms).map(Ok),
                    Err(refusal) => Ok(Err(refusal)),
                })
                .collect()
        })
        .await
    }
}

#[async_trait]
impl IdempotencyStore for LocalFabric {
    async fn begin(
        &self,
        key: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<BeginOutcome, Error> {
        let (key, fingerprint, owner) = (key.clone(), fingerprint.to_owned(), owner.to_owned());
        let now_ms = self.now_ms();
        self.write(Durability::Synced, move |transaction| {
            idempotency::begin(transaction, &key, &fingerprint, &owner, lease, now_ms)
        })
        .await
    }

    async fn renew_all(
        &self,
        running: &[RunningRequest],
        lease: Duration,
    ) -> Vec<Result<bool, Error>> {
        let (all, time) = (running.to_vec(), Arc::clone(&self.time));
        let renew = move |transaction: &Transaction<'_>| -> Result<Vec<bool>, Error> {
            let now_ms = time.now_ms();
            all.iter()
                .map(|one| idempotency::renew(transaction, one, lease, now_ms))
                .collect()
        };
        match self.writer.call_first(renew).await {
            Ok(renewed) => renewed.into_iter().map(Ok).collect(),
            Err(error) => running.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    async fn finish(&self, answered: IdempotencyRecord) -> Result<bool, Error> {
        let now_ms = self.now_ms();
        self.write(Durability::Synced, move |transaction| {
            idempotency::finish(transaction, &answered, now_ms)
        })
        .await
    }

    async fn abandon(&self, key: &Key, owner: &str) -> Result<(), Error> {
        let (key, owner) = (key.clone(), owner.to_owned());
        self.write(Durability::Synced, move |transaction| {
            idempotency::abandon(transaction, &key, &owner)
        })
        .await
    }

    async fn forget(&self, before_ms: u64) -> Result<Option<u64>, Error> {
        let before_ms = i64::try_from(before_ms).unwrap_or(i64::MAX);
        let forgotten = self.write(Durability::Synced, move |transaction| {
            idempotency::forget(transaction, before_ms)
        });
        forgotten.await.map(Some)
    }
}
