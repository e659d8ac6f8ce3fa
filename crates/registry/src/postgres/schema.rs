//! Creates and migrates the tables.

use super::connect::SCHEMA;
use super::pools::local_settings;
use crate::error::{Error, ErrorKind, postgres_error};
use crate::migrations::{self, Migration};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

const MIGRATIONS: &[&str] = &[
    include_str!("0001.sql"),
    include_str!("0002.sql"),
    include_str!("0003.sql"),
    include_str!("0004.sql"),
    include_str!("0005.sql"),
    include_str!("0006.sql"),
    include_str!("0007.sql"),
];

/// The advisory lock that makes programs which start at once migrate one after the other.
const LOCK: i64 = 0x0070_7564_6174_6f00;

/// Migrates the tables, in one transaction. If they are current, nothing is written, so a role that may not create tables can run
/// everything else.
///
/// # Errors
/// `Invalid`: the tables belong to a newer pudato, or a migration was changed; or a migration is missing and the role may not apply it.
pub(super) async fn migrate(client: &mut Client) -> Result<(), Error> {
    if migrations::missing(MIGRATIONS, &applied(client).await?)?.is_empty() {
        return Ok(());
    }
    let transaction = client.transaction().await.map_err(postgres_error)?;
    // A session behind a pooler has no settings and may see another session's statement names, so this uses neither.
    transaction
        .batch_execute(local_settings().trim_start_matches("; "))
        .await
        .map_err(postgres_error)?;
    transaction
        .query_typed("SELECT pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)])
        .await
        .map_err(postgres_error)?;
    transaction
        .batch_execute(&format!(
            "CREATE SCHEMA IF NOT EXISTS {SCHEMA};
             CREATE TABLE IF NOT EXISTS {SCHEMA}.migration (version BIGINT PRIMARY KEY, checksum TEXT NOT NULL,
                 applied_at TIMESTAMPTZ NOT NULL DEFAULT now());"
        ))
        .await
        .map_err(not_allowed)?;
    // Read again behind the lock, because another program may have migrated while this one waited.
    let applied = rows(
        &transaction
            .query_typed(
                "SELECT version, checksum FROM migration ORDER BY version",
                &[],
            )
            .await
            .map_err(postgres_error)?,
    );
    for (version, sql) in migrations::missing(MIGRATIONS, &applied)? {
        transaction.batch_execute(sql).await.map_err(not_allowed)?;
        transaction
            .execute_typed(
                "INSERT INTO migration (version, checksum) VALUES ($1, $2)",
                &[
                    (&version, Type::INT8),
                    (&migrations::checksum(sql), Type::TEXT),
                ],
            )
            .await
            .map_err(postgres_error)?;
    }
    transaction.commit().await.map_err(postgres_error)
}

async fn applied(client: &Client) -> Result<Vec<Migration>, Error> {
    let sql = "SELECT to_regclass($1) IS NOT NULL";
    let table = format!("{SCHEMA}.migration");
    let is_there: bool = client
        .query_typed_one(sql, &[(&table, Type::TEXT)])
        .await
        .map_err(postgres_error)?
        .get(0);
    if !is_there {
        return Ok(Vec::new());
    }
    let sql = format!("SELECT version, checksum FROM {SCHEMA}.migration ORDER BY version");
    Ok(rows(
        &client
            .query_typed(&sql, &[])
            .await
            .map_err(postgres_error)?,
    ))
}

fn rows(rows: &[tokio_postgres::Row]) -> Vec<Migration> {
    let row = |row: &tokio_postgres::Row| Migration {
        version: row.get(0),
        checksum: row.get(1),
    };
    rows.iter().map(row).collect()
}

fn not_allowed(error: tokio_postgres::Error) -> Error {
    if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) {
        let context = "registry: the tables must be made or brought up to date, and this role may not; run \
                       `pudato registry migrate --grant ROLE` with the URL of one that may";
        let mut refused = postgres_error(error).with_kind(ErrorKind::Invalid);
        refused.context = context.into();
        return refused;
    }
    postgres_error(error)
}
