//! Jobs.

use super::steps::Known;
use super::{Change, micros};
use crate::error::Error;
use crate::fold::StepStatus;
use crate::model::{Job, JobFilter, JobStatus, NewJob, UpdateJob};
use pudato_protocol::{Object, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::Value;

/// What update_job said; else what the declared number of steps says; else whether anything began.
const STATUS: &str = "COALESCE(said, CASE
    WHEN expected_steps IS NOT NULL AND steps_ended >= expected_steps AND steps_failed > 0 THEN 'failed'
    WHEN expected_steps IS NOT NULL AND steps_ended >= expected_steps THEN 'success'
    WHEN steps_begun > 0 THEN 'running' ELSE 'pending' END)";

const COLUMNS: &str =
    "job_id, pipeline, environment, namespace, logic_version, expected_steps, request, parameters,
    dag_run_id, error, created_at, metadata, said IS NOT NULL, said_at, ended_at";

pub(super) fn new_id(kind: &str) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("{kind}-{}", &id[..12])
}

fn text(object: &Object) -> String {
    serde_json::json!(object).to_string()
}

pub(super) fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

pub(super) fn create(connection: &Connection, job: NewJob, now: &Timestamp) -> Result<Job, Error> {
    let job_id = job.job_id.unwrap_or_else(|| new_id("job"));
    connection.execute(
        "INSERT INTO job (job_id, created_at, created_us) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        params![job_id, now.as_str(), micros(now)],
    )?;
    connection.execute(
        "UPDATE job SET declared = 1, pipeline = ?, environment = ?, namespace = ?,
         logic_version = COALESCE(logic_version, ?), request = ?, parameters = ?, dag_run_id = ?,
         metadata = ?, expected_steps = COALESCE(expected_steps, ?), created_at = ?, created_us = ?
         WHERE job_id = ? AND declared = 0",
        params![
            job.pipeline,
            job.environment,
            job.namespace,
            job.logic_version,
            text(&job.request),
            text(&job.parameters),
            job.dag_run_id,
            text(&job.metadata),
            job.expected_steps,
            now.as_str(),
            micros(now),
            job_id
        ],
    )?;
    let created = get(connection, &job_id)?;
    created.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
}

/// The row of a job, and how old it is.
#[derive(Clone, Copy)]
pub(super) struct JobRow {
    id: i64,
    is_declared: bool,
    created_us: i64,
}

/// The row of a job; one that nobody created is made. Several Results of one batch ask for it once.
pub(super) fn ensure_once(
    change: &mut Change<'_>,
    job_id: &str,
    at: &Timestamp,
) -> Result<i64, Error> {
    let known = change.jobs.get(job_id).copied();
    let row = ensure_row(&change.transaction, job_id, at, known)?;
    if known.is_none_or(|known| known.created_us != row.created_us) {
        change.jobs.insert(job_id.to_owned(), row);
    }
    Ok(row.id)
}

/// The row of a job; one that nobody created is made.
pub(super) fn ensure(connection: &Connection, job_id: &str, at: &Timestamp) -> Result<i64, Error> {
    ensure_row(connection, job_id, at, None).map(|row| row.id)
}

fn ensure_row(
    connection: &Connection,
    job_id: &str,
    at: &Timestamp,
    known: Option<JobRow>,
) -> Result<JobRow, Error> {
    let at_us = micros(at);
    // The same instant can be written in several ways; which came first must not show.
    let text = || Timestamp::from_unix_us(at_us).as_str().to_owned();
    let found = match known {
        Some(row) => Some(row),
        None => connection
            .prepare_cached("SELECT id, declared, created_us FROM job WHERE job_id = ?")?
            .query_row([job_id], |row| {
                Ok(JobRow {
                    id: row.get(0)?,
                    is_declared: row.get(1)?,
                    created_us: row.get(2)?,
                })
            })
            .optional()?,
    };
    let Some(mut row) = found else {
        connection
            .prepare_cached("INSERT INTO job (job_id, created_at, created_us) VALUES (?, ?, ?)")?
            .execute(params![job_id, text(), at_us])?;
        return Ok(JobRow {
            id: connection.last_insert_rowid(),
            is_declared: false,
            created_us: at_us,
        });
    };
    // Until somebody creates it, it is as old as its first Result, whichever comes first.
    if !row.is_declared && at_us < row.created_us {
        connection
            .prepare_cached("UPDATE job SET created_at = ?, created_us = ? WHERE id = ?")?
            .execute(params![text(), at_us, row.id])?;
        row.created_us = at_us;
    }
    Ok(row)
}

/// How the counts of a job change.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    begun: i64,
    ended: i64,
    failed: i64,
    /// When the last of the steps that ended did.
    ended_us: Option<i64>,
}

