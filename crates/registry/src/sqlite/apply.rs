//! Writes a Result: itself, what it claims about its step, and its lineage.

use super::key::key;
use super::{Change, jobs, micros};
use crate::error::{Error, ErrorKind};
use crate::fold::{Claim, StepStatus};
use crate::model::StepUpdate;
use crate::store::{Applied, Incoming};
use pudato_protocol::{DataReference, Dataset, ExecutionRecord, Object, Timestamp};
use rusqlite::params;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// What a Result or an update says about a step.
struct Statement<'a> {
    identity: &'a str,
    step_id: &'a str,
    job_id: Option<&'a str>,
    /// `None`: it says nothing about the state.
    status: Option<StepStatus>,
    at: &'a Timestamp,
    started_us: i64,
    duration_ms: Option<u64>,
    error: Option<&'a str>,
    handler: Option<&'a str>,
    correlation_id: Option<&'a str>,
    inputs: &'a [DataReference],
    outputs: &'a [DataReference],
    executions: &'a [ExecutionRecord],
}

/// Writes a Result that arrived.
pub(super) fn result(change: &mut Change<'_>, incoming: &Incoming) -> Result<Applied, Error> {
    let result = &incoming.result;
    let at_us = micros(&result.timestamp);
    let statement = result.step_id.as_deref().map(|step_id| Statement {
        identity: &incoming.identity,
        step_id,
        job_id: result.job_id.as_deref(),
        status: Some(result.status.into()),
        at: &result.timestamp,
        started_us: started_us(at_us, result.duration_ms),
        duration_ms: Some(result.duration_ms),
        error: result.errors.first().map(String::as_str),
        handler: result.handler.as_deref(),
        correlation_id: Some(&result.correlation_id),
        inputs: &result.inputs,
        outputs: &result.outputs,
        executions: &result.executions,
    });
    let status = StepStatus::from(result.status).as_str();
    let executions = executions_text(&result.executions);
    let kept = Row {
        identity: &incoming.identity,
        correlation_id: &result.correlation_id,
        status,
        at_us,
        recorded_at: incoming.recorded_at.as_str(),
        executions,
        body: &incoming.body,
    };
    if is_kept(change, &incoming.identity)? {
        return Ok(Applied::Duplicate);
    }
    match statement {
        Some(statement) => apply(change, &kept, &statement),
        None => insert(change, &kept, None).map(|_| Applied::Skipped),
    }
}

/// Writes an update of a step, as if it were a Result.
pub(super) fn update(change: &mut Change<'_>, update: &StepUpdate) -> Result<(), Error> {
    let at = update.completed_at.as_ref().unwrap_or(&update.timestamp);
    let at_us = micros(at);
    let body = serde_json::json!({
        "step_id": update.step_id, "status": update.status, "inputs": update.inputs,
        "outputs": update.outputs, "executions": update.executions, "duration_ms": update.duration_ms,
        "error": update.error, "at": at.as_str(),
        "started_at": update.started_at.as_ref().map(Timestamp::as_str),
    })
    .to_string();
    let identity = hex(&Sha256::digest(body.as_bytes()));
    if is_kept(change, &identity)? {
        return Ok(());
    }
    let kept = Row {
        identity: &identity,
        correlation_id: "",
        status: update.status.map_or("pending", StepStatus::as_str),
        at_us,
        recorded_at: update.timestamp.as_str(),
        executions: executions_text(&update.executions),
        body: &body,
    };
    let started_us = match &update.started_at {
        Some(at) => micros(at),
        None => started_us(at_us, update.duration_ms.unwrap_or(0)),
    };
    let statement = Statement {
        identity: &identity,
        step_id: &update.step_id,
        job_id: None,
        status: update.status,
        at,
        started_us,
        duration_ms: update.duration_ms,
        error: update.error.as_deref(),
        handler: None,
        correlation_id: None,
        inputs: &update.inputs,
        outputs: &update.outputs,
        executions: &update.executions,
    };
    apply(change, &kept, &statement).map(|_| ())
}

/// A Result, or what counts as one, as it is kept.
struct Row<'a> {
    identity: &'a str,
    correlation_id: &'a str,
    status: &'a str,
    at_us: i64,
    recorded_at: &'a str,
    executions: Option<String>,
    body: &'a str,
}

fn is_kept(change: &Change<'_>, identity: &str) -> Result<bool, Error> {
    Ok(change
        .transaction
        .prepare_cached("SELECT 1 FROM result WHERE identity_key = ? AND identity = ?")?
        .exists(params![key(identity), identity])?)
}

fn insert(change: &Change<'_>, row: &Row<'_>, step: Option<i64>) -> Result<i64, Error> {
    change
        .transaction
        .prepare_cached(
            "INSERT INTO result (identity_key, correlation_key, identity, correlation_id, step, status, at_us,
             recorded_at, executions, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key(row.identity),
            key(row.correlation_id),
            row.identity,
            row.correlation_id,
            step,
            row.status,
            row.at_us,
            row.recorded_at,
            row.executions,
            row.body
        ])?;
    Ok(change.transaction.last_insert_rowid())
}

