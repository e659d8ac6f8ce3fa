//! Removes old data.

use super::session::{Session, rows, run};
use crate::error::Error;
use crate::model::{Prune, Pruned};
use crate::{micros, queries};
use pudato_protocol::Timestamp;

pub(super) async fn prune(session: &Session<'_>, prune: &Prune) -> Result<Pruned, Error> {
    session.begin().await?;
    let (at_us, id) = prune.after.unwrap_or((i64::MIN, 0));
    let limit = i64::try_from(prune.limit).unwrap_or(i64::MAX);
    let before_us = micros(&prune.before);
    let page = rows(
        session,
        queries::PRUNE_PAGE,
        &[&at_us, &id, &before_us, &limit],
    )
    .await?;
    let gone = page.iter().filter(|row| row.get::<_, i64>(3) == 1);
    let (results, steps): (Vec<i64>, Vec<Option<i64>>) = gone
        .map(|row| (row.get::<_, i64>(0), row.get::<_, Option<i64>>(1)))
        .unzip();
    let steps: Vec<i64> = steps.into_iter().flatten().collect();
    let sql = "DELETE FROM edge WHERE step = ANY($1) AND result = ANY($2)";
    let edges = run(session, sql, &[&steps, &results]).await?;
    let sql = "DELETE FROM pair WHERE step = ANY($1) AND result = ANY($2)";
    run(session, sql, &[&steps, &results]).await?;
    let sql = "DELETE FROM result WHERE id = ANY($1)";
    let removed = run(session, sql, &[&results]).await?;
    // A writer of Results locks the row of their step. Once this transaction holds the lock, the remaining Results of the step are known.
    let sql = "SELECT id FROM step WHERE id = ANY($1) ORDER BY step_id FOR UPDATE";
    rows(session, sql, &[&steps]).await?;
    let sql = "DELETE FROM step WHERE id = ANY($1) AND NOT EXISTS (SELECT 1 FROM result WHERE step = step.id) RETURNING job";
    let left = rows(session, sql, &[&steps]).await?;
    let jobs: Vec<i64> = left.iter().filter_map(|row| row.get(0)).collect();
    let sql = "SELECT id FROM job WHERE id = ANY($1) ORDER BY job_id FOR UPDATE";
    rows(session, sql, &[&jobs]).await?;
    let sql =
        "DELETE FROM job WHERE id = ANY($1) AND NOT EXISTS (SELECT 1 FROM step WHERE job = job.id)";
    let jobs = run(session, sql, &[&jobs]).await?;
    Ok(Pruned {
        results: removed,
        edges,
        steps: left.len() as u64,
        jobs,
        next: page.last().map(|row| (row.get(2), row.get(0))),
    })
}

pub(super) async fn events(
    session: &Session<'_>,
    before: &Timestamp,
    limit: u64,
    dry_run: bool,
) -> Result<u64, Error> {
    let before = Timestamp::from_unix_us(micros(before));
    if dry_run {
        let sql = "SELECT COUNT(*) FROM event WHERE recorded_at < $1";
        let counted = rows(session, sql, &[&before.as_str()]).await?;
        let count: i64 = counted.first().map_or(0, |row| row.get(0));
        return Ok(u64::try_from(count).unwrap_or(0));
    }
    // The oldest Events have the smallest numbers.
    let sql = "DELETE FROM event WHERE id IN (SELECT id FROM event ORDER BY id LIMIT $1) AND recorded_at < $2";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    run(session, sql, &[&limit, &before.as_str()]).await
}
