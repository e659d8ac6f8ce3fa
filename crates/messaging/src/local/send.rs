//! Puts messages on queues.

use super::schema::database_error;
use super::writer::Transaction;
use crate::topology::passes;
use crate::{Error, ErrorKind, Limits, Message};
use rusqlite::{OptionalExtension, params};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

type Filter = BTreeMap<String, Vec<String>>;

/// The destination of a message. It is resolved before anything is written, so that a refusal changes nothing.
pub(super) struct Route {
    topic: String,
    /// The id and the delay of each subscribed queue.
    queues: Vec<(i64, i64)>,
}

/// Finds the queues that subscribe to a message.
pub(super) fn route(
    transaction: &Transaction<'_>,
    topic: &str,
    message: &Message,
) -> Result<Route, Error> {
    Limits::SQS.check(message)?;
    let queues = subscribed(transaction, topic)?;
    let passing = queues
        .into_iter()
        .filter(|(_, _, filter)| passes(filter, &message.attributes))
        .map(|(queue, delay_ms, _)| (queue, delay_ms));
    Ok(Route {
        topic: topic.to_owned(),
        queues: passing.collect(),
    })
}

/// Copies a message to every queue of its route, and returns the message's id.
pub(super) fn send(
    transaction: &Transaction<'_>,
    route: &Route,
    message: &Message,
    now_ms: i64,
) -> Result<String, Error> {
    if route.queues.is_empty() {
        let sql = "UPDATE topic SET unheard = unheard + 1 WHERE name = ?";
        run(transaction, sql, params![route.topic])?;
        return Ok(new_id());
    }
    let mut id = String::new();
    for (queue, delay_ms) in &route.queues {
        id = insert(transaction, *queue, message, now_ms, now_ms + delay_ms)?;
    }
    Ok(id)
}

/// Copies a message to every queue that subscribes to `topic`, and returns the message's id.
pub(super) fn publish(
    transaction: &Transaction<'_>,
    topic: &str,
    message: &Message,
    now_ms: i64,
) -> Result<String, Error> {
    let route = route(transaction, topic, message)?;
    send(transaction, &route, message, now_ms)
}

/// Puts a message on one queue.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    queue: i64,
    message: &Message,
    now_ms: i64,
    visible_at_ms: i64,
) -> Result<String, Error> {
    let id = new_id();
    let attributes = serde_json::to_string(&message.attributes)
        .map_err(|error| Error::new(ErrorKind::Invalid, "attributes").with_source(error))?;
    let hash = Sha256::digest(message.body.as_bytes());
    run(
        transaction,
        "INSERT INTO message (message_id, sent_at_ms, sha256, attributes, body) VALUES (?, ?, ?, ?, ?)",
        params![
            id,
            now_ms,
            hash.as_slice(),
            attributes,
            message.body.as_bytes()
        ],
    )?;
    let row = transaction.connection.last_insert_rowid();
    run(
        transaction,
        "INSERT INTO delivery (queue, visible_at_ms, message, receive_count) VALUES (?, ?, ?, 0)",
        params![queue, visible_at_ms, row],
    )?;
    transaction.arrived(queue);
    Ok(id)
}

/// The subscriptions to `topic`: queue id, delay, filter.
fn subscribed(
    transaction: &Transaction<'_>,
    topic: &str,
) -> Result<Vec<(i64, i64, Filter)>, Error> {
    let failed = |error| database_error(&format!("topic {topic}"), error);
    let mut statement = transaction
        .connection
        .prepare_cached(
            "SELECT queue.id, queue.delay_ms, subscription.filter FROM subscription
             JOIN queue ON queue.name = subscription.queue WHERE subscription.topic = ?",
        )
        .map_err(failed)?;
    let rows = statement
        .query_map([topic], |row| {
            let filter: String = row.get(2)?;
            let filter = match filter.as_str() {
                "{}" => Filter::new(),
                filter => serde_json::from_str(filter).unwrap_or_default(),
            };
            Ok((row.get(0)?, row.get(1)?, filter))
        })
        .map_err(failed)?;
    let queues: Vec<_> = rows.collect::<Result<_, _>>().map_err(failed)?;
    if queues.is_empty() {
        known_topic(transaction, topic)?;
    }
    Ok(queues)
}

pub(super) fn known_topic(transaction: &Transaction<'_>, topic: &str) -> Result<(), Error> {
    let found = transaction
        .connection
        .prepare_cached("SELECT 1 FROM topic WHERE name = ?")
        .and_then(|mut statement| statement.query_row([topic], |_| Ok(())).optional())
        .map_err(|error| database_error(&format!("topic {topic}"), error))?;
    found.ok_or_else(|| {
        let context = format!("topic {topic:?} does not exist; declare it, or check its name");
        Error::new(ErrorKind::NotFound, context)
    })
}

pub(super) fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<usize, Error> {
    transaction
        .connection
        .prepare_cached(sql)
        .and_then(|mut statement| statement.execute(params))
        .map_err(|error| database_error("the fabric cannot write", error))
}

fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}
