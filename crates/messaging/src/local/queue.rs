//! The rows of queues, and the declaration of a topology.

use super::schema::database_error;
use super::send::run;
use super::writer::Transaction;
use crate::{Error, ErrorKind, QueueConfig, Topology};
use rusqlite::{Connection, OptionalExtension, params};
use std::time::Duration;

/// A queue, as the operations need it.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) visibility_ms: i64,
    /// The allowed number of receives, and the queue that a message is then moved to.
    pub(super) redrive: Option<(u32, i64)>,
}

/// Finds a queue by its name.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Queue, Error> {
    let found = connection
        .prepare_cached(
            "SELECT queue.id, queue.visibility_ms, queue.max_receive_count, dead.id FROM queue
             LEFT JOIN queue AS dead ON dead.name = queue.dead_letter_queue WHERE queue.name = ?",
        )
        .and_then(|mut statement| {
            let queue = statement.query_row([name], |row| {
                let max: Option<u32> = row.get(2)?;
                let dead: Option<i64> = row.get(3)?;
                Ok(Queue {
                    id: row.get(0)?,
                    name: name.to_owned(),
                    visibility_ms: row.get(1)?,
                    redrive: max.zip(dead),
                })
            });
            queue.optional()
        })
        .map_err(|error| database_error(&format!("queue {name}"), error))?;
    found.ok_or_else(|| {
        let context = format!("queue {name:?} does not exist; declare it, or check its name");
        Error::new(ErrorKind::NotFound, context)
    })
}

/// Creates what does not exist. Existing entries must have the same attributes.
pub(super) fn declare(transaction: &Transaction<'_>, topology: &Topology) -> Result<(), Error> {
    topology.check()?;
    for topic in &topology.topics {
        let sql = "INSERT INTO topic (name) VALUES (?) ON CONFLICT DO NOTHING";
        run(transaction, sql, params![topic])?;
    }
    for queue in &topology.queues {
        declare_queue(transaction, queue)?;
    }
    for subscription in &topology.subscriptions {
        let filter = serde_json::to_string(&subscription.filter)
            .map_err(|error| Error::new(ErrorKind::Invalid, "filter").with_source(error))?;
        let (topic, queue) = (&subscription.topic, &subscription.queue);
        let sql = "INSERT INTO subscription (topic, queue, filter) VALUES (?, ?, ?)
                   ON CONFLICT DO NOTHING";
        run(transaction, sql, params![topic, queue, filter])?;
        let stored: String = transaction
            .connection
            .query_row(
                "SELECT filter FROM subscription WHERE topic = ? AND queue = ?",
                [topic, queue],
                |row| row.get(0),
            )
            .map_err(|error| database_error("subscription", error))?;
        if stored != filter {
            let context = format!("subscription of {queue:?} to {topic:?} has another filter");
            return Err(Error::new(ErrorKind::Invalid, context));
        }
    }
    Ok(())
}

fn declare_queue(transaction: &Transaction<'_>, queue: &QueueConfig) -> Result<(), Error> {
    let wanted = (
        milliseconds(queue.visibility),
        milliseconds(queue.delay),
        queue.redrive.as_ref().map(|r| r.max_receive_count),
        queue.redrive.as_ref().map(|r| r.dead_letter_queue.clone()),
    );
    run(
        transaction,
        "INSERT INTO queue (name, visibility_ms, delay_ms, max_receive_count, dead_letter_queue)
         VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        params![queue.name, wanted.0, wanted.1, wanted.2, wanted.3],
    )?;
    let stored = transaction
        .connection
        .query_row(
            "SELECT visibility_ms, delay_ms, max_receive_count, dead_letter_queue FROM queue WHERE name = ?",
            [&queue.name],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .map_err(|error| database_error(&format!("queue {}", queue.name), error))?;
    if stored == wanted {
        return Ok(());
    }
    let context = format!(
        "queue {:?} exists with other attributes: visibility {} ms, delay {} ms, {:?} receives, then {:?}; \
         asked for: {} ms, {} ms, {:?}, {:?}",
        queue.name, stored.0, stored.1, stored.2, stored.3, wanted.0, wanted.1, wanted.2, wanted.3
    );
    Err(Error::new(ErrorKind::Invalid, context))
}

pub(super) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
