//! The registry on a PostgreSQL server, for any number of machines.

mod columns;
mod connect;
mod edges;
mod events;
mod facts;
mod idempotency;
mod jobs;
mod outbox;
mod pools;
mod prune;
mod records;
mod relocate;
mod resolve;
mod roles;
mod schema;
mod session;
mod steps;
mod write;

use crate::batch::{Said, Uttered, check_indexed, no_nul};
use crate::error::{Error, ErrorKind, has_state};
use crate::model::{
    Graph, GraphQuery, HopQuery, Job, JobFilter, NewJob, NewStep, OneHop, Prune, Pruned, Relocate,
    Relocated, Step, StepUpdate, StoredEvent, StoredResult, UpdateJob,
};
use crate::openlineage::ToldResult;
use crate::store::{Applied, Incoming, IncomingEvent, RegistryStore};
use crate::walk;
use async_trait::async_trait;
use connect::Address;
use facts::PostgresFacts;
use pools::Pools;
use pudato_messaging::{Clock, SystemClock};
use pudato_protocol::Timestamp;
pub use roles::Purpose;
use session::Session;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::OnceCell;
use tokio_postgres::error::SqlState;
use write::Datasets;

/// How often a transaction is tried that another one made impossible.
const TRIES_MAX: u32 = 10;

/// The registry on a PostgreSQL server (tests ran with 15, 16 and 18). Clones share its connections.
#[derive(Clone)]
pub struct PostgresRegistry {
    pools: Arc<Pools>,
    /// Host and database, without what is secret.
    printed: Arc<str>,
    /// Set when the tables were found or made.
    ready: Arc<OnceCell<()>>,
    datasets: Arc<Datasets>,
    has_outbox: bool,
    clock: Arc<dyn Clock>,
}

impl PostgresRegistry {
    /// A registry at `url` (`postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `sslmode` and `sslrootcert`). A server that is not
    /// this machine must show a certificate for its name, unless the URL says `sslmode=disable`. Nothing is connected yet: a server
    /// that is down keeps nobody from starting, and is `Unavailable` to who asks it.
    ///
    /// # Errors
    /// `Invalid`: the URL.
    pub fn new(url: &str) -> Result<Self, Error> {
        let address = Address::parse(url)?;
        Ok(Self {
            pools: Arc::new(address.pools()?),
            printed: address.printed().into(),
            ready: Arc::default(),
            datasets: Arc::default(),
            has_outbox: false,
            clock: Arc::new(SystemClock),
        })
    }

    /// Keeps at most so many connections, 1 or more: a server has room for a certain number, which all programs share.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        self.pools.resize(connections.max(1));
        self
    }

    /// As [`Self::new`], and connects: makes the tables in the schema `pudato` where they are not there and the role may make them.
    ///
    /// # Errors
    /// As [`Self::new`]. `Invalid`: tables of a newer pudato, or a role that may not make them. `Unavailable`: the server cannot be
    /// reached.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let registry = Self::new(url)?;
        registry.migrated().await?;
        Ok(registry)
    }

    /// Sees to it, once, that the tables are there.
    async fn migrated(&self) -> Result<(), Error> {
        let migrate = async || {
            let mut client = self.pools.first().await?;
            schema::migrate(&mut client).await
        };
        let migrated = self.ready.get_or_try_init(migrate).await;
        migrated
            .copied()
            .map_err(|error: Error| error.within(&self.printed))
    }

    /// Lets `role` read and write the tables and nothing else, for the programs that run every day.
    ///
    /// # Errors
    /// `Unavailable`: there is no such role, or this one may not grant.
    pub async fn grant(&self, role: &str) -> Result<(), Error> {
        no_nul("role", role)?;
        self.migrated().await?;
        let mut client = self.pools.get().await?;
        roles::grant(&mut client, role, Purpose::Registry).await
    }

    /// Whether the server is reached through a pooler that gives each transaction another session, as its first connection showed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn is_pooled(&self) -> Result<bool, Error> {
        self.migrated().await?;
        Ok(self.pools.is_pooled())
    }

    /// Makes the role that `url` names, with its password, or gives the one that is there this password; it may do what `purpose` needs, and nothing else.
    ///
    /// # Errors
    /// `Invalid`: the URL has no role or no password, or the role is this one. `Unavailable`: this one may make no roles.
    pub async fn make_role(&self, url: &str, purpose: Purpose) -> Result<(), Error> {
        let (role, password) = Address::parse(url)?.role()?;
        self.migrated().await?;
        let mut client = self.pools.get().await?;
        roles::make(&client, &role, &password).await?;
        roles::grant(&mut client, &role, purpose).await
    }

    /// Takes the time from `clock`, where it remembers which requests were answered; the machine's own without it.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Puts every Result that arrives from now on into the outbox as well, for [`RegistryStore::take_outbox`].
    #[must_use]
    pub fn with_outbox(mut self) -> Self {
        self.has_outbox = true;
        self
    }

    async fn session(&self) -> Result<Session<'_>, Error> {
        // No message is to blame for the tables: whoever brought one keeps it.
        self.migrated()
            .await
            .map_err(|error| error.with_kind(ErrorKind::Unavailable))?;
        Session::of(&self.pools).await
    }

    /// A session that sees one moment of the registry.
    async fn reading(&self) -> Result<Session<'_>, Error> {
        let session = self.session().await?;
        session.begin_reading().await?;
        Ok(session)
    }
}

