//! The port of a registry store, and the messages that callers hand to it.

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

/// A Result to record.
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
    /// Identifies the Event. A redelivered Event has the same identity.
    pub identity: String,
    /// Its JSON as published.
    pub body: Arc<str>,
    /// The Event.
    pub event: Arc<Event>,
    /// When it arrived.
    pub recorded_at: Timestamp,
}

/// The outcome of a Result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The Result now decides the status of its step.
    Applied,
    /// The registry had the Result already. Nothing changed.
    Duplicate,
    /// The registry stored the Result and its lineage. Another Result decides the status of the step.
    Superseded,
    /// The registry stored the Result, which names no step.
    Skipped,
    /// The Result names a step but does not match it. The registry stored it and changed nothing else.
    Mismatched,
}

/// Stores jobs, steps, Results and lineage.
///
/// When a call returns, its effect is durable. Each call is one transaction: it takes effect as a whole or not at all, and a failed call
/// leaves the store ready for the next one. Applying the same Results in another order, again, or in other batches leads to the same
/// registry.
#[async_trait]
pub trait RegistryStore: Send + Sync {
    /// Records Results and their lineage, and returns one outcome for each, in their order. A Result whose step or job is unknown creates
    /// it. A Result that does not match the job, service, action or correlation ids of its step is stored as a mismatch and changes
    /// nothing.
    ///
    /// # Errors
    /// `Unavailable`: try again. `Invalid`: one of the Results can never be written; none was.
    async fn apply(&self, results: Vec<Incoming>) -> Result<Vec<Applied>, Error>;

    /// Records Events. An Event that the registry has already changes nothing.
    ///
    /// # Errors
    /// As [`RegistryStore::apply`].
    async fn record_events(&self, events: Vec<IncomingEvent>) -> Result<(), Error>;

    /// Creates a job, or completes one that only Results mentioned so far. A job that was created before stays as it is.
    ///
    /// # Errors
    /// `Unavailable`. `Invalid`: a text is too long for an index.
    async fn create_job(&self, job: NewJob, now: Timestamp) -> Result<Job, Error>;

    /// Returns a job.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_job(&self, job_id: &str) -> Result<Option<Job>, Error>;

    /// Changes a job. Returns `None` if the job is unknown.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn update_job(
        &self,
        job_id: &str,
        update: UpdateJob,
        now: Timestamp,
    ) -> Result<Option<Job>, Error>;

    /// Returns the jobs that match the filter, the newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn query_jobs(&self, filter: JobFilter) -> Result<Vec<Job>, Error>;

    /// Declares a step, or completes one that only Results mentioned so far: Results that do not match the declaration become mismatches. A
    /// step that was declared before stays as it is, except that it gains the correlation id.
    ///
    /// # Errors
    /// `Unavailable`. `Invalid`: the step was declared as part of another job.
    async fn add_step(&self, step: NewStep, now: Timestamp) -> Result<Step, Error>;

    /// Returns a step.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_step(&self, step_id: &str) -> Result<Option<Step>, Error>;

    /// Returns the steps of a job, in the order in which the registry first saw them.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn get_job_steps(&self, job_id: &str) -> Result<Vec<Step>, Error>;

    /// Records an update of a step. Returns `None` if the step is unknown.
    ///
    /// # Errors
    /// `Unavailable`; `Invalid` as [`RegistryStore::apply`], or the update names a job that the step does not belong to.
    async fn update_step(&self, update: StepUpdate) -> Result<Option<Step>, Error>;

    /// Returns the steps that read or wrote a dataset. A short name is completed; an unknown dataset has no steps.
    ///
    /// # Errors
    /// `Invalid`: several datasets match a short name; the error lists them. `Unavailable`.
    async fn one_hop(&self, query: HopQuery) -> Result<OneHop, Error>;

    /// Walks the lineage graph.
    ///
    /// # Errors
    /// As [`RegistryStore::one_hop`].
    async fn graph(&self, query: GraphQuery) -> Result<Graph, Error>;

    /// Returns the Results with this correlation id, in the order of their timestamps.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn results_of(&self, correlation_id: &str) -> Result<Vec<StoredResult>, Error>;

    /// Returns the Events with this correlation id, in the order of recording.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn events_of(&self, correlation_id: &str) -> Result<Vec<StoredEvent>, Error>;

    /// Returns the Events recorded after `cursor`, the oldest first. `None` starts with the last `limit` Events.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn events_after(
        &self,
        cursor: Option<i64>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, Error>;

    /// Returns the Results recorded after the row `after`, the oldest first, in the form in which they are exported.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn exported_after(&self, after: i64, limit: u64) -> Result<Vec<ExportedResult>, Error>;

    /// Leases Results of the outbox to the caller until `until_ms` (milliseconds since the Unix epoch, as `now_ms`), the oldest first. A
    /// store without an outbox returns none.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn take_outbox(
        &self,
        limit: u64,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Vec<ExportedResult>, Error>;

    /// Removes exported Results, by their rows, from the outbox.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn mark_exported(&self, rows: Vec<i64>) -> Result<(), Error>;

    /// Removes part of the data that is older than an instant and no longer needed; see [`Prune`].
    ///
    /// # Errors
    /// `Unavailable`.
    async fn prune(&self, prune: Prune) -> Result<Pruned, Error>;

    /// Removes at most `limit` Events that were recorded before an instant, and returns how many. With `dry_run` it counts all of them.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn prune_events(
        &self,
        before: Timestamp,
        limit: u64,
        dry_run: bool,
    ) -> Result<u64, Error>;

    /// Renames the files and database files of a folder that moved. Results stay as they were published, but the registry shows the new
    /// names whenever it reads older Results. A second call changes nothing.
    ///
    /// # Errors
    /// `Unavailable`. `Invalid`: a path is not a folder or lies within the other one; or a dataset with a new name exists already, and
    /// neither this call nor an earlier one merges them.
    async fn relocate(&self, relocate: Relocate, now: Timestamp) -> Result<Relocated, Error>;

    /// Returns the folders in dataset names that look like data folders (`objects/`, `warehouse.duckdb`), each with the number of such
    /// names.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn data_folders(&self) -> Result<Vec<(String, u64)>, Error>;

    /// Reads every page and returns the problems that it finds.
    ///
    /// # Errors
    /// `Unavailable`, `Corrupt`.
    async fn check(&self) -> Result<Vec<String>, Error>;

    /// Copies the registry to a file that does not exist yet.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn backup(&self, to: &Path) -> Result<(), Error>;
}
