//! Results that still have to be exported.

use super::relocate::relocations;
use super::session::{Session, rows, run};
use crate::error::Error;
use crate::openlineage::ExportedResult;
use crate::queries;

pub(super) async fn take(
    session: &Session<'_>,
    limit: u64,
    now_ms: u64,
    until_ms: u64,
) -> Result<Vec<ExportedResult>, Error> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let taker = queries::new_id("taker");
    let sql = "UPDATE outbox SET taken_by = $1, taken_until_ms = $2 WHERE result IN
        (SELECT result FROM outbox WHERE taken_until_ms <= $3 ORDER BY result LIMIT $4 FOR UPDATE SKIP LOCKED)";
    let (until_ms, now_ms, limit) = (number(until_ms), number(now_ms), number(limit));
    run(session, sql, &[&taker, &until_ms, &now_ms, &limit]).await?;
    let taken = rows(session, queries::EXPORT_TAKEN, &[&taker]).await?;
    let relocations = relocations(session).await?;
    let exported = taken.iter().map(|row| queries::exported(row, &relocations));
    exported.collect()
}

pub(super) async fn after(
    session: &Session<'_>,
    after: i64,
    limit: u64,
) -> Result<Vec<ExportedResult>, Error> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = rows(session, queries::EXPORT_AFTER, &[&after, &limit]).await?;
    let relocations = relocations(session).await?;
    let exported = found.iter().map(|row| queries::exported(row, &relocations));
    exported.collect()
}

pub(super) async fn mark_exported(session: &Session<'_>, taken: &[i64]) -> Result<(), Error> {
    let sql = "DELETE FROM outbox WHERE result = ANY($1)";
    run(session, sql, &[&taken]).await?;
    Ok(())
}
