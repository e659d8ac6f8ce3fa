//! Browses, replays and purges queues.

use super::LocalFabric;
use super::late;
use super::queue;
use super::schema::database_error;
use super::send::run;
use super::settle::publish_all;
use super::writer::{Durability, Transaction};
use crate::{Counts, DeadLetter, Error, ErrorKind, Message, Operations, Stored};
use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, params};

const STORED: &str =
    "SELECT queue.name, message_id, body, attributes, sent_at_ms, visible_at_ms, receive_count,
    first_received_ms, source, reason FROM delivery JOIN message ON message.id = delivery.message
    JOIN queue ON queue.id = delivery.queue";

#[async_trait]
impl Operations for LocalFabric {
    async fn counts(&self, queue: &str) -> Result<Counts, Error> {
        let now_ms = self.now_ms();
        self.read(|connection| {
            let queue = queue::find(connection, queue)?;
            connection
                .query_row(
                    "SELECT COUNT(*) FILTER (WHERE visible_at_ms <= ?2),
                        COUNT(*) FILTER (WHERE visible_at_ms > ?2 AND receive_count > 0),
                        COUNT(*) FILTER (WHERE visible_at_ms > ?2 AND receive_count = 0)
                     FROM delivery WHERE queue = ?1",
                    params![queue.id, now_ms],
                    |row| {
                        Ok(Counts {
                            visible: row.get(0)?,
                            in_flight: row.get(1)?,
                            delayed: row.get(2)?,
                        })
                    },
                )
                .map_err(|error| database_error(&queue.name, error))
        })
    }

    async fn browse(&self, queue: &str, max: usize) -> Result<Vec<Stored>, Error> {
        self.read(|connection| {
            let queue = queue::find(connection, queue)?;
            let failed = |error| database_error(&queue.name, error);
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            let sql = format!("{STORED} WHERE delivery.queue = ? ORDER BY message.id LIMIT ?");
            let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
            let rows = statement.query_map(params![queue.id, max], stored);
            rows.and_then(Iterator::collect).map_err(failed)
        })
    }

    async fn unexplained(&self, dead_letters: &str, max: usize) -> Result<Vec<Stored>, Error> {
        self.read(|connection| {
            let queue = queue::find(connection, dead_letters)?;
            let failed = |error| database_error(&queue.name, error);
            let max = i64::try_from(max).unwrap_or(i64::MAX);
            let sql = format!(
                "{STORED} WHERE delivery.queue = ? AND source IS NOT NULL AND reason IS NULL
                 ORDER BY message.id LIMIT ?"
            );
            let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
            let rows = statement.query_map(params![queue.id, max], stored);
            rows.and_then(Iterator::collect).map_err(failed)
        })
    }

    async fn has_subscribers(&self, topic: &str) -> Result<bool, Error> {
        self.undelivered(topic).await?;
        self.read(|connection| {
            let sql = "SELECT EXISTS (SELECT 1 FROM subscription WHERE topic = ?)";
            connection
                .query_row(sql, [topic], |row| row.get(0))
                .map_err(|error| database_error(topic, error))
        })
    }

