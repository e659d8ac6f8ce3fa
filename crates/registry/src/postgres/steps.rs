//! Writes the steps of a batch.

use super::session::{Session, run};
use crate::batch::{Batch, Plan};
use crate::error::Error;
use crate::fold::StepStatus;
use pudato_protocol::Timestamp;
use tokio_postgres::types::ToSql;

/// Columns of steps. What decides their state is null where nothing does.
#[derive(Default)]
struct Rows<'a> {
    id: Vec<i64>,
    step_id: Vec<&'a str>,
    job: Vec<Option<i64>>,
    started_us: Vec<Option<i64>>,
    started_at: Vec<Option<String>>,
    status: Vec<Option<&'a str>>,
    rank: Vec<Option<i64>>,
    at_us: Vec<Option<i64>>,
    at: Vec<Option<&'a str>>,
    identity: Vec<Option<&'a str>>,
    error: Vec<Option<&'a str>>,
    duration_ms: Vec<Option<i64>>,
    handler: Vec<Option<&'a str>>,
    action: Vec<Option<&'a str>>,
    correlation_id: Vec<Option<&'a str>>,
}

const COLUMNS: &str = "unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::text[], $14::text[], $15::text[])
    AS new (id, step_id, job, started_us, started_at, status, rank, at_us, at, identity, error, duration_ms, handler,
    action, correlation_id)";

const INSERT: &str = "INSERT INTO step (id, step_id, job, started_us, started_at, status, rank, at_us, at, identity,
    error, duration_ms, seen_handler, seen_action, seen_correlation_id)
    SELECT id, step_id, job, started_us, started_at, COALESCE(status, 'pending'), COALESCE(rank, -1), COALESCE(at_us, 0), at,
    COALESCE(identity, ''), error, duration_ms, handler, action, correlation_id FROM ";

const BELONG: &str = "UPDATE step SET job = COALESCE(new.job, step.job), started_us = COALESCE(new.started_us, step.started_us),
    started_at = COALESCE(new.started_at, step.started_at) FROM ";

const DECIDE: &str = "UPDATE step SET status = new.status, rank = new.rank, at_us = new.at_us, at = new.at,
    identity = new.identity, error = new.error, duration_ms = new.duration_ms, seen_handler = new.handler,
    seen_action = new.action, seen_correlation_id = new.correlation_id,
    job = COALESCE(new.job, step.job), started_us = COALESCE(new.started_us, step.started_us),
    started_at = COALESCE(new.started_at, step.started_at) FROM ";

impl<'a> Rows<'a> {
    fn push(&mut self, id: i64, n: usize, batch: &'a Batch<'a>, plan: &Plan<'a>, jobs: &[i64]) {
        let step = &plan.steps[n];
        let decided = step.decided_by.map(|n| &batch.statements[n]);
        let status = decided.and_then(|statement| statement.status);
        let text = |us: i64| Timestamp::from_unix_us(us).as_str().to_owned();
        self.id.push(id);
        self.step_id.push(step.step_id);
        self.job.push(step.job.map(|job| jobs[job]));
        self.started_us.push(step.started_us);
        self.started_at.push(step.started_us.map(text));
        self.status.push(status.map(StepStatus::as_str));
        self.rank
            .push(status.map(|status| i64::from(status.rank())));
        self.at_us.push(decided.map(|statement| statement.at_us));
        self.at.push(decided.map(|statement| statement.at.as_str()));
        let said = decided.and_then(|statement| statement.said);
        self.identity.push(said.map(|said| said.identity));
        self.error
            .push(decided.and_then(|statement| statement.error.as_deref()));
        self.duration_ms
            .push(decided.and_then(|statement| statement.duration_ms));
        self.handler
            .push(decided.and_then(|statement| statement.handler.as_deref()));
        self.action
            .push(decided.and_then(|statement| statement.action.as_deref()));
        self.correlation_id
            .push(decided.and_then(|statement| statement.correlation_id));
    }

    async fn write(&self, session: &Session<'_>, sql: &str, end: &str) -> Result<u64, Error> {
        if self.id.is_empty() {
            return Ok(0);
        }
        let params: [&(dyn ToSql + Sync); 15] = [
            &self.id,
            &self.step_id,
            &self.job,
            &self.started_us,
            &self.started_at,
            &self.status,
            &self.rank,
            &self.at_us,
            &self.at,
            &self.identity,
            &self.error,
            &self.duration_ms,
            &self.handler,
            &self.action,
            &self.correlation_id,
        ];
        run(session, &format!("{sql}{COLUMNS}{end}"), &params).await
    }
}

/// `ids` are the rows of the plan's steps.
pub(super) async fn write(
    session: &Session<'_>,
    batch: &Batch<'_>,
    plan: &Plan<'_>,
    jobs: &[i64],
    ids: &[i64],
) -> Result<(), Error> {
    let (mut new, mut decided, mut others) = (Rows::default(), Rows::default(), Rows::default());
    let mut moved = (Vec::new(), Vec::new());
    for (n, step) in plan.steps.iter().enumerate() {
        let rows = match (step.known, step.decided_by) {
            (None, _) => &mut new,
            (_, Some(_)) => &mut decided,
            _ if step.job.is_none() && step.started_us.is_none() => continue,
            _ => &mut others,
        };
        rows.push(ids[n], n, batch, plan, jobs);
        if let Some(started_us) = step.started_us.filter(|_| step.has_moved) {
            moved.0.push(ids[n]);
            moved.1.push(started_us);
        }
    }
    let end = " WHERE step.id = new.id";
    let reads_moved = async {
        if moved.0.is_empty() {
            return Ok(0);
        }
        let sql = "UPDATE edge SET seen_us = new.us FROM unnest($1::bigint[], $2::bigint[]) AS new (id, us)
            WHERE edge.step = new.id AND edge.kind = 0";
        run(session, sql, &[&moved.0, &moved.1]).await
    };
    tokio::try_join!(
        new.write(session, INSERT, ""),
        decided.write(session, DECIDE, end),
        others.write(session, BELONG, end),
        reads_moved
    )?;
    Ok(())
}