/// Whether another transaction was in the way, so that trying again is all that is needed: a deadlock, a conflict, or a row that
/// both made.
fn is_collision(error: &Error) -> bool {
    let collisions = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        // A pooler took the statement away; now that this is known, statements have no names.
        SqlState::INVALID_SQL_STATEMENT_NAME,
        SqlState::DUPLICATE_PSTATEMENT,
    ];
    has_state(error, &collisions)
}

/// Runs `$work` on a session and commits; again where another transaction was in the way.
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
            results.iter().map(Uttered::Result),
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
        let said = Said::of(&update);
        transact!(self, |session| async {
            if records::get_step(&session, &update.step_id)
                .await?
                .is_none()
            {
                return Ok(None);
            }
            let uttered = [Uttered::Update(&update, &said)];
            write::apply(&session, &self.datasets, uttered, self.has_outbox).await?;
            records::get_step(&session, &update.step_id).await
        })
    }

    async fn one_hop(&self, query: HopQuery) -> Result<OneHop, Error> {
        let session = self.reading().await?;
        let found = resolve::resolve(&session, &query.location).await?;
        let facts = &mut PostgresFacts(&session);
        let hop = walk::one_hop(facts, found.id, &found.dataset, &query).await?;
        session.commit().await?;
        Ok(hop)
    }

    async fn graph(&self, query: GraphQuery) -> Result<Graph, Error> {
        let session = self.reading().await?;
        let found = resolve::resolve(&session, &query.location).await?;
        let facts = &mut PostgresFacts(&session);
        let graph = walk::walk(facts, found.id, &found.dataset, &query).await?;
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

    async fn told_after(&self, after: i64, limit: u64) -> Result<Vec<ToldResult>, Error> {
        outbox::after(&self.session().await?, after, limit).await
    }

    async fn take_outbox(
        &self,
        limit: u64,
        now_ms: u64,
        until_ms: u64,
    ) -> Result<Vec<ToldResult>, Error> {
        outbox::take(&self.session().await?, limit, now_ms, until_ms).await
    }

    async fn told(&self, rows: Vec<i64>) -> Result<(), Error> {
        outbox::told(&self.session().await?, &rows).await
    }

    async fn prune(&self, prune: Prune) -> Result<Pruned, Error> {
        if prune.dry_run {
            // Dropped without a commit, nothing of it lasts.
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
            // Dropped without a commit, nothing of it lasts.
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
        // Postgres checks its own pages as it reads them (`initdb --data-checksums`, `pg_amcheck`).
        let session = self.session().await?;
        session::rows(&session, "SELECT 1 FROM migration", &[]).await?;
        Ok(Vec::new())
    }

    async fn backup(&self, _to: &Path) -> Result<(), Error> {
        let what = "the registry is on a PostgreSQL server: back it up there, with `pg_dump --schema pudato`";
        Err(Error::new(ErrorKind::Invalid, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pudato_testing::{Pgbouncer, Postgres, skipped};

    /// behaviours.md, security line 28.
    #[tokio::test]
    async fn every_session_has_its_limits() {
        let server = match Postgres::shared() {
            Ok(server) => server,
            Err(why) => return skipped("every_session_has_its_limits", &why),
        };
        let database = server.database().expect("a database");
        let registry = PostgresRegistry::open(&database.url).await.expect("opened");
        let session = registry.session().await.expect("a session");
        for (setting, value) in [
            ("statement_timeout", "30s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "1min"),
            ("search_path", "pudato"),
            ("application_name", "pudato"),
        ] {
            let shown = session::rows(&session, &format!("SHOW {setting}"), &[]).await;
            let shown: String = shown.expect("shown")[0].get(0);
            assert_eq!(shown, value, "{setting}");
        }
    }

    /// The same limits hold in each transaction of a pooler, and one that drops a session's settings without a word is noticed.
    #[tokio::test]
    async fn a_transaction_through_a_pooler_has_its_limits() {
        let started =
            Postgres::shared().and_then(|server| Ok((server, Pgbouncer::before(server)?)));
        let (server, pooler) = match started {
            Ok(started) => started,
            // CI has none either.
            Err(why) => return eprintln!("a_transaction_through_a_pooler: skipped: {why}"),
        };
        let database = server.database().expect("a database");
        let url = pooler.url(&database.name);
        let registry = PostgresRegistry::open(&url).await.expect("opened");
        let session = registry.session().await.expect("a session");
        for (setting, value) in [("statement_timeout", "30s"), ("search_path", "pudato")] {
            let shown = session::rows(&session, &format!("SHOW {setting}"), &[]).await;
            let shown: String = shown.expect("shown")[0].get(0);
            assert_eq!(shown, value, "{setting}");
        }
        let failed = session::run(&session, "SELECT 1 / 0", &[]).await;
        assert_eq!(failed.expect_err("it fails").kind, ErrorKind::Invalid);
        let shown = session::rows(&session, "SELECT $1::bigint", &[&7_i64]).await;
        let shown: i64 = shown.expect("the next is not touched by it")[0].get(0);
        assert_eq!(shown, 7);
        let own = format!("{url}?options=-c%20work_mem%3D1MB");
        let refused = PostgresRegistry::open(&own).await.err().expect("refused");
        assert!(
            refused.context.contains("REGISTRY_DATABASE_URL: options"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_statement_that_fails_leaves_nothing_to_the_next() {
        let server = match Postgres::shared() {
            Ok(server) => server,
            Err(why) => return skipped("a_statement_that_fails", &why),
        };
        let database = server.database().expect("a database");
        let registry = PostgresRegistry::open(&database.url).await.expect("opened");
        for _ in 0..2 * 8 {
            let session = registry.session().await.expect("a session");
            session.begin().await.expect("begun");
            let sql = "INSERT INTO job (job_id, created_at, created_us) VALUES ('lost', '', 0)";
            session::run(&session, sql, &[]).await.expect("written");
            let failed = session::run(&session, "SELECT 1 / 0", &[]).await;
            assert_eq!(failed.expect_err("it fails").kind, ErrorKind::Invalid);
        }
        assert!(registry.get_job("lost").await.expect("asked").is_none());
    }

    /// An error's kind follows from its code, whatever its text says.
    #[tokio::test]
    async fn an_error_is_known_by_its_code_and_not_by_its_text() {
        let server = match Postgres::shared() {
            Ok(server) => server,
            Err(why) => return skipped("an_error_is_known_by_its_code", &why),
        };
        let database = server.database().expect("a database");
        let registry = PostgresRegistry::open(&database.url).await.expect("opened");
        for (code, kind, collides) in [
            ("23505", ErrorKind::Invalid, true),
            ("40001", ErrorKind::Unavailable, true),
            ("40P01", ErrorKind::Unavailable, true),
            ("22001", ErrorKind::Invalid, false),
            ("54000", ErrorKind::Invalid, false),
            ("53100", ErrorKind::Unavailable, false),
            ("55P03", ErrorKind::Unavailable, false),
            ("42501", ErrorKind::Unavailable, false),
        ] {
            let session = registry.session().await.expect("a session");
            let raise = format!(
                "DO $$ BEGIN RAISE EXCEPTION 'it says (SQLSTATE 23505), 42501 (SQLSTATE 40001)' USING ERRCODE = '{code}'; END $$"
            );
            let failed = session::run(&session, &raise, &[])
                .await
                .expect_err("raised");
            assert_eq!(
                (failed.kind, is_collision(&failed)),
                (kind, collides),
                "{failed}"
            );
            assert_eq!(failed.sql_state(), Some(code), "{failed}");
            let same = failed.clone();
            drop(failed);
            let source = std::error::Error::source(&same).expect("a source");
            let source = source.downcast_ref::<tokio_postgres::Error>();
            let state = source.and_then(|source| source.code());
            assert_eq!(state.map(SqlState::code), Some(code), "{same}");
        }
    }

    /// Of statements that are sent at once all fail after one did, and the answer of another may be looked at first.
    #[tokio::test]
    async fn what_made_a_transaction_fail_is_told_and_not_that_it_failed() {
        let server = match Postgres::shared() {
            Ok(server) => server,
            Err(why) => return skipped("what_made_a_transaction_fail", &why),
        };
        let database = server.database().expect("a database");
        let registry = PostgresRegistry::open(&database.url).await.expect("opened");
        let session = registry.session().await.expect("a session");
        session.begin().await.expect("begun");
        let why = session::run(&session, "SELECT 1 / 0", &[]).await;
        let before = session::run(&session, "SELECT 1", &[]).await;
        let after = session::run(&session, "SELECT 2", &[]).await;
        let told = session::all([before, why, after]).expect_err("it failed");
        assert_eq!(
            told.sql_state(),
            Some(SqlState::DIVISION_BY_ZERO.code()),
            "{told}"
        );
    }

    #[tokio::test]
    async fn tables_of_a_newer_version_are_refused_and_left_alone() {
        let server = match Postgres::shared() {
            Ok(server) => server,
            Err(why) => return skipped("tables_of_a_newer_version", &why),
        };
        let database = server.database().expect("a database");
        drop(PostgresRegistry::open(&database.url).await.expect("opened"));
        let newer = "INSERT INTO pudato.migration (version, checksum) VALUES (99, 'x')";
        server.psql(&database.name, newer).expect("written");
        let refused = PostgresRegistry::open(&database.url)
            .await
            .err()
            .expect("refused");
        assert_eq!(refused.kind, ErrorKind::Invalid);
        assert!(
            refused.context.contains("newer pudato (format 99"),
            "{refused}"
        );
        let changed = "UPDATE pudato.migration SET checksum = 'x' WHERE version = 1; DELETE FROM pudato.migration WHERE version = 99";
        server.psql(&database.name, changed).expect("written");
        let refused = PostgresRegistry::open(&database.url)
            .await
            .err()
            .expect("refused");
        assert!(refused.context.contains("another migration 1"), "{refused}");
    }

    /// What a step's runs counted for before there were claims they count for now, and so does what is on its way.
    #[tokio::test]
    async fn runs_of_the_tables_before_these_go_on_to_count() {
        let server = match Postgres::shared() {
            Ok(server) => server,
            Err(why) => return skipped("runs_of_the_tables_before_these", &why),
        };
        let database = server.database().expect("a database");
        let first = include_str!("0001.sql");
        let before = format!(
            "CREATE SCHEMA pudato; SET search_path = pudato;
             CREATE TABLE migration (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now());
             INSERT INTO migration (version, checksum) VALUES (1, '{}'); {first}
             INSERT INTO step (step_id, status, rank, at_us, identity, seen_handler, seen_correlation_id) VALUES
                 ('twice', 'failed', 2, 2000, 'r2', 'query', 'c2'), ('once', 'failed', 2, 2000, 'r3', 'query', 'c3');
             INSERT INTO step (step_id, declared, handler_type, action, correlation_id, status, rank, at_us, seen_correlation_id)
                 VALUES ('declared', 1, 'query', 'execute_sql', 'c4', 'failed', 2, 2000, 'c5');
             INSERT INTO result (identity, correlation_id, step, status, at_us, recorded_at, body) VALUES
                 ('r1', 'c1', 1, 'failed', 1000, '', ''), ('r2', 'c2', 1, 'failed', 2000, '', ''),
                 ('r3', 'c3', 2, 'failed', 2000, '', ''), ('r5', 'c5', 3, 'failed', 2000, '', '');",
            crate::migrations::checksum(first)
        );
        server.psql(&database.name, &before).expect("made");
        let registry = PostgresRegistry::open(&database.url).await.expect("opened");
        for step in ["twice", "once", "declared"] {
            assert!(registry.get_step(step).await.expect("asked").is_some());
        }
        let session = registry.session().await.expect("a session");
        let sql = "SELECT step_id || ' ' || COALESCE(correlation_id, '-') || ' ' || COALESCE(also, '-') FROM step ORDER BY id";
        let found = session::rows(&session, sql, &[]).await.expect("asked");
        let found: Vec<String> = found.iter().map(|row| row.get(0)).collect();
        let found = found.join("; ").replace(": ", ":").replace(" :", ":");
        assert_eq!(
            found,
            r#"twice c2 {"ids":["c1"]}; once - -; declared c4 {"ids":["c5"]}"#
        );
    }

    #[tokio::test]
    async fn programs_that_start_at_once_make_the_tables_once() {
        let server = match Postgres::shared() {
            Ok(server) => server,
            Err(why) => return skipped("programs_that_start_at_once", &why),
        };
        let database = server.database().expect("a database");
        let opened = (0..8).map(|_| {
            let url = database.url.clone();
            tokio::spawn(async move { PostgresRegistry::open(&url).await.map(|_| ()) })
        });
        for opened in opened.collect::<Vec<_>>() {
            opened.await.expect("no panic").expect("opened");
        }
    }
}
