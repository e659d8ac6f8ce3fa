//! The store's methods on PostgreSQL, each in a transaction that is tried again after a conflict.

use super::lineage::PostgresLineage;
use super::{PostgresRegistry, events, outbox, prune, records, relocate, resolve, session, write};
use crate::batch::{Observation, StoredUpdate, check_indexed, no_nul};
use crate::error::{Error, ErrorKind, has_state};
use crate::model::{
    Graph, GraphQuery, HopQuery, Job, JobFilter, NewJob, NewStep, OneHop, Prune, Pruned, Relocate,
    Relocated, Step, StepUpdate, StoredEvent, StoredResult, UpdateJob,
};
use crate::openlineage::ExportedResult;
use crate::store::{Applied, Incoming, IncomingEvent, RegistryStore};
use crate::walk;
use async_trait::async_trait;
use pudato_protocol::Timestamp;
use std::path::Path;
use tokio_postgres::error::SqlState;

/// The most tries of a transaction that conflicts with others.
const TRIES_MAX: u32 = 10;

/// Whether the transaction conflicted with another one and can simply be retried: a deadlock, a serialization failure, or a row that both
/// inserted.
pub(super) fn is_collision(error: &Error) -> bool {
    let collisions = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        // A pooler took the prepared statement away. Now that this is known, statements have no names.
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PSTATEMENT,
    ];
    has_state(error, &collisions)
}

/// Runs `$work` in a session and commits, and retries after a conflict.
macro_rules! transact {
    ($registry:expr, |$session:ident| $work:expr) => {{
        let mut tries = 0;
        loop {
            let $session = $registry.session().await?;
            let worked = match $work.await {
                Ok(answer) => $session.commit().await.map(|()| answer),
                Err(error) => {
                    drop($session);
                    Err(error)
                }
            };
            match worked {
                Err(error) if is_collision(&error) => {
                    tries += 1;
                    if tries == TRIES_MAX {
                        break Err(error.with_kind(ErrorKind::Unavailable));
                    }
                }
                worked => break worked,
            }
        }
    }};
}

#[async_trait]
impl RegistryStore for PostgresRegistry {
    async fn apply(&self, results: Vec<Incoming>) -> Result<Vec<Applied>, Error> {
        transact!(self, |session| write::apply(
            &session,
            &self.datasets,
            results.iter().map(Observation::Result),
            self.has_outbox
        ))
    }

    async fn record_events(&self, events: Vec<IncomingEvent>) -> Result<(), Error> {
        transact!(self, |session| events::record(&session, &events))
    }

    async fn create_job(&self, job: NewJob, now: Timestamp) -> Result<Job, Error> {
        for (field, text) in job.texts() {
            no_nul(field, text)?;
        }
        check_indexed(&job)?;
        transact!(self, |session| records::create_job(&session, &job, &now))
    }

    async fn get_job(&self, job_id: &str) -> Result<Option<Job>, Error> {
        records::get_job(&self.session().await?, job_id).await
    }

    async fn update_job(
        &self,
        job_id: &str,
        update: UpdateJob,
        now: Timestamp,
    ) -> Result<Option<Job>, Error> {
        no_nul("error", update.error.as_deref().unwrap_or_default())?;
        no_nul(
            "logic_version",
            update.logic_version.as_deref().unwrap_or_default(),
        )?;
        transact!(self, |session| records::update_job(
            &session, job_id, &update, &now
        ))
    }

    async fn query_jobs(&self, filter: JobFilter) -> Result<Vec<Job>, Error> {
        for (field, text) in [
            ("pipeline", &filter.pipeline),
            ("environment", &filter.environment),
            ("namespace", &filter.namespace),
            ("dag_run_id", &filter.dag_run_id),
            ("logic_version", &filter.logic_version),
        ] {
            no_nul(field, text.as_deref().unwrap_or_default())?;
        }
        records::query_jobs(&self.session().await?, &filter).await
    }

    async fn add_step(&self, step: NewStep, now: Timestamp) -> Result<Step, Error> {
        for (field, text) in [
            ("step_name", &step.step_name),
            ("handler_type", &step.handler_type),
            ("action", &step.action),
        ] {
            no_nul(field, text)?;
        }
        no_nul(
            "correlation_id",
            step.correlation_id.as_deref().unwrap_or_default(),
        )?;
        transact!(self, |session| records::add_step(
            &session,
            &self.datasets,
            &step,
            &now,
            self.has_outbox
        ))
    }

