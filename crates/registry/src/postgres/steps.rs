//! Writes the steps of a batch.

use super::session::{Session, all, run};
use crate::batch::{Batch, Plan};
use crate::error::Error;
use crate::fold::StepStatus;
use crate::queries;
use pudato_protocol::Timestamp;
use tokio_postgres::types::ToSql;

/// One array for each column of the steps. The columns that describe the deciding Result are null if it stays the same.
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
    stated_at: Vec<Option<&'a str>>,
    identity: Vec<Option<&'a str>>,
    error: Vec<Option<&'a str>>,
    duration_ms: Vec<Option<i64>>,
    handler: Vec<Option<&'a str>>,
    action: Vec<Option<&'a str>>,
    seen_id: Vec<Option<&'a str>>,
    terms_us: Vec<Option<i64>>,
    terms_identity: Vec<Option<&'a str>>,
    correlation_id: Vec<Option<&'a str>>,
    also: Vec<Option<String>>,
}

const COLUMNS: &str = "unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],
    $7::bigint[], $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::text[],
    $16::text[], $17::bigint[], $18::text[], $19::text[], $20::text[])
    AS new (id, step_id, job, started_us, started_at, status, rank, at_us, at, stated_at, identity, error, duration_ms, handler,
    action, seen_id, terms_us, terms_identity, correlation_id, also)";

const INSERT: &str = "INSERT INTO step (id, step_id, job, started_us, started_at, status, rank, at_us, at, stated_at, identity,
    error, duration_ms, seen_handler, seen_action, seen_correlation_id, terms_us, terms_identity, correlation_id, also)
    SELECT id, step_id, job, started_us, started_at, COALESCE(status, 'pending'), COALESCE(rank, -1), COALESCE(at_us, 0), at,
    stated_at, COALESCE(identity, ''), error, duration_ms, handler, action, seen_id, terms_us, terms_identity, correlation_id,
    also FROM ";

const BEGIN: &str = "UPDATE step SET started_us = COALESCE(new.started_us, step.started_us),
    started_at = COALESCE(new.started_at, step.started_at) FROM ";

const DECIDE: &str = "UPDATE step SET status = new.status, rank = new.rank, at_us = new.at_us, at = new.at,
    stated_at = new.stated_at, identity = new.identity, error = new.error, duration_ms = new.duration_ms,
    started_us = COALESCE(new.started_us, step.started_us), started_at = COALESCE(new.started_at, step.started_at) FROM ";

/// Overwrites everything in the row of a rebuilt step.
const REBUILD: &str = "UPDATE step SET status = COALESCE(new.status, 'pending'), rank = COALESCE(new.rank, -1),
    at_us = COALESCE(new.at_us, 0), at = new.at, stated_at = new.stated_at, identity = COALESCE(new.identity, ''),
    error = new.error, duration_ms = new.duration_ms, job = new.job, started_us = new.started_us,
    started_at = new.started_at, seen_handler = new.handler, seen_action = new.action, seen_correlation_id = new.seen_id,
    terms_us = new.terms_us, terms_identity = new.terms_identity, correlation_id = new.correlation_id,
    also = new.also FROM ";

impl<'a> Rows<'a> {
    fn push(&mut self, id: i64, n: usize, batch: &'a Batch<'a>, plan: &'a Plan<'a>, jobs: &[i64]) {
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
        self.at.push(decided.map(|statement| &*statement.at));
        self.stated_at
            .push(decided.and_then(|statement| statement.stated_at));
        let record = decided.and_then(|statement| statement.record);
        self.identity.push(record.map(|record| record.identity));
        self.error
            .push(decided.and_then(|statement| statement.error.as_deref()));
        self.duration_ms
            .push(decided.and_then(|statement| statement.duration_ms));
        let expectation = &step.expectation;
        self.handler.push(expectation.handler);
        self.action.push(expectation.action);
        self.seen_id.push(expectation.ids.first().copied());
        self.terms_us.push(expectation.since.map(|(us, _)| us));
        self.terms_identity
            .push(expectation.since.map(|(_, identity)| identity));
        self.correlation_id.push(step.ids.first().copied());
        self.also.push(queries::also(step));
    }

    async fn write(&self, session: &Session<'_>, sql: &str, end: &str) -> Result<u64, Error> {
        if self.id.is_empty() {
            return Ok(0);
        }
        let params: [&(dyn ToSql + Sync); 20] = [
            &self.id,
            &self.step_id,
            &self.job,
            &self.started_us,
            &self.started_at,
            &self.status,
            &self.rank,
            &self.at_us,
            &self.at,
            &self.stated_at,
            &self.identity,
            &self.error,
            &self.duration_ms,
            &self.handler,
            &self.action,
            &self.seen_id,
            &self.terms_us,
            &self.terms_identity,
            &self.correlation_id,
            &self.also,
        ];
        run(session, &format!("{sql}{COLUMNS}{end}"), &params).await
    }
}

/// Removes the lineage of rebuilt steps.
pub(super) async fn forget(session: &Session<'_>, plan: &Plan<'_>) -> Result<(), Error> {
    let rebuilt = plan.steps.iter().filter(|step| step.is_rebuilt);
    let ids: Vec<i64> = rebuilt.filter_map(|step| step.known).collect();
    if ids.is_empty() {
        return Ok(());
    }
    run(session, "DELETE FROM edge WHERE step = ANY($1)", &[&ids]).await?;
    run(session, "DELETE FROM pair WHERE step = ANY($1)", &[&ids]).await?;
    Ok(())
}

/// Writes the steps. `ids` are the rows of the plan's steps.
pub(super) async fn write(
    session: &Session<'_>,
    batch: &Batch<'_>,
    plan: &Plan<'_>,
    jobs: &[i64],
    ids: &[i64],
) -> Result<(), Error> {
    let (mut new, mut decided, mut others) = (Rows::default(), Rows::default(), Rows::default());
    let mut rebuilt = Rows::default();
    let mut moved = (Vec::new(), Vec::new());
    for (n, step) in plan.steps.iter().enumerate() {
        let rows = match (step.known, step.decided_by) {
            (None, _) => &mut new,
            _ if step.is_rebuilt => &mut rebuilt,
            (_, Some(_)) => &mut decided,
            _ if step.started_us.is_none() => continue,
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
    let (new, decided, rebuilt, others, reads_moved) = tokio::join!(
        new.write(session, INSERT, ""),
        decided.write(session, DECIDE, end),
        rebuilt.write(session, REBUILD, end),
        others.write(session, BEGIN, end),
        reads_moved
    );
    all([new, decided, rebuilt, others, reads_moved]).map(|_| ())
}