    async fn find(&self, name: &str, value: &str) -> Result<Vec<Stored>, Error> {
        self.read(|connection| {
            let failed = |error| database_error("find", error);
            let sql = format!(
                "{STORED} WHERE EXISTS (SELECT 1 FROM json_each(message.attributes)
                 WHERE key = ? AND value = ?) ORDER BY message.id"
            );
            let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
            let rows = statement.query_map(params![name, value], stored);
            rows.and_then(Iterator::collect).map_err(failed)
        })
    }

    async fn replay(
        &self,
        dead_letters: &str,
        message_ids: &[String],
        to: Option<&str>,
    ) -> Result<u64, Error> {
        let (from, ids) = (dead_letters.to_owned(), message_ids.to_vec());
        let (to, now_ms) = (to.map(str::to_owned), self.now_ms());
        self.write(Durability::Synced, move |transaction| {
            let from = queue::find(transaction.connection, &from)?;
            if let Some(to) = &to {
                // An unknown queue is refused even if there is nothing to move.
                queue::find(transaction.connection, to)?;
            }
            let mut moved = 0;
            for id in &ids {
                let Some((message, source)) = locate(transaction, from.id, id)? else {
                    continue;
                };
                let to = to.clone().or(source).ok_or_else(|| {
                    let context = format!(
                        "message {id}: it did not come to {:?} from another queue; name the queue to send it to",
                        from.name
                    );
                    Error::new(ErrorKind::NotFound, context)
                })?;
                let to = queue::find(transaction.connection, &to)?;
                run(
                    transaction,
                    "UPDATE delivery SET queue = ?, visible_at_ms = ?, receive_count = 0, source = NULL,
                     reason = NULL WHERE queue = ? AND message = ?",
                    params![to.id, now_ms, from.id, message],
                )?;
                late::forget(transaction, message)?;
                transaction.arrived(to.id);
                moved += 1;
            }
            Ok(moved)
        })
        .await
    }

    async fn purge(&self, queue: &str, message_ids: Option<&[String]>) -> Result<u64, Error> {
        let (queue, ids) = (queue.to_owned(), message_ids.map(<[String]>::to_vec));
        self.write(Durability::Synced, move |transaction| {
            let queue = queue::find(transaction.connection, &queue)?;
            let Some(ids) = ids else {
                let sql = "DELETE FROM message WHERE id IN (SELECT message FROM delivery WHERE queue = ?)";
                run(transaction, sql, [queue.id])?;
                let sql = "DELETE FROM excused WHERE message IN (SELECT message FROM delivery WHERE queue = ?)";
                run(transaction, sql, [queue.id])?;
                let sql = "DELETE FROM delivery WHERE queue = ?";
                return Ok(run(transaction, sql, [queue.id])? as u64);
            };
            let mut purged = 0;
            for id in &ids {
                if let Some((message, _)) = locate(transaction, queue.id, id)? {
                    let sql = "DELETE FROM delivery WHERE queue = ? AND message = ?";
                    run(transaction, sql, params![queue.id, message])?;
                    run(transaction, "DELETE FROM message WHERE id = ?", [message])?;
                    late::forget(transaction, message)?;
                    purged += 1;
                }
            }
            Ok(purged)
        })
        .await
    }

    async fn explain(
        &self,
        dead_letters: &str,
        message_id: &str,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<bool, Error> {
        let (queue, id) = (dead_letters.to_owned(), message_id.to_owned());
        let (reason, now_ms) = (reason.to_owned(), self.now_ms());
        self.write(Durability::Synced, move |transaction| {
            let queue = queue::find(transaction.connection, &queue)?;
            let Some((message, _)) = locate(transaction, queue.id, &id)? else {
                return Ok(false);
            };
            let changed = run(
                transaction,
                "UPDATE delivery SET reason = ?
                 WHERE queue = ? AND message = ? AND source IS NOT NULL AND reason IS NULL",
                params![reason, queue.id, message],
            )?;
            if changed == 0 {
                return Ok(false);
            }
            publish_all(transaction, &publish, now_ms)?;
            Ok(true)
        })
        .await
    }
}

/// Returns the row of a message on `queue`, and the queue that it came from.
fn locate(
    transaction: &Transaction<'_>,
    queue: i64,
    message_id: &str,
) -> Result<Option<(i64, Option<String>)>, Error> {
    transaction
        .connection
        .prepare_cached(
            "SELECT message.id, delivery.source FROM delivery JOIN message ON message.id = delivery.message
             WHERE delivery.queue = ? AND message.message_id = ?",
        )
        .and_then(|mut statement| {
            let found = statement.query_row(params![queue, message_id], |row| {
                Ok((row.get(0)?, row.get(1)?))
            });
            found.optional()
        })
        .map_err(|error| database_error("find", error))
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let attributes: String = row.get(3)?;
    let source: Option<String> = row.get(8)?;
    let reason = row.get(9)?;
    Ok(Stored {
        queue: row.get(0)?,
        message_id: row.get(1)?,
        body: row.get(2)?,
        attributes: serde_json::from_str(&attributes).unwrap_or_default(),
        sent_at_ms: row.get(4)?,
        visible_at_ms: row.get(5)?,
        receive_count: row.get(6)?,
        attempts: row.get(6)?,
        first_received_ms: row.get(7)?,
        dead_letter: source.map(|source| DeadLetter { source, reason }),
    })
}
