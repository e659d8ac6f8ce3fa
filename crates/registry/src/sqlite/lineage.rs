//! One hop: the steps next to a dataset.

use super::resolve::resolve;
use crate::error::Error;
use crate::fold::StepStatus;
use crate::model::{Direction, Hop, OneHop};
use rusqlite::{Connection, params};

pub(super) fn one_hop(
    connection: &Connection,
    location: &str,
    direction: Direction,
    environment: Option<&str>,
) -> Result<OneHop, Error> {
    let found = resolve(connection, location)?;
    let side = |wanted: bool, side: i64| match found.id {
        Some(id) if wanted => hops(connection, id, side, environment),
        _ => Ok(Vec::new()),
    };
    Ok(OneHop {
        location: found.dataset.location(),
        producers: side(direction != Direction::Consumers, 1)?,
        consumers: side(direction != Direction::Producers, 0)?,
    })
}

/// The steps on one side, the latest first, each once.
fn hops(
    connection: &Connection,
    dataset: i64,
    side: i64,
    environment: Option<&str>,
) -> Result<Vec<Hop>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT job.job_id, step.step_id, COALESCE(step.step_name, step.action, step.seen_action), job.pipeline,
            step.status, CASE WHEN step.rank = 2 THEN step.at END
         FROM (SELECT step, MAX(at_us) AS last_us FROM edge WHERE dataset = ?1 AND direction = ?2 GROUP BY step) AS near
         JOIN step ON step.id = near.step LEFT JOIN job ON job.id = step.job
         WHERE ?3 IS NULL OR job.environment = ?3 ORDER BY near.last_us DESC, step.id DESC",
    )?;
    let rows = statement.query_map(params![dataset, side, environment], |row| {
        let status: String = row.get(4)?;
        Ok(Hop {
            job_id: row.get(0)?,
            step_id: row.get(1)?,
            step_name: row.get(2)?,
            pipeline: row.get(3)?,
            status: StepStatus::parse(&status).unwrap_or(StepStatus::Pending),
            completed_at: row.get(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
