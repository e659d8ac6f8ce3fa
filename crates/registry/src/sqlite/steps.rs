//! Writes the steps of a batch.

use super::columns::run;
use crate::batch::{Batch, Plan, READ, Statement, StepChange};
use crate::error::Error;
use crate::fold::StepStatus;
use crate::queries;
use pudato_protocol::Timestamp;
use rusqlite::{Connection, params};

/// Writes the steps and returns their rows. `jobs` are the rows of the plan's jobs.
pub(super) fn write(
    connection: &Connection,
    batch: &Batch<'_>,
    plan: &Plan<'_>,
    jobs: &[i64],
) -> Result<Vec<i64>, Error> {
    let mut rows = Vec::with_capacity(plan.steps.len());
    for step in &plan.steps {
        let id = match step.known {
            Some(id) => id,
            None => {
                run(
                    connection,
                    "INSERT INTO step (step_id) VALUES (?)",
                    [step.step_id],
                )?;
                connection.last_insert_rowid()
            }
        };
        rows.push(id);
        if step.is_rebuilt {
            forget(connection, id)?;
        }
        if step.is_rebuilt || step.known.is_none() {
            agree(connection, step, id, jobs)?;
        }
        if let Some(started_us) = step.started_us {
            let sql = "UPDATE step SET started_us = ?, started_at = ? WHERE id = ?";
            let started_at = Timestamp::from_unix_us(started_us);
            run(
                connection,
                sql,
                params![started_us, started_at.as_str(), id],
            )?;
            if step.has_moved {
                let sql = "UPDATE edge SET seen_us = ? WHERE step = ? AND kind = ?";
                run(connection, sql, [started_us, id, READ])?;
            }
        }
        if let Some(n) = step.decided_by {
            decide(connection, &batch.statements[n], id)?;
        }
    }
    Ok(rows)
}

/// Removes everything that a step's Results contributed.
fn forget(connection: &Connection, id: i64) -> Result<(), Error> {
    for sql in [
        "DELETE FROM edge WHERE step = ?",
        "DELETE FROM pair WHERE step = ?",
        "UPDATE step SET status = 'pending', rank = -1, at_us = 0, at = NULL, stated_at = NULL, is_error = 0, identity = '',
         error = NULL, duration_ms = NULL, started_us = NULL, started_at = NULL WHERE id = ?",
    ] {
        run(connection, sql, [id])?;
    }
    Ok(())
}

/// Writes the values that the step's Results must match.
fn agree(
    connection: &Connection,
    step: &StepChange<'_>,
    id: i64,
    jobs: &[i64],
) -> Result<(), Error> {
    let expectation = &step.expectation;
    let sql = "UPDATE step SET job = ?, seen_handler = ?, seen_action = ?, seen_correlation_id = ?, terms_us = ?, terms_identity = ?,
             correlation_id = ?, also = ? WHERE id = ?";
    run(
        connection,
        sql,
        params![
            step.job.map(|job| jobs[job]),
            expectation.handler,
            expectation.action,
            expectation.ids.first(),
            expectation.since.map(|(us, _)| us),
            expectation.since.map(|(_, identity)| identity),
            step.ids.first(),
            queries::also(step),
            id
        ],
    )?;
    Ok(())
}

fn decide(connection: &Connection, statement: &Statement<'_>, step: i64) -> Result<(), Error> {
    let status = statement.status.unwrap_or(StepStatus::Pending);
    let sql = "UPDATE step SET status = ?, rank = ?, at_us = ?, at = ?, stated_at = ?, is_error = ?, identity = ?, error = ?,
             duration_ms = ? WHERE id = ?";
    run(
        connection,
        sql,
        params![
            status.as_str(),
            status.rank(),
            statement.at_us,
            statement.at,
            statement.stated_at,
            status == StepStatus::Failed,
            statement.record.map(|record| record.identity),
            statement.error,
            statement.duration_ms,
            step
        ],
    )?;
    Ok(())
}