impl Counts {
    /// What changes when `status` (if any) becomes the state of `step`, which was as `step` says.
    pub(super) fn of(step: &Known, status: Option<StepStatus>, at_us: i64) -> Self {
        let begun = |status: StepStatus| i64::from(status != StepStatus::Pending);
        let ended = |status: StepStatus| i64::from(status.is_terminal());
        let failed = |status: StepStatus| i64::from(status == StepStatus::Failed);
        let now = status.unwrap_or(step.status);
        // A step that had no job until now was not counted before.
        let before = step.job.map(|_| step.status);
        let delta = |of: &dyn Fn(StepStatus) -> i64| of(now) - before.map_or(0, of);
        Self {
            begun: delta(&begun),
            ended: delta(&ended),
            failed: delta(&failed),
            ended_us: status.filter(|_| now.is_terminal()).map(|_| at_us),
        }
    }

    /// Both changes, one after the other.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            begun: self.begun + other.begun,
            ended: self.ended + other.ended,
            failed: self.failed + other.failed,
            ended_us: self.ended_us.max(other.ended_us),
        }
    }

    /// Writes them.
    pub(super) fn write(self, connection: &Connection, job: i64) -> Result<(), Error> {
        if (self.begun, self.ended, self.failed) != (0, 0, 0) {
            connection
                .prepare_cached(
                    "UPDATE job SET steps_begun = steps_begun + ?, steps_ended = steps_ended + ?,
                     steps_failed = steps_failed + ? WHERE id = ?",
                )?
                .execute(params![self.begun, self.ended, self.failed, job])?;
        }
        if let Some(at_us) = self.ended_us {
            connection
                .prepare_cached(
                    "UPDATE job SET ended_us = ?2, ended_at = ?3
                     WHERE id = ?1 AND (ended_us IS NULL OR ended_us < ?2)",
                )?
                .execute(params![job, at_us, Timestamp::from_unix_us(at_us).as_str()])?;
        }
        Ok(())
    }
}

pub(super) fn get(connection: &Connection, job_id: &str) -> Result<Option<Job>, Error> {
    let sql = format!("SELECT {COLUMNS}, {STATUS} FROM job WHERE job_id = ?");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([job_id], job).optional()?)
}

pub(super) fn update(
    connection: &Connection,
    job_id: &str,
    update: &UpdateJob,
    now: &Timestamp,
) -> Result<Option<Job>, Error> {
    let Some(found) = get(connection, job_id)? else {
        return Ok(None);
    };
    let mut metadata = match found.metadata {
        Value::Object(metadata) => metadata,
        _ => Object::new(),
    };
    metadata.extend(update.metadata.clone());
    let said = update.status.map(JobStatus::as_str);
    connection.execute(
        "UPDATE job SET said = COALESCE(?1, said), said_at = CASE WHEN ?1 IS NULL THEN said_at ELSE ?2 END,
         logic_version = COALESCE(?3, logic_version), expected_steps = COALESCE(?4, expected_steps),
         error = COALESCE(?5, error), metadata = ?6 WHERE job_id = ?7",
        params![
            said,
            now.as_str(),
            update.logic_version,
            update.expected_steps,
            update.error,
            text(&metadata),
            job_id
        ],
    )?;
    get(connection, job_id)
}

pub(super) fn query(connection: &Connection, filter: &JobFilter) -> Result<Vec<Job>, Error> {
    let sql = format!(
        "SELECT {COLUMNS}, {STATUS} FROM job WHERE (?1 IS NULL OR pipeline = ?1)
         AND (?2 IS NULL OR environment = ?2) AND (?3 IS NULL OR namespace = ?3)
         AND (?4 IS NULL OR {STATUS} = ?4) AND (?5 IS NULL OR dag_run_id = ?5)
         ORDER BY created_us DESC, id DESC LIMIT ?6"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(
        params![
            filter.pipeline,
            filter.environment,
            filter.namespace,
            filter.status.map(JobStatus::as_str),
            filter.dag_run_id,
            filter.limit
        ],
        job,
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let json = |index: usize| row.get::<_, String>(index).map(|text| value(&text));
    let status: String = row.get(15)?;
    let status = JobStatus::parse(&status).unwrap_or(JobStatus::Running);
    let (is_said, said_at): (bool, Option<String>) = (row.get(12)?, row.get(13)?);
    let ended_at: Option<String> = row.get(14)?;
    let is_over = !matches!(status, JobStatus::Pending | JobStatus::Running);
    Ok(Job {
        job_id: row.get(0)?,
        pipeline: row.get(1)?,
        environment: row.get(2)?,
        namespace: row.get(3)?,
        logic_version: row.get(4)?,
        expected_steps: row.get(5)?,
        request: json(6)?,
        parameters: json(7)?,
        dag_run_id: row.get(8)?,
        error: row.get(9)?,
        created_at: row.get(10)?,
        metadata: json(11)?,
        completed_at: if is_said { said_at } else { ended_at }.filter(|_| is_over),
        status,
    })
}
