//! Writes the jobs of a batch.

use super::session::{Session, all, rows, run};
use crate::batch::Plan;
use crate::error::Error;
use crate::queries;
use pudato_protocol::Timestamp;
use tokio_postgres::types::ToSql;

/// One array for each column of the new jobs.
#[derive(Default)]
struct Rows<'a> {
    id: Vec<i64>,
    job_id: Vec<&'a str>,
    created_at: Vec<String>,
    created_us: Vec<i64>,
    begun: Vec<i64>,
    ended: Vec<i64>,
    failed: Vec<i64>,
    ended_us: Vec<Option<i64>>,
    ended_at: Vec<Option<String>>,
    declared_steps: Vec<i64>,
    declared_begun: Vec<i64>,
    declared_ended: Vec<i64>,
    declared_failed: Vec<i64>,
}

const COLUMNS: &str = "unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::bigint[], $9::text[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[])";

const INSERT: &str = "INSERT INTO job (id, job_id, created_at, created_us, steps_begun, steps_ended, steps_failed, ended_us,
    ended_at, declared_steps, declared_begun, declared_ended, declared_failed) SELECT * FROM ";

/// Until it is created explicitly, a job is as old as its earliest Result.
const UPDATE: &str = "UPDATE job SET
    created_at = CASE WHEN declared = 0 AND new.created_us < job.created_us THEN new.created_at ELSE job.created_at END,
    created_us = CASE WHEN declared = 0 AND new.created_us < job.created_us THEN new.created_us ELSE job.created_us END,
    steps_begun = steps_begun + new.begun, steps_ended = steps_ended + new.ended,
    steps_failed = steps_failed + new.failed,
    ended_at = CASE WHEN new.ended_us > COALESCE(job.ended_us, new.ended_us - 1) THEN new.ended_at ELSE job.ended_at END,
    ended_us = GREATEST(job.ended_us, new.ended_us), declared_steps = job.declared_steps + new.declared_steps,
    declared_begun = job.declared_begun + new.declared_begun, declared_ended = job.declared_ended + new.declared_ended,
    declared_failed = job.declared_failed + new.declared_failed FROM ";

const NAMED: &str = " AS new (id, job_id, created_at, created_us, begun, ended, failed, ended_us, ended_at, declared_steps,
    declared_begun, declared_ended, declared_failed) WHERE job.id = new.id";

impl Rows<'_> {
    async fn write(&self, session: &Session<'_>, sql: &str) -> Result<u64, Error> {
        if self.id.is_empty() {
            return Ok(0);
        }
        let params: [&(dyn ToSql + Sync); 13] = [
            &self.id,
            &self.job_id,
            &self.created_at,
            &self.created_us,
            &self.begun,
            &self.ended,
            &self.failed,
            &self.ended_us,
            &self.ended_at,
            &self.declared_steps,
            &self.declared_begun,
            &self.declared_ended,
            &self.declared_failed,
        ];
        run(session, sql, &params).await
    }
}

/// Writes the jobs. `ids` are the rows of the plan's jobs.
pub(super) async fn write(
    session: &Session<'_>,
    plan: &Plan<'_>,
    ids: &[i64],
) -> Result<(), Error> {
    // One instant can be written in several ways. The stored text must not depend on the order of arrival.
    let text = |us: i64| Timestamp::from_unix_us(us).as_str().to_owned();
    let (mut new, mut known) = (Rows::default(), Rows::default());
    for (id, job) in ids.iter().zip(&plan.jobs) {
        let rows = match job.known {
            None => &mut new,
            Some(_) if job.changes() => &mut known,
            Some(_) => continue,
        };
        rows.id.push(*id);
        rows.job_id.push(job.job_id);
        rows.created_at.push(text(job.created_us));
        rows.created_us.push(job.created_us);
        rows.begun.push(job.begun);
        rows.ended.push(job.ended);
        rows.failed.push(job.failed);
        rows.ended_us.push(job.ended_us);
        rows.ended_at.push(job.ended_us.map(text));
        rows.declared_steps.push(job.declared.steps);
        rows.declared_begun.push(job.declared.begun);
        rows.declared_ended.push(job.declared.ended);
        rows.declared_failed.push(job.declared.failed);
    }
    let insert = format!("{INSERT}{COLUMNS}");
    let update = format!("{UPDATE}{COLUMNS}{NAMED}");
    let (new, known) = tokio::join!(new.write(session, &insert), known.write(session, &update));
    all([new, known]).map(|_| ())
}

/// Updates the end of jobs whose steps were rebuilt.
pub(super) async fn ended(
    session: &Session<'_>,
    plan: &Plan<'_>,
    ids: &[i64],
) -> Result<(), Error> {
    for (id, _) in ids.iter().zip(&plan.jobs).filter(|(_, job)| job.is_rebuilt) {
        let last = rows(session, queries::LAST_ENDED, &[id]).await?;
        let last_us: Option<i64> = last.first().and_then(|row| row.get(0));
        let last_at = last_us.map(|us| Timestamp::from_unix_us(us).as_str().to_owned());
        run(session, queries::JOB_ENDED, &[&last_us, &last_at, id]).await?;
    }
    Ok(())
}
