//! Connects to the server directly, or through a pooler that runs each transaction on a different server connection: pgbouncer in
//! `transaction` mode, RDS Proxy.
//!
//! Such a pooler does not preserve sessions. It refuses a session's settings (`options` at its start) or loses them, and a statement that one transaction
//! prepared is missing in the next. So each transaction sends its own settings, and statements have no names.

use super::connect::{SCHEMA, SETTINGS};
use crate::error::{Error, ErrorKind, has_state, pool_error, postgres_error};
use deadpool_postgres::{Object, Pool, PoolError};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

/// The connections of one process. The first connection, or later a missing prepared statement, shows which kind is needed.
pub(super) struct Pools {
    direct: Pool,
    pooled: Pool,
    /// Whether the URL sets `options`, which only a session can have.
    has_options: bool,
    is_pooled: AtomicBool,
}

impl Pools {
    pub(super) fn new(direct: Pool, pooled: Pool, has_options: bool) -> Self {
        Self {
            direct,
            pooled,
            has_options,
            is_pooled: AtomicBool::new(false),
        }
    }

    pub(super) fn resize(&self, connections: usize) {
        self.direct.resize(connections);
        self.pooled.resize(connections);
    }

    /// Whether connections go through a pooler, as far as this process knows.
    pub(super) fn is_pooled(&self) -> bool {
        self.is_pooled.load(Ordering::Relaxed)
    }

    pub(super) async fn get(&self) -> Result<Object, Error> {
        if !self.is_pooled() {
            match self.direct.get().await {
                // Any other problem shows up again without them.
                Err(error) if refuses_options(&error) => {
                    let client = self.pooled().await?;
                    self.set_pooled();
                    return Ok(client);
                }
                got => return got.map_err(pool_error),
            }
        }
        self.pooled().await
    }

    /// Opens the first connection of a process. A server that silently drops a session's settings is a pooler as well.
    pub(super) async fn first(&self) -> Result<Object, Error> {
        let client = self.get().await?;
        if self.is_pooled() || has_settings(&client).await? {
            return Ok(client);
        }
        self.set_pooled();
        self.pooled().await
    }

    async fn pooled(&self) -> Result<Object, Error> {
        if self.has_options {
            let context = "REGISTRY_DATABASE_URL: options: the server is a pooler that gives each transaction a different \
                           session, so it would lose them; set them for the role instead (ALTER ROLE .. SET ..)";
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        self.pooled.get().await.map_err(pool_error)
    }

    /// Learns from an error that there is a pooler: a statement that this session prepared is missing.
    pub(super) fn learn(&self, error: &Error) {
        let is_lost = [
            SqlState::INVALID_SQL_STATEMENT_NAME,
            SqlState::DUPLICATE_PSTATEMENT,
        ];
        if has_state(error, &is_lost) {
            self.set_pooled();
        }
    }

    fn set_pooled(&self) {
        self.is_pooled.store(true, Ordering::Relaxed);
    }
}

/// Checks only the code: pgbouncer reports a protocol violation, RDS Proxy an unsupported feature.
fn refuses_options(error: &PoolError) -> bool {
    let PoolError::Backend(error) = error else {
        return false;
    };
    let refusals = [
        &SqlState::PROTOCOL_VIOLATION,
        &SqlState::FEATURE_NOT_SUPPORTED,
    ];
    error.code().is_some_and(|code| refusals.contains(&code))
}

async fn has_settings(client: &Client) -> Result<bool, Error> {
    let sql = "SELECT current_setting('search_path')";
    let row = client
        .query_typed_one(sql, &[])
        .await
        .map_err(postgres_error)?;
    Ok(row.get::<_, String>(0) == SCHEMA)
}

/// The settings that each transaction behind a pooler starts with.
pub(super) fn local_settings() -> String {
    let local = SETTINGS
        .iter()
        .map(|(name, value)| format!("; SET LOCAL {name} = {value}"));
    local.collect()
}