fn apply(
    change: &mut Change<'_>,
    kept: &Row<'_>,
    statement: &Statement<'_>,
) -> Result<Applied, Error> {
    let at_us = kept.at_us;
    let job = match statement.job_id {
        Some(job_id) => Some(jobs::ensure_once(change, job_id, statement.at)?),
        None => None,
    };
    let step = super::steps::ensure(&change.transaction, statement.step_id, job)?;
    let row = insert(change, kept, Some(step.id))?;
    let decides = statement.status.is_some_and(|status| {
        let claim = Claim::new(status, at_us, statement.identity);
        step.claim.as_ref().is_none_or(|decided| claim > *decided)
    });
    if let Some(status) = statement.status.filter(|_| decides) {
        let action = statement.executions.iter().find_map(|execution| {
            let action = execution.details.get("action");
            action.and_then(Value::as_str)
        });
        let is_error = status == StepStatus::Failed;
        let rank = i64::from(status.is_terminal()) + i64::from(status != StepStatus::Pending);
        change
            .transaction
            .prepare_cached(
                "UPDATE step SET status = ?, rank = ?, at_us = ?, at = ?, is_error = ?, identity = ?, error = ?,
                 duration_ms = ?, seen_handler = ?, seen_action = ?, seen_correlation_id = ? WHERE id = ?",
            )?
            .execute(params![
                status.as_str(),
                rank,
                at_us,
                statement.at.as_str(),
                is_error,
                statement.identity,
                statement.error,
                statement.duration_ms,
                statement.handler,
                action,
                statement.correlation_id,
                step.id
            ])?;
    }
    if statement.status.is_some_and(|s| s != StepStatus::Pending)
        && step.started_us.is_none_or(|us| statement.started_us < us)
    {
        change
            .transaction
            .prepare_cached("UPDATE step SET started_us = ?, started_at = ? WHERE id = ?")?
            .execute(params![
                statement.started_us,
                Timestamp::from_unix_us(statement.started_us).as_str(),
                step.id
            ])?;
    }
    if let Some(job) = step.job.or(job)
        && (decides || step.job != Some(job))
    {
        let now = statement.status.filter(|_| decides);
        let counts = jobs::Counts::of(&step, now, at_us);
        let sum = change.counts.entry(job).or_default();
        *sum = sum.and(counts);
    }
    edges(change, row, step.id, at_us, 0, statement.inputs)?;
    edges(change, row, step.id, at_us, 1, statement.outputs)?;
    Ok(if decides || statement.status.is_none() {
        Applied::Applied
    } else {
        Applied::Superseded
    })
}

fn edges(
    change: &mut Change<'_>,
    result: i64,
    step: i64,
    at_us: i64,
    direction: i64,
    references: &[DataReference],
) -> Result<(), Error> {
    for (position, reference) in references.iter().enumerate() {
        if reference.location.contains('\0') {
            let context = format!("location {:?}: a NUL is not allowed", reference.location);
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        let dataset = dataset(change, &Dataset::parse(&reference.location))?;
        let count = |name: &str| reference.metadata.get(name).and_then(Value::as_i64);
        let text = |name: &str| reference.metadata.get(name).and_then(Value::as_str);
        let metadata = (!reference.metadata.is_empty()).then(|| object_text(&reference.metadata));
        change
            .transaction
            .prepare_cached(
                "INSERT INTO edge (dataset, direction, at_us, result, position, step, ref_type, format, version,
                 row_count, bytes, metadata) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            )?
            .execute(params![
                dataset,
                direction,
                at_us,
                result,
                position,
                step,
                reference.ref_type,
                reference.format,
                text("version").or_else(|| text("etag")),
                count("row_count"),
                count("size"),
                metadata
            ])?;
    }
    Ok(())
}

fn dataset(change: &mut Change<'_>, dataset: &Dataset) -> Result<i64, Error> {
    let key = (dataset.namespace.clone(), dataset.name.clone());
    if let Some(id) = change
        .committed
        .get(&key)
        .or_else(|| change.found.get(&key))
    {
        return Ok(*id);
    }
    let backwards: String = dataset.location().chars().rev().collect();
    change
        .transaction
        .prepare_cached(
            "INSERT INTO dataset (namespace, name, backwards) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![key.0, key.1, backwards])?;
    let id = change
        .transaction
        .prepare_cached("SELECT id FROM dataset WHERE namespace = ? AND name = ?")?
        .query_row(params![key.0, key.1], |row| row.get(0))?;
    change.found.insert(key, id);
    Ok(id)
}

/// When the work began, as far as the Result tells.
fn started_us(at_us: i64, duration_ms: u64) -> i64 {
    let duration_us = i64::try_from(duration_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    at_us.saturating_sub(duration_us)
}

fn executions_text(executions: &[ExecutionRecord]) -> Option<String> {
    (!executions.is_empty()).then(|| serde_json::json!(executions).to_string())
}

fn object_text(object: &Object) -> String {
    serde_json::json!(object).to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
