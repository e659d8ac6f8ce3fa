//! Hands out messages, and moves those that were received too often.

use super::late;
use super::queue::Queue;
use super::receipt::Receipt;
use super::schema::database_error;
use super::send::run;
use super::writer::Transaction;
use crate::{DeadLetter, Delivery, Error, Lease};
use rusqlite::params;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

struct Due {
    visible_at_ms: i64,
    message: i64,
    receive_count: i64,
    first_received_ms: Option<i64>,
    source: Option<String>,
    reason: Option<String>,
}

/// Hands out up to `max` due messages.
pub(super) fn receive(
    transaction: &Transaction<'_>,
    queue: &Queue,
    max: usize,
    now_ms: i64,
) -> Result<Vec<Delivery>, Error> {
    let mut deliveries = Vec::new();
    while deliveries.len() < max {
        let batch = due(transaction, queue, max - deliveries.len(), now_ms)?;
        if batch.is_empty() {
            break;
        }
        for due in batch {
            deliveries.extend(hand_out(transaction, queue, due, now_ms)?);
        }
        // With a visibility timeout of zero, messages stay due. A receive hands each of them out once.
        if queue.visibility_ms == 0 {
            break;
        }
    }
    Ok(deliveries)
}

fn due(
    transaction: &Transaction<'_>,
    queue: &Queue,
    max: usize,
    now_ms: i64,
) -> Result<Vec<Due>, Error> {
    let failed = |error| database_error(&format!("queue {}", queue.name), error);
    let mut statement = transaction
        .connection
        .prepare_cached(
            "SELECT visible_at_ms, message, receive_count, first_received_ms, source, reason FROM delivery
             WHERE queue = ? AND visible_at_ms <= ? ORDER BY visible_at_ms, message LIMIT ?",
        )
        .map_err(failed)?;
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let rows = statement
        .query_map(params![queue.id, now_ms, max], |row| {
            Ok(Due {
                visible_at_ms: row.get(0)?,
                message: row.get(1)?,
                receive_count: row.get(2)?,
                first_received_ms: row.get(3)?,
                source: row.get(4)?,
                reason: row.get(5)?,
            })
        })
        .map_err(failed)?;
    rows.collect::<Result<_, _>>().map_err(failed)
}

fn hand_out(
    transaction: &Transaction<'_>,
    queue: &Queue,
    due: Due,
    now_ms: i64,
) -> Result<Option<Delivery>, Error> {
    let excused = match due.receive_count {
        0 => 0,
        _ => late::excused(transaction, due.message)?,
    };
    if let Some((max, to)) = &queue.redrive
        && due.receive_count - excused >= i64::from(*max)
    {
        move_to(transaction, queue, &due, *to, None, now_ms)?;
        return Ok(None);
    }
    let failed = |error| database_error(&format!("queue {}", queue.name), error);
    let (message_id, hash, attributes, body): (String, Vec<u8>, String, Vec<u8>) = transaction
        .connection
        .prepare_cached("SELECT message_id, sha256, attributes, body FROM message WHERE id = ?")
        .and_then(|mut statement| {
            statement.query_row([due.message], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
        })
        .map_err(failed)?;
    let attributes: Option<BTreeMap<String, String>> = serde_json::from_str(&attributes).ok();
    let damage = if Sha256::digest(&body).as_slice() != hash {
        Some("corrupt: the stored body does not match its SHA-256")
    } else if attributes.is_none() {
        Some("corrupt: the stored attributes cannot be read")
    } else {
        None
    };
    if let (Some(reason), Some((_, to))) = (damage, &queue.redrive) {
        move_to(transaction, queue, &due, *to, Some(reason), now_ms)?;
        return Ok(None);
    }
    let visible_at_ms = now_ms + queue.visibility_ms;
    let receive_count = due.receive_count + 1;
    let first_received_ms = due.first_received_ms.unwrap_or(now_ms);
    run(
        transaction,
        "UPDATE delivery SET visible_at_ms = ?, receive_count = ?, first_received_ms = ?
         WHERE queue = ? AND visible_at_ms = ? AND message = ?",
        params![
            visible_at_ms,
            receive_count,
            first_received_ms,
            queue.id,
            due.visible_at_ms,
            due.message
        ],
    )?;
    let receipt = Receipt {
        queue: queue.id,
        message: due.message,
        visible_at_ms,
        receive_count,
        received_ms: now_ms,
    };
    Ok(Some(Delivery {
        message_id,
        body,
        attributes: attributes.unwrap_or_default(),
        attempt: u32::try_from(receive_count - excused).ok(),
        attempt_max: queue.redrive.as_ref().map(|(max, _)| *max),
        first_received_ms: u64::try_from(first_received_ms).ok(),
        dead_letter: due.source.map(|source| DeadLetter {
            source,
            reason: due.reason,
        }),
        lease: Lease {
            receipt: receipt.to_string(),
            deadline_ms: u64::try_from(visible_at_ms).unwrap_or(0),
        },
    }))
}

fn move_to(
    transaction: &Transaction<'_>,
    queue: &Queue,
    due: &Due,
    to: i64,
    reason: Option<&str>,
    now_ms: i64,
) -> Result<(), Error> {
    run(
        transaction,
        "UPDATE delivery SET queue = ?, visible_at_ms = ?, source = ?, reason = ?
         WHERE queue = ? AND visible_at_ms = ? AND message = ?",
        params![
            to,
            now_ms,
            queue.name,
            reason,
            queue.id,
            due.visible_at_ms,
            due.message
        ],
    )?;
    transaction.arrived(to);
    Ok(())
}
