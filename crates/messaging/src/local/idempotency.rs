//! Idempotency records. They are in the same file as the queues, so that an answer and its message are settled in one transaction.

use super::queue::milliseconds;
use super::schema::database_error;
use super::send::run;
use super::writer::Transaction;
use crate::{BeginOutcome, Error, IdempotencyRecord, Key, RunningRequest};
use rusqlite::{OptionalExtension, params};
use std::time::Duration;

struct Row {
    fingerprint: String,
    owner: String,
    busy_until_ms: i64,
    answer: Option<String>,
}

pub(super) fn begin(
    transaction: &Transaction<'_>,
    key: &Key,
    fingerprint: &str,
    owner: &str,
    lease: Duration,
    now_ms: i64,
) -> Result<BeginOutcome, Error> {
    let found = transaction
        .connection
        .prepare_cached(
            "SELECT fingerprint, owner, busy_until_ms, answer FROM idempotency WHERE service = ? AND key = ?",
        )
        .and_then(|mut statement| {
            let row = statement.query_row(params![key.service, key.key], |row| {
                Ok(Row {
                    fingerprint: row.get(0)?,
                    owner: row.get(1)?,
                    busy_until_ms: row.get(2)?,
                    answer: row.get(3)?,
                })
            });
            row.optional()
        })
        .map_err(|error| database_error("idempotency", error))?;
    match found {
        Some(row) if row.fingerprint != fingerprint => return Ok(BeginOutcome::Mismatch),
        Some(Row {
            answer: Some(answer),
            ..
        }) => return Ok(BeginOutcome::Done { answer }),
        Some(row) if row.owner != owner && row.busy_until_ms > now_ms => {
            let until_ms = u64::try_from(row.busy_until_ms).unwrap_or(0);
            return Ok(BeginOutcome::Busy { until_ms });
        }
        _ => {}
    }
    run(
        transaction,
        "INSERT INTO idempotency (service, key, fingerprint, owner, busy_until_ms) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET owner = excluded.owner, busy_until_ms = excluded.busy_until_ms",
        params![
            key.service,
            key.key,
            fingerprint,
            owner,
            now_ms.saturating_add(milliseconds(lease))
        ],
    )?;
    Ok(BeginOutcome::New)
}

/// Renews a running request, and returns whether it still belongs to its owner.
pub(super) fn renew(
    transaction: &Transaction<'_>,
    running: &RunningRequest,
    lease: Duration,
    now_ms: i64,
) -> Result<bool, Error> {
    let RunningRequest {
        key,
        fingerprint,
        owner,
    } = running;
    let begun = begin(transaction, key, fingerprint, owner, lease, now_ms)?;
    Ok(begun == BeginOutcome::New)
}

/// Stores an answer, and returns whether the request belongs to the owner.
pub(super) fn finish(
    transaction: &Transaction<'_>,
    answered: &IdempotencyRecord,
    now_ms: i64,
) -> Result<bool, Error> {
    if let Some(fingerprint) = &answered.fingerprint {
        let IdempotencyRecord { key, owner, .. } = answered;
        begin(transaction, key, fingerprint, owner, Duration::ZERO, now_ms)?;
    }
    let changed = run(
        transaction,
        "UPDATE idempotency SET answer = COALESCE(answer, ?) WHERE service = ? AND key = ? AND owner = ?",
        params![
            answered.answer,
            answered.key.service,
            answered.key.key,
            answered.owner
        ],
    )?;
    Ok(changed > 0)
}

pub(super) fn abandon(transaction: &Transaction<'_>, key: &Key, owner: &str) -> Result<(), Error> {
    run(
        transaction,
        "DELETE FROM idempotency WHERE service = ? AND key = ? AND owner = ? AND answer IS NULL",
        params![key.service, key.key, owner],
    )?;
    Ok(())
}

/// Answers how many. A request is answered while its lease runs, so what is left of its lease is the last time that somebody had it.
pub(super) fn forget(transaction: &Transaction<'_>, before_ms: i64) -> Result<u64, Error> {
    let sql = "DELETE FROM idempotency WHERE busy_until_ms < ?";
    Ok(run(transaction, sql, [before_ms])? as u64)
}
