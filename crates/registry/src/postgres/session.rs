//! One connection with at most one transaction.

use super::pools::{Pools, local_settings};
use crate::error::{Error, has_state, postgres_error};
use bytes::BytesMut;
use deadpool_postgres::Object;
use futures_util::future::join3;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

/// The advisory lock between transactions that name datasets and those that rename them.
const NAMING: i64 = 0x0070_7564_6174_6f01;

/// A connection of the pool. A session that is dropped within a transaction, after a failure or a cancellation, closes its connection, so
/// that the next user finds nothing of it.
pub(super) struct Session<'a> {
    client: Option<Object>,
    is_open: AtomicBool,
    /// Whether there is a pooler, so that nothing outlives a transaction.
    is_pooled: bool,
    /// Keeps the pool alive as long as the session.
    pools: &'a Pools,
}

impl<'a> Session<'a> {
    pub(super) async fn of(pools: &'a Pools) -> Result<Self, Error> {
        let client = pools.get().await?;
        Ok(Self {
            client: Some(client),
            is_open: AtomicBool::new(false),
            is_pooled: pools.is_pooled(),
            pools,
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
            self.client()
                .batch_execute(&self.beginning(""))
                .await
                .map_err(postgres_error)?;
        }
        Ok(())
    }

    /// Begins a transaction that names datasets. No relocation can run until it ends.
    pub(super) async fn begin_naming(&self) -> Result<(), Error> {
        self.is_open.store(true, Ordering::Relaxed);
        let begin = self.beginning("");
        let sql = format!("{begin}; SELECT pg_advisory_xact_lock_shared({NAMING})");
        self.client()
            .batch_execute(&sql)
            .await
            .map_err(postgres_error)
    }

    /// Begins a transaction that relocates datasets. No other transaction can name datasets until it ends.
    pub(super) async fn begin_alone(&self) -> Result<(), Error> {
        self.is_open.store(true, Ordering::Relaxed);
        let begin = self.beginning("");
        let sql = format!("{begin}; SELECT pg_advisory_xact_lock({NAMING})");
        self.client()
            .batch_execute(&sql)
            .await
            .map_err(postgres_error)
    }

    /// Rolls the transaction back.
    pub(super) async fn undo(&self) -> Result<(), Error> {
        self.client()
            .batch_execute("ROLLBACK")
            .await
            .map_err(postgres_error)?;
        self.is_open.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Begins a transaction in which all queries see the same snapshot.
    pub(super) async fn begin_reading(&self) -> Result<(), Error> {
        self.is_open.store(true, Ordering::Relaxed);
        let sql = self.beginning(" ISOLATION LEVEL REPEATABLE READ READ ONLY");
        self.client()
            .batch_execute(&sql)
            .await
            .map_err(postgres_error)
    }

    fn beginning(&self, how: &str) -> String {
        let settings = match self.is_pooled {
            true => local_settings(),
            false => String::new(),
        };
        format!("BEGIN{how}{settings}")
    }

    /// Behind a pooler: an unnamed statement, in the open transaction or in one of its own. The three messages are sent together.
    async fn pooled<T>(
        &self,
        statement: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Error> {
        if self.is_open.load(Ordering::Relaxed) {
            return statement.await.map_err(postgres_error);
        }
        let beginning = self.beginning("");
        let begun = self.client().batch_execute(&beginning);
        let ended = self.client().batch_execute("COMMIT");
        let (begun, answer, ended) = join3(begun, statement, ended).await;
        begun.map_err(postgres_error)?;
        let answer = answer.map_err(postgres_error)?;
        ended.map_err(postgres_error)?;
        Ok(answer)
    }

    /// Commits the transaction. Its changes are durable afterwards.
    pub(super) async fn commit(self) -> Result<(), Error> {
        self.client()
            .batch_execute("COMMIT")
            .await
            .map_err(postgres_error)?;
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

/// The results of statements that were sent together. After a failed statement the others only report that the transaction is aborted, so
/// this returns the error of the one that failed.
pub(super) fn all<T>(
    outcomes: impl IntoIterator<Item = Result<T, Error>>,
) -> Result<Vec<T>, Error> {
    let mut done = Vec::new();
    let mut failed: Option<Error> = None;
    let is_aftermath = |error: &Error| has_state(error, &[SqlState::IN_FAILED_SQL_TRANSACTION]);
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

/// Runs a query. Without a pooler, the statement is prepared once per connection.
pub(super) async fn rows(
    session: &Session<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let client = session.client();
    if session.is_pooled {
        let params = typed(params);
        return session.pooled(client.query_typed(sql, &params)).await;
    }
    let found = async {
        let statement = client.prepare_cached(sql).await.map_err(postgres_error)?;
        client
            .query(&statement, params)
            .await
            .map_err(postgres_error)
    };
    let found: Result<_, Error> = found.await;
    found.inspect_err(|error| session.pools.learn(error))
}

/// Runs a statement and returns the number of rows that it changed.
pub(super) async fn run(
    session: &Session<'_>,
    sql: &str,
    params: &[&(dyn ToSql + Sync)],
) -> Result<u64, Error> {
    let client = session.client();
    if session.is_pooled {
        let params = typed(params);
        return session.pooled(client.execute_typed(sql, &params)).await;
    }
    let done = async {
        let statement = client.prepare_cached(sql).await.map_err(postgres_error)?;
        client
            .execute(&statement, params)
            .await
            .map_err(postgres_error)
    };
    let done: Result<_, Error> = done.await;
    done.inspect_err(|error| session.pools.learn(error))
}

/// The parameters with the types that the server would infer. Each type used here has exactly one encoding.
fn typed<'a>(params: &[&'a (dyn ToSql + Sync)]) -> Vec<(&'a (dyn ToSql + Sync), Type)> {
    static TYPES: [Type; 14] = [
        Type::TEXT,
        Type::INT8,
        Type::TEXT_ARRAY,
        Type::INT8_ARRAY,
        Type::BYTEA_ARRAY,
        Type::FLOAT8_ARRAY,
        Type::BOOL,
        Type::INT4,
        Type::INT2,
        Type::FLOAT8,
        Type::BYTEA,
        Type::BOOL_ARRAY,
        Type::INT4_ARRAY,
        Type::INT2_ARRAY,
    ];
    let of = |param: &'a (dyn ToSql + Sync)| {
        let can_be = |r#type: &&Type| {
            let mut bytes = BytesMut::new();
            param.to_sql_checked(r#type, &mut bytes).is_ok()
        };
        let found = TYPES.iter().find(can_be);
        // For any other type the server is asked, and reports a mismatch.
        (param, found.unwrap_or(&Type::UNKNOWN).clone())
    };
    params.iter().map(|param| of(*param)).collect()
}
