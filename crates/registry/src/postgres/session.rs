//! One connection, and at most one transaction on it.

use crate::error::Error;
use deadpool_postgres::{Object, Pool};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

/// A connection of the pool. One that is dropped within a transaction, after a failure or because nobody waits any more, is closed
/// and not used again: the next one finds nothing of it.
pub(super) struct Session<'a> {
    client: Option<Object>,
    is_open: AtomicBool,
    /// Sessions end before their pool.
    _pool: &'a Pool,
}

impl<'a> Session<'a> {
    pub(super) async fn of(pool: &'a Pool) -> Result<Self, Error> {
        Ok(Self {
            client: Some(pool.get().await?),
            is_open: AtomicBool::new(false),
            _pool: pool,
        })
    }

    fn client(&self) -> &Object {
        self.client
            .as_ref()
            .expect("it is there until it is dropped")
    }

    /// Begins a transaction.
    pub(super) async fn begin(&self) -> Result<(), Error> {
        if !self.is_open.swap(true, Ordering::Relaxed) {
            self.client().batch_execute("BEGIN").await?;
        }
        Ok(())
    }

    /// Begins a transaction in which every query sees the same registry.
    pub(super) async fn begin_reading(&self) -> Result<(), Error> {
        self.is_open.store(true, Ordering::Relaxed);
        let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Ok(self.client().batch_execute(sql).await?)
    }

    /// Ends the transaction; what was written is durable then.
    pub(super) async fn commit(self) -> Result<(), Error> {
        self.client().batch_execute("COMMIT").await?;
        self.is_open.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if self.is_open.load(Ordering::Relaxed)
            && let Some(client) = self.client.take()
        {
            drop(Object::take(client));
        }
    }
}

/// What came of statements that were sent at once. Where one fails those after it only hear that the transaction is aborted: the error
/// that says why is the one that is told.
pub(super) fn all<T>(
    outcomes: impl IntoIterator<Item = Result<T, Error>>,
) -> Result<Vec<T>, Error> {
    let mut done = Vec::new();
    let mut failed: Option<Error> = None;
    let is_aftermath =
        |error: &Error| error.sql_state() == Some(&SqlState::IN_FAILED_SQL_TRANSACTION);
    for outcome in outcomes {
        match outcome {
            Ok(answer) => done.push(answer),
            Err(error) if failed.as_ref().is_none_or(is_aftermath) => failed = Some(error),
            Err(_) => {}
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(done),
    }
}

/// Runs a query; its statement is prepared once per connection.
pub(super) async fn rows(
    session: &Session<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let statement = session.client().prepare_cached(sql).await?;
    Ok(session.client().query(&statement, params).await?)
}

/// Runs a statement; answers the rows that it changed.
pub(super) async fn run(
    session: &Session<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, Error> {
    let statement = session.client().prepare_cached(sql).await?;
    Ok(session.client().execute(&statement, params).await?)
}
