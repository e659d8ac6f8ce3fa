//! Events, and the Results and Events of a correlation id.

use super::session::{Session, rows, run};
use crate::error::Error;
use crate::model::{StoredEvent, StoredResult};
use crate::queries;
use crate::store::IncomingEvent;

pub(super) async fn record(session: &Session<'_>, events: &[IncomingEvent]) -> Result<(), Error> {
    let identities: Vec<&str> = events.iter().map(|event| &*event.identity).collect();
    let types = events.iter().map(|event| clean(&event.event.r#type));
    let types: Vec<String> = types.collect();
    let ids = events
        .iter()
        .map(|event| clean(&event.event.correlation_id));
    let ids: Vec<String> = ids.collect();
    let recorded_at: Vec<&str> = events
        .iter()
        .map(|event| event.recorded_at.as_str())
        .collect();
    let bodies: Vec<&str> = events.iter().map(|event| &*event.body).collect();
    // Readers follow the Events by their numbers, which must therefore become visible in order: one writer at a time.
    session.begin().await?;
    run(session, "SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    let sql = "INSERT INTO event (identity, type, correlation_id, recorded_at, body)
        SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) ON CONFLICT (identity) DO NOTHING";
    run(
        session,
        sql,
        &[&identities, &types, &ids, &recorded_at, &bodies],
    )
    .await?;
    Ok(())
}

const LOCK: i64 = 0x0070_7564_6174_6f01;

/// PostgreSQL cannot store NULs. In the body they are escaped.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

pub(super) async fn results_of(
    session: &Session<'_>,
    correlation_id: &str,
) -> Result<Vec<StoredResult>, Error> {
    let sql = "SELECT encode(identity, 'hex'), body, recorded_at, standing FROM result WHERE correlation_id = $1
        ORDER BY at_us, id";
    let found = rows(session, sql, &[&clean(correlation_id)]).await?;
    found
        .iter()
        .map(|row| queries::stored_result(row))
        .collect()
}

pub(super) async fn of(
    session: &Session<'_>,
    correlation_id: &str,
) -> Result<Vec<StoredEvent>, Error> {
    let sql = "SELECT id, body, recorded_at FROM event WHERE correlation_id = $1 ORDER BY id";
    let found = rows(session, sql, &[&clean(correlation_id)]).await?;
    found.iter().map(|row| queries::stored_event(row)).collect()
}

pub(super) async fn after(
    session: &Session<'_>,
    cursor: Option<i64>,
    limit: u64,
) -> Result<Vec<StoredEvent>, Error> {
    let sql = match cursor {
        Some(_) => queries::EVENTS_AFTER,
        None => queries::EVENTS_LAST,
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = rows(session, sql, &[&cursor.unwrap_or(0), &limit]).await?;
    found.iter().map(|row| queries::stored_event(row)).collect()
}
