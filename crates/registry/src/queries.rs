//! SQL that all stores share, and the code that reads its rows. Parameters first appear in the order of their numbers, because SQLite
//! counts them in order of appearance.

use crate::batch::{KnownStep, StepChange, Verdict};
use crate::error::Error;
use crate::fold::{Precedence, StepStatus};
use crate::model::{Job, JobStatus, Mismatch, Mismatches, Node, Step, StoredEvent, StoredResult};
use crate::openlineage::ExportedResult;
use crate::relocate::Relocations;
use pudato_protocol::{DataReference, ExecutionRecord, Object};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads the columns of a row by number.
pub(crate) trait Columns {
    fn text(&self, column: usize) -> Result<String, Error> {
        Ok(self.optional_text(column)?.unwrap_or_default())
    }
    fn number(&self, column: usize) -> Result<i64, Error> {
        Ok(self.optional_number(column)?.unwrap_or_default())
    }
    fn optional_text(&self, column: usize) -> Result<Option<String>, Error>;
    fn optional_number(&self, column: usize) -> Result<Option<i64>, Error>;
}

/// Whether a job has declared as many steps as it expects, as `pudato run` does. A step can then no longer join the job by naming it.
macro_rules! is_complete {
    () => {
        "(expected_steps > 0 AND declared_steps >= expected_steps)"
    };
}
pub(crate) use is_complete;

/// Whether a step belongs to the job that it names, in a join of both.
macro_rules! is_of_job {
    () => {
        concat!("(step.declared = 1 OR ", is_complete!(), " IS NOT TRUE)")
    };
}
pub(crate) use is_of_job;

/// The status that `update_job` set; otherwise it follows from the expected number of steps, or from whether any step began. Undeclared
/// steps do not count in a job that has declared all of its steps.
macro_rules! job_status {
    () => {
        concat!(
            "COALESCE(said, CASE WHEN ",
            is_complete!(),
            " THEN CASE
        WHEN declared_ended >= expected_steps AND declared_failed > 0 THEN 'failed'
        WHEN declared_ended >= expected_steps THEN 'success'
        WHEN declared_begun > 0 THEN 'running' ELSE 'pending' END
    WHEN expected_steps IS NOT NULL AND steps_ended >= expected_steps AND steps_failed > 0 THEN 'failed'
    WHEN expected_steps IS NOT NULL AND steps_ended >= expected_steps THEN 'success'
    WHEN steps_begun > 0 THEN 'running' ELSE 'pending' END)"
        )
    };
}

macro_rules! select_job {
    () => {
        concat!(
            "SELECT job_id, pipeline, environment, namespace, logic_version, expected_steps, request, parameters,
    dag_run_id, error, created_at, metadata, said, said_at, ended_at, ",
            job_status!(),
            ", CASE WHEN ",
            is_complete!(),
            " THEN (SELECT COUNT(*) FROM step WHERE step.job = job.id AND step.declared = 0) ELSE 0 END FROM job "
        )
    };
}

pub(crate) const JOB: &str = concat!(select_job!(), "WHERE job_id = $1");