    async fn get_step(&self, step_id: &str) -> Result<Option<Step>, Error> {
        let session = self.reading().await?;
        let step = records::get_step(&session, step_id).await?;
        session.commit().await?;
        Ok(step)
    }

    async fn get_job_steps(&self, job_id: &str) -> Result<Vec<Step>, Error> {
        let session = self.reading().await?;
        let steps = records::get_job_steps(&session, job_id).await?;
        session.commit().await?;
        Ok(steps)
    }

    async fn update_step(&self, update: StepUpdate) -> Result<Option<Step>, Error> {
        let stored = StoredUpdate::of(&update);
        transact!(self, |session| async {
            if records::get_step(&session, &update.step_id)
                .await?
                .is_none()
            {
                return Ok(None);
            }
            let observations = [Observation::Update(&update, &stored)];
            write::apply(&session, &self.datasets, observations, self.has_outbox).await?;
            records::get_step(&session, &update.step_id).await
        })
    }

    async fn one_hop(&self, query: HopQuery) -> Result<OneHop, Error> {
        let session = self.reading().await?;
        let found = resolve::resolve(&session, &query.location).await?;
        let reader = &mut PostgresLineage(&session);
        let hop = walk::one_hop(reader, found.id, &found.dataset, &query).await?;
        session.commit().await?;
        Ok(hop)
    }

    async fn graph(&self, query: GraphQuery) -> Result<Graph, Error> {
        let session = self.reading().await?;
        let found = resolve::resolve(&session, &query.location).await?;
        let reader = &mut PostgresLineage(&session);
        let graph = walk::walk(reader, found.id, &found.dataset, &query).await?;
        session.commit().await?;
        Ok(graph)
    }

    async fn results_of(&self, correlation_id: &str) -> Result<Vec<StoredResult>, Error> {
        events::results_of(&self.session().await?, correlation_id).await
    }

    async fn events_of(&self, correlation_id: &str) -> Result<Vec<StoredEvent>, Error> {
        events::of(&self.session().await?, correlation_id).await
    }

    async fn events_after(
        &self,
        cursor: Option<i64>,
        limit: u64,
    ) -> Result<Vec<StoredEvent>, Error> {
        events::after(&self.session().await?, cursor, limit).await
    }

    async fn exported_after(&self, after: i64, limit: u64) -> Result<Vec<ExportedResult>, Error> {
        outbox::after(&self.session().await?, after, limit).await
    }

    async fn take_outbox(
        &self,
        limit: u64,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Vec<ExportedResult>, Error> {
        outbox::take(&self.session().await?, limit, now_ms, until_ms).await
    }

    async fn mark_exported(&self, rows: Vec<i64>) -> Result<(), Error> {
        outbox::mark_exported(&self.session().await?, &rows).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        if prune.dry_run {
            // Dropping the session without a commit rolls everything back.
            return prune::prune(&self.session().await?, &prune).await;
        }
        transact!(self, |session| prune::prune(&session, &prune))
    }

    async fn prune_events(
        &self,
        before: Timestamp,
        limit: u64,
        dry_run: bool,
    ) -> Result<u64, Error> {
        prune::events(&self.session().await?, &before, limit, dry_run).await
    }

    async fn relocate(&self, relocate: Relocate, now: Timestamp) -> Result<Relocated, Error> {
        if relocate.dry_run {
            // Dropping the session without a commit rolls everything back.
            return relocate::relocate(&self.session().await?, &relocate, &now).await;
        }
        transact!(self, |session| relocate::relocate(
            &session, &relocate, &now
        ))
    }

    async fn data_folders(&self) -> Result<Vec<(String, u64)>, Error> {
        relocate::data_folders(&self.session().await?).await
    }

    async fn check(&self) -> Result<Vec<String>, Error> {
        // PostgreSQL checks its own pages when it reads them (`initdb --data-checksums`, `pg_amcheck`).
        let session = self.session().await?;
        session::rows(&session, "SELECT 1 FROM migration", &[]).await?;
        Ok(Vec::new())
    }

    async fn backup(&self, _to: &Path) -> Result<(), Error> {
        let what = "the registry is on a PostgreSQL server: back it up there, with `pg_dump --schema pudato`";
        Err(Error::new(ErrorKind::Invalid, what))
    }
}
