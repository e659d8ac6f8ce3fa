use crate::error::Error;
use crate::model::{
    Graph, GraphQuery, HopQuery, Job, JobFilter, NewJob, NewStep, OneHop, Prune, Pruned, Relocate,
    Relocated, Step, StepUpdate, StoredEvent, StoredResult, UpdateJob,
};
use crate::openlineage::ExportedResult;
use async_trait::async_trait;
use pudato_protocol::{Event, Result as Reply, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// A Result that arrived.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The SHA-256 of its JSON as published, in hex.
    pub identity: String,
    /// Its JSON as published.
    pub body: Arc<str>,
    /// The Result.
    pub result: Arc<Reply>,
    /// When it arrived.
    pub recorded_at: Timestamp,
}

/// An Event that arrived.
#[derive(Debug, Clone)]
pub struct IncomingEvent {
    /// Tells it from every other; a redelivered Event has the same.
    pub identity: String,
    /// Its JSON as published.
    pub body: Arc<str>,
    /// The Event.
    pub event: Arc<Event>,
    /// When it arrived.
    pub recorded_at: Timestamp,
}

/// What a Result changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It decides the state of its step now.
    Applied,
    /// It was there already; nothing changed.
    Duplicate,
    /// It and its lineage are kept; another Result decides the state of the step.
    Superseded,
    /// It has no step; it is kept.
    Skipped,
    /// It names a step and does not agree with what the step is: it is kept as somebody's claim, and changes nothing.
    Mismatched,
}

/// Keeps jobs, steps, Results and lineage.
///
/// What a call answered is durable. Each call is one transaction: it happens as a whole or not at all, and a call that
/// failed leaves the store ready for the next. Applying the same Results in another order, again, or in other batches gives
/// the same registry.
#[async_trait]
pub trait RegistryStore: Send + Sync {
    /// Writes Results and their lineage; the answers stand in the order of the Results. A Result whose step or job is
    /// unknown creates it. One that does not agree with what its step is (job, service, action, correlation ids) is kept as a
    /// claim, and changes nothing.
    ///
    /// # Errors
    /// `Unavailable`: try again. `Invalid`: one of them can never be written; none was.
    async fn apply(&self, results: Vec<Incoming>) -> Result<Vec<Applied>, Error>;

    /// Writes Events; those that are there already change nothing.
    ///
    /// # Errors
    /// As [`RegistryStore::apply`].
    async fn record_events(&self, events: Vec<IncomingEvent>) -> Result<(), Error>;

    /// Creates a job, or fills in one that only Results spoke of. A job that was created before stays as it is.
    ///
    /// # Errors
    /// `Unavailable`. `Invalid`: one of its texts is too long to be looked up.
    async fn create_job(&self, job: NewJob, now: Timestamp) -> Result<Job, Error>;

    /// Finds a job.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_job(&self, job_id: &str) -> Result<Option<Job>, Error>;

    /// Changes a job; `None` where it is unknown.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn update_job(
        &self,
        job_id: &str,
        update: UpdateJob,
        now: Timestamp,
    ) -> Result<Option<Job>, Error>;

    /// Finds jobs, the newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn query_jobs(&self, filter: JobFilter) -> Result<Vec<Job>, Error>;

    /// Declares a step, or fills in one that only Results spoke of: those that do not agree with the declaration are claims from then
    /// on. One that was declared before stays as it is, but for a correlation id, which is added to those that it has.
    ///
    /// # Errors
    /// `Unavailable`. `Invalid`: it was declared as a step of another job.
    async fn add_step(&self, step: NewStep, now: Timestamp) -> Result<Step, Error>;

    /// Finds a step.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_step(&self, step_id: &str) -> Result<Option<Step>, Error>;

    /// The steps of a job, in the order in which the registry heard of them.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_job_steps(&self, job_id: &str) -> Result<Vec<Step>, Error>;

    /// Says something about a step; `None` where it is unknown.
    ///
    /// # Errors
    /// `Unavailable`; `Invalid` as [`RegistryStore::apply`], or it names a job that the step does not belong to.
    async fn update_step(&self, update: StepUpdate) -> Result<Option<Step>, Error>;

    /// The steps next to a dataset. A short name is completed; a dataset that nobody named has none.
    ///
    /// # Errors
    /// `Invalid`: a short name that several datasets have; the error lists them. `Unavailable`.
    async fn one_hop(&self, query: HopQuery) -> Result<OneHop, Error>;

    /// Walks the lineage.
    ///
    /// # Errors
    /// As [`RegistryStore::one_hop`].
    async fn graph(&self, query: GraphQuery) -> Result<Graph, Error>;

    /// The Results of a correlation id, in the order of their timestamps.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn results_of(&self, correlation_id: &str) -> Result<Vec<StoredResult>, Error>;

    /// The Events of a correlation id, in the order in which they were recorded.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn events_of(&self, correlation_id: &str) -> Result<Vec<StoredEvent>, Error>;

    /// The Events recorded after `cursor`, the oldest first; `None` begins at the last `limit` of them.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn events_after(
        &self,
        cursor: Option<i64>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, Error>;

    /// Results recorded after the row `after`, the oldest first, as they are told to others.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn exported_after(&self, after: i64, limit: u64) -> Result<Vec<ExportedResult>, Error>;

    /// Results of the outbox, the oldest first, which are the caller's to tell until `until_ms` (milliseconds since the Unix
    /// epoch, as `now_ms`). A store that was opened without an outbox has none.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn take_outbox(
        &self,
        limit: u64,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Vec<ExportedResult>, Error>;

    /// Removes Results, by their rows, from the outbox.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn mark_exported(&self, rows: Vec<i64>) -> Result<(), Error>;

    /// Removes what was recorded before an instant and is no longer needed, some of it; see [`Prune`].
    ///
    /// # Errors
    /// `Unavailable`.
    async fn prune(&self, prune: Prune) -> Result<Pruned, Error>;

    /// Removes Events that were recorded before an instant, at most `limit` of them; answers how many. With `dry_run` it counts them
    /// all.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn prune_events(
        &self,
        before: Timestamp,
        limit: u64,
        dry_run: bool,
    ) -> Result<u64, Error>;

    /// Renames the files and database files of a folder that moved. Results stay as they are, but the registry shows the new names
    /// wherever it reads older Results. Calling it again changes nothing.
    ///
    /// # Errors
    /// `Unavailable`. `Invalid`: a folder that is none or lies within the other; a dataset that is there already under its new name,
    /// unless they are said to be the same, now or by the same relocation before.
    async fn relocate(&self, relocate: Relocate, now: Timestamp) -> Result<Relocated, Error>;

    /// Folders that look like data folders in the names of datasets (`objects/`, `warehouse.duckdb`), each with the number of such names.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn data_folders(&self) -> Result<Vec<(String, u64)>, Error>;

    /// Reads every page and says what is wrong; empty when nothing is.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn check(&self) -> Result<Vec<String>, Error>;

    /// Writes a copy to a file that does not exist yet.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn backup(&self, to: &Path) -> Result<(), Error>;
}