pub(crate) const JOBS: &str = concat!(
    select_job!(),
    "WHERE (CAST($1 AS TEXT) IS NULL OR pipeline = $1) AND (CAST($2 AS TEXT) IS NULL OR environment = $2)
     AND (CAST($3 AS TEXT) IS NULL OR namespace = $3) AND (CAST($4 AS TEXT) IS NULL OR ",
    job_status!(),
    " = $4) AND (CAST($5 AS TEXT) IS NULL OR dag_run_id = $5) AND (CAST($6 AS TEXT) IS NULL OR logic_version = $6)
     AND (CAST($7 AS BIGINT) IS NULL OR created_us > $7) AND (CAST($8 AS BIGINT) IS NULL OR created_us < $8)
     ORDER BY created_us DESC, id DESC LIMIT $9 OFFSET $10"
);

pub(crate) const MAKE_JOB: &str =
    "INSERT INTO job (job_id, created_at, created_us) VALUES ($1, $2, $3)
    ON CONFLICT (job_id) DO NOTHING";

pub(crate) const DECLARE_JOB: &str =
    "UPDATE job SET declared = 1, pipeline = $1, environment = $2, namespace = $3,
    logic_version = COALESCE(logic_version, $4), request = $5, parameters = $6, dag_run_id = $7,
    metadata = $8, expected_steps = COALESCE(expected_steps, $9), created_at = $10, created_us = $11
    WHERE job_id = $12 AND declared = 0";

pub(crate) const UPDATE_JOB: &str =
    "UPDATE job SET said = COALESCE($1, said), said_at = CASE WHEN CAST($1 AS TEXT) IS NULL THEN said_at ELSE $2 END,
    logic_version = COALESCE($3, logic_version), expected_steps = COALESCE($4, expected_steps),
    error = COALESCE($5, error), metadata = $6 WHERE job_id = $7";

pub(crate) fn job(row: &dyn Columns) -> Result<Job, Error> {
    let status = row.text(15)?;
    let status = JobStatus::parse(&status).unwrap_or(JobStatus::Running);
    let is_said = row.optional_text(12)?.is_some();
    let ended_at = row.optional_text(if is_said { 13 } else { 14 })?;
    let is_over = !matches!(status, JobStatus::Pending | JobStatus::Running);
    Ok(Job {
        job_id: row.text(0)?,
        pipeline: row.optional_text(1)?,
        environment: row.optional_text(2)?,
        namespace: row.optional_text(3)?,
        logic_version: row.optional_text(4)?,
        expected_steps: row.optional_number(5)?.and_then(|n| u64::try_from(n).ok()),
        request: value(&row.text(6)?),
        parameters: value(&row.text(7)?),
        dag_run_id: row.optional_text(8)?,
        error: row.optional_text(9)?,
        created_at: row.text(10)?,
        metadata: value(&row.text(11)?),
        completed_at: ended_at.filter(|_| is_over),
        undeclared_steps: u64::try_from(row.number(16)?).unwrap_or(0),
        status,
    })
}

/// When the last step of a job ended.
pub(crate) const LAST_ENDED: &str = "SELECT MAX(at_us) FROM step WHERE job = $1 AND rank = 2";

pub(crate) const JOB_ENDED: &str = "UPDATE job SET ended_us = $1, ended_at = $2 WHERE id = $3";

macro_rules! select_step {
    () => {
        concat!(
            "SELECT step.id, step_id, job.job_id, COALESCE(step_name, step.action, seen_action),
    COALESCE(handler_type, seen_handler), COALESCE(step.action, seen_action),
    COALESCE(step.correlation_id, seen_correlation_id), status, step.error, duration_ms, started_at,
    CASE WHEN rank = 2 THEN at END, step.metadata, CASE WHEN rank = 2 THEN stated_at END
    FROM step LEFT JOIN job ON job.id = step.job AND ",
            is_of_job!(),
            " "
        )
    };
}

pub(crate) const STEP: &str = concat!(select_step!(), "WHERE step_id = $1");

pub(crate) const STEPS_OF_JOB: &str = concat!(
    select_step!(),
    "WHERE step.job = (SELECT id FROM job WHERE job_id = $1) AND job.id IS NOT NULL ORDER BY step.id"
);

pub(crate) const DECLARE_STEP: &str =
    "UPDATE step SET declared = 1, step_name = $1, handler_type = $2, action = $3, metadata = $4
    WHERE step_id = $5 AND declared = 0";

macro_rules! select_known_step {
    () => {
        "SELECT id, step_id, job, status, rank, at_us, identity, started_us, declared, COALESCE(handler_type, seen_handler),
    COALESCE(action, seen_action), correlation_id, also, seen_correlation_id, terms_us, terms_identity FROM step
    WHERE step_id "
    };
}

/// The columns of a step that a batch needs before it writes.
pub(crate) const KNOWN_STEP: &str = concat!(select_known_step!(), "= $1");

/// As [`KNOWN_STEP`], for many steps. The rows are locked in a fixed order, so that two transactions cannot deadlock.
#[cfg(feature = "postgres")]
pub(crate) const KNOWN_STEPS: &str = concat!(
    select_known_step!(),
    "= ANY($1) ORDER BY step_id FOR NO KEY UPDATE"
);

/// Reads a step and its id.
pub(crate) fn known_step(row: &dyn Columns) -> Result<(String, KnownStep), Error> {
    let status = StepStatus::parse(&row.text(3)?).unwrap_or(StepStatus::Pending);
    let has_precedence = row.number(4)? >= 0;
    let precedence = Precedence::new(status, row.number(5)?, &row.text(6)?);
    let mut ids: Vec<String> = row.optional_text(11)?.into_iter().collect();
    let also = row.optional_text(12)?.map(|also| value(&also));
    let also = |name| {
        let items = also.as_ref().and_then(|also| also.get(name)).cloned();
        items.unwrap_or(Value::Array(Vec::new()))
    };
    let more: Vec<String> = serde_json::from_value(also("ids")).unwrap_or_default();
    ids.extend(more);
    let step = KnownStep {
        id: row.number(0)?,
        job: row.optional_number(2)?,
        status,
        precedence: has_precedence.then_some(precedence),
        started_us: row.optional_number(7)?,
        is_declared: row.number(8)? != 0,
        handler: row.optional_text(9)?,
        action: row.optional_text(10)?,
        ids,
        also: serde_json::from_value(also("work")).unwrap_or_default(),
        seen_id: row.optional_text(13)?,
        since: row.optional_number(14)?.zip(row.optional_text(15)?),
    };
    Ok((row.text(1)?, step))
}

/// The further correlation ids, services and actions that were declared, as JSON.
pub(crate) fn also(step: &StepChange<'_>) -> Option<String> {
    let (ids, work) = (
        step.ids.get(1..).unwrap_or_default(),
        &step.expectation.also,
    );
    let is_any = !ids.is_empty() || !work.is_empty();
    is_any.then(|| serde_json::json!({"ids": ids, "work": work}).to_string())
}

/// The lineage of the Results of a step, the earliest first.
pub(crate) const RESULTS_OF_STEP: &str = "SELECT step, COALESCE(lineage, body), id FROM result
    WHERE step = (SELECT id FROM step WHERE step_id = $1) AND standing < 2 ORDER BY at_us, identity";

/// As [`RESULTS_OF_STEP`], for all steps of a job.
pub(crate) const RESULTS_OF_JOB: &str = "SELECT step, COALESCE(lineage, body), id FROM result
    WHERE step IN (SELECT id FROM step WHERE job = (SELECT id FROM job WHERE job_id = $1)) AND standing < 2
    ORDER BY at_us, identity";

/// The latest mismatches of steps, with their total number.
macro_rules! select_mismatches {
    ($steps:literal) => {
        concat!(
            "SELECT step, total, correlation_id, status, standing, recorded_at FROM (
    SELECT step, correlation_id, status, standing, recorded_at, COUNT(*) OVER (PARTITION BY step) AS total,
    ROW_NUMBER() OVER (PARTITION BY step ORDER BY at_us DESC, identity DESC) AS place
    FROM result WHERE step ",
            $steps,
            " AND standing > 1) AS claims WHERE place <= 10 ORDER BY step, place"
        )
    };
}

/// The number of mismatches of a step, and the latest of them.
pub(crate) const MISMATCHES_OF_STEP: &str =
    select_mismatches!("= (SELECT id FROM step WHERE step_id = $1)");

/// As [`MISMATCHES_OF_STEP`], for all steps of a job.
pub(crate) const MISMATCHES_OF_JOB: &str = select_mismatches!(
    "IN (SELECT id FROM step WHERE job = (SELECT id FROM job WHERE job_id = $1))"
);

/// A step, the number of its mismatches, and one of them.
pub(crate) type MismatchRow = (i64, i64, Mismatch);

pub(crate) fn mismatch(row: &dyn Columns) -> Result<MismatchRow, Error> {
    let mismatch = Mismatch {
        correlation_id: row.text(2)?,
        status: row.text(3)?,
        differs_in: Verdict::of_number(row.number(4)?).difference(),
        recorded_at: row.text(5)?,
    };
    Ok((row.number(0)?, row.number(1)?, mismatch))
}

/// The body of a Result whose row stores it outside the main query because it is large.
pub(crate) const RESULT_BODY: &str = "SELECT body FROM result WHERE id = $1";

/// Reads a step and its row, without the data from its Results.
pub(crate) fn step(row: &dyn Columns) -> Result<(i64, Step), Error> {
    let step = Step {
        step_id: row.text(1)?,
        job_id: row.optional_text(2)?,
        step_name: row.optional_text(3)?,
        handler_type: row.optional_text(4)?,
        action: row.optional_text(5)?,
        correlation_id: row.optional_text(6)?,
        status: StepStatus::parse(&row.text(7)?).unwrap_or(StepStatus::Pending),
        inputs: Vec::new(),
        outputs: Vec::new(),
        executions: Vec::new(),
        error: row.optional_text(8)?,
        duration_ms: row.optional_number(9)?.and_then(|n| u64::try_from(n).ok()),
        started_at: row.optional_text(10)?,
        completed_at: row.optional_text(11)?,
        metadata: value(&row.text(12)?),
        stated_at: row.optional_text(13)?,
        mismatches: Mismatches::default(),
    };
    Ok((row.number(0)?, step))
}

/// Adds the data from Results: each dataset once, as the latest Result describes it, and the mismatches.
pub(crate) fn complete(
    steps: Vec<(i64, Step)>,
    results: Vec<(i64, String)>,
    mismatches: Vec<MismatchRow>,
) -> Vec<Step> {
    let mut mismatches_of: BTreeMap<i64, Mismatches> = BTreeMap::new();
    for (step, count, mismatch) in mismatches {
        let mismatches = mismatches_of.entry(step).or_default();
        mismatches.count = u64::try_from(count).unwrap_or(0);
        mismatches.latest.push(mismatch);
    }
    let mut results_of: BTreeMap<i64, Vec<Value>> = BTreeMap::new();
    for (step, text) in results {
        results_of.entry(step).or_default().push(value(&text));
    }
    let complete = |(id, mut step): (i64, Step)| {
        let (mut inputs, mut outputs) = (BTreeMap::new(), BTreeMap::new());
        for body in results_of.remove(&id).unwrap_or_default() {
            let Value::Object(mut body) = body else {
                continue;
            };
            for (field, references) in [("inputs", &mut inputs), ("outputs", &mut outputs)] {
                for reference in items(&mut body, field) {
                    if let Ok(reference) = DataReference::read(reference, String::new()) {
                        references.insert(reference.location.clone(), reference);
                    }
                }
            }
            let read = |record| ExecutionRecord::read(record, String::new()).ok();
            let records = items(&mut body, "executions");
            step.executions.extend(records.into_iter().filter_map(read));
        }
        step.inputs = inputs.into_values().collect();
        step.outputs = outputs.into_values().collect();
        step.mismatches = mismatches_of.remove(&id).unwrap_or_default();
        step
    };
    steps.into_iter().map(complete).collect()
}

fn items(body: &mut Object, field: &str) -> Vec<Value> {
    match body.get_mut(field).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// Above this size the lineage is stored beside the body, so that reading a step does not load a large answer.
const BODY_LARGE: usize = 65_536;

/// The lineage to store beside a large body.
pub(crate) fn lineage_of(body: &str) -> Option<String> {
    if body.len() < BODY_LARGE {
        return None;
    }
    let Value::Object(mut body) = value(body) else {
        return None;
    };
    body.retain(|field, _| ["inputs", "outputs", "executions"].contains(&field.as_str()));
    Some(Value::Object(body).to_string())
}

macro_rules! select_step_node {
    () => {
        concat!(
            "SELECT step.id, step_id, job.job_id, step_name, pipeline,
    COALESCE(handler_type, seen_handler), COALESCE(step.action, seen_action), status,
    CASE WHEN rank = 2 THEN at END FROM step LEFT JOIN job ON job.id = step.job AND ",
            is_of_job!(),
            " WHERE step.id "
        )
    };
}

pub(crate) const STEP_NODE: &str = concat!(select_step_node!(), "= $1");

/// As [`STEP_NODE`], for many steps.
#[cfg(feature = "postgres")]
pub(crate) const STEP_NODES: &str = concat!(select_step_node!(), "= ANY($1)");

pub(crate) fn step_node(row: &dyn Columns) -> Result<(i64, Node), Error> {
    let node = Node::Step {
        id: String::new(),
        step_id: row.text(1)?,
        job_id: row.optional_text(2)?,
        step_name: row.optional_text(3)?,
        pipeline: row.optional_text(4)?,
        handler: row.optional_text(5)?,
        action: row.optional_text(6)?,
        status: StepStatus::parse(&row.text(7)?).unwrap_or(StepStatus::Pending),
        completed_at: row.optional_text(8)?,
    };
    Ok((row.number(0)?, node))
}

/// Reads a Result: identity, body, time of recording, verdict.
pub(crate) fn stored_result(row: &dyn Columns) -> Result<StoredResult, Error> {
    Ok(StoredResult {
        identity: row.text(0)?,
        body: row.text(1)?,
        recorded_at: row.text(2)?,
        mismatch: Verdict::of_number(row.number(3)?).difference(),
    })
}

macro_rules! select_told {
    () => {
        concat!(
            "SELECT r.id, r.body, r.status, r.at_us, r.correlation_id, step.step_id, step_name,
    COALESCE(handler_type, seen_handler), COALESCE(step.action, seen_action), job.job_id, pipeline, environment, namespace,
    (SELECT COUNT(*) FROM result AS b WHERE b.step = r.step AND b.standing < 2 AND b.status IN ('success', 'failed', 'skipped')
        AND (b.at_us < r.at_us OR (b.at_us = r.at_us AND b.id < r.id))),
    (SELECT b.status FROM result AS b WHERE b.step = r.step AND b.standing < 2 AND (b.at_us < r.at_us OR (b.at_us = r.at_us AND b.id < r.id))
        ORDER BY b.at_us DESC, b.id DESC LIMIT 1)
    FROM result AS r LEFT JOIN step ON step.id = r.step LEFT JOIN job ON job.id = step.job AND ",
            is_of_job!(),
            " "
        )
    };
}

pub(crate) const EXPORT_AFTER: &str = concat!(
    select_told!(),
    "WHERE r.id > $1 AND r.standing < 2 ORDER BY r.id LIMIT $2"
);

/// The Results that [`take`](crate::RegistryStore::take_outbox) has leased.
pub(crate) const EXPORT_TAKEN: &str = concat!(
    select_told!(),
    "WHERE r.id IN (SELECT result FROM outbox WHERE taken_by = $1) ORDER BY r.id"
);

pub(crate) fn exported(
    row: &dyn Columns,
    relocations: &Relocations,
) -> Result<ExportedResult, Error> {
    Ok(ExportedResult {
        row: row.number(0)?,
        body: relocations.body(row.number(0)?, row.text(1)?),
        status: row.text(2)?,
        at_us: row.number(3)?,
        correlation_id: row.text(4)?,
        step_id: row.optional_text(5)?,
        step_name: row.optional_text(6)?,
        handler: row.optional_text(7)?,
        action: row.optional_text(8)?,
        job_id: row.optional_text(9)?,
        pipeline: row.optional_text(10)?,
        environment: row.optional_text(11)?,
        namespace: row.optional_text(12)?,
        runs_before: row.number(13)?,
        status_before: row.optional_text(14)?,
    })
}

/// The folders of warehouses and of objects, as they appear in dataset names.
pub(crate) const DATA_FOLDERS: [&str; 2] = [
    "SELECT substr(namespace, 10, length(namespace) - 26), COUNT(*) FROM dataset
        WHERE namespace LIKE 'duckdb:///%/warehouse.duckdb' GROUP BY 1",
    "SELECT substr(name, 1, instr(name, '/objects/') - 1), COUNT(*) FROM dataset
        WHERE namespace = 'file' AND instr(name, '/objects/') > 1 GROUP BY 1",
];

/// The next Results to look at: row, step, instant, and 1 if the Result can be removed.
pub(crate) const PRUNE_PAGE: &str = "SELECT r.id, r.step, r.at_us, CASE WHEN (r.step IS NULL OR r.standing > 1 OR step.rank = 2)
        AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.result = r.id)
        AND NOT EXISTS (SELECT 1 FROM edge AS e WHERE e.step = r.step AND e.result = r.id AND e.kind <> 0
            AND NOT EXISTS (SELECT 1 FROM edge AS f WHERE f.dataset = e.dataset AND f.kind = 1 AND f.seen_us > e.seen_us)
            AND NOT EXISTS (SELECT 1 FROM edge AS f WHERE f.dataset = e.dataset AND f.kind = 2 AND f.seen_us > e.seen_us))
        THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END
    FROM result AS r LEFT JOIN step ON step.id = r.step
    WHERE r.at_us >= $1 AND (r.at_us > $1 OR r.id > $2) AND r.at_us < $3 ORDER BY r.at_us, r.id LIMIT $4";

pub(crate) const EVENTS_AFTER: &str =
    "SELECT id, body, recorded_at FROM event WHERE id > $1 ORDER BY id LIMIT $2";

/// The last Events.
pub(crate) const EVENTS_LAST: &str =
    "SELECT id, body, recorded_at FROM (SELECT id, body, recorded_at FROM event WHERE id > $1
    ORDER BY id DESC LIMIT $2) AS latest ORDER BY id";

/// Reads an Event: its number, body, and time of recording.
pub(crate) fn stored_event(row: &dyn Columns) -> Result<StoredEvent, Error> {
    Ok(StoredEvent {
        cursor: row.number(0)?,
        body: row.text(1)?,
        recorded_at: row.text(2)?,
    })
}

pub(crate) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

pub(crate) fn text(object: &Object) -> String {
    serde_json::json!(object).to_string()
}

pub(crate) fn new_id(kind: &str) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("{kind}-{}", &id[..12])
}
