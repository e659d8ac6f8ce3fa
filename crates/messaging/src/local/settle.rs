//! Ends deliveries: deletes, renews, releases, dead-letters and settles them.

use super::idempotency;
use super::late;
use super::queue::{Queue, milliseconds};
use super::receipt::Receipt;
use super::schema::database_error;
use super::send::{self, insert, publish, run};
use super::writer::Transaction;
use crate::topology::LEASE_MAX;
use crate::{Deleted, Error, ErrorKind, Limits, Message, Settlement};
use rusqlite::{OptionalExtension, params};
use std::time::Duration;

/// Deletes the delivery with this receipt. A message that another consumer holds is left alone.
pub(super) fn delete(
    transaction: &Transaction<'_>,
    queue: &Queue,
    receipt: Receipt,
    now_ms: i64,
) -> Result<Deleted, Error> {
    if remove_late(transaction, queue, receipt, now_ms)? {
        return Ok(Deleted::Deleted);
    }
    let there = transaction
        .connection
        .prepare_cached("SELECT 1 FROM message WHERE id = ?")
        .and_then(|mut statement| {
            let found = statement.query_row([receipt.message], |_| Ok(()));
            found.optional()
        })
        .map_err(|error| database_error("delete", error))?;
    let Some(()) = there else {
        return Ok(Deleted::Deleted);
    };
    late::excuse(transaction, receipt, now_ms)?;
    Ok(Deleted::LeaseLost)
}

/// Removes the delivery and its message, if the receipt is still current.
fn remove(transaction: &Transaction<'_>, receipt: Receipt) -> Result<bool, Error> {
    let deleted = run(
        transaction,
        "DELETE FROM delivery WHERE queue = ? AND visible_at_ms = ? AND message = ? AND receive_count = ?",
        params![
            receipt.queue,
            receipt.visible_at_ms,
            receipt.message,
            receipt.receive_count
        ],
    )?;
    if deleted == 1 {
        let sql = "DELETE FROM message WHERE id = ?";
        run(transaction, sql, params![receipt.message])?;
        if receipt.receive_count > 1 {
            late::forget(transaction, receipt.message)?;
        }
    }
    Ok(deleted == 1)
}

/// As [`remove`], but also finds a message that was moved after its last attempt, if nobody has received it since.
fn remove_late(
    transaction: &Transaction<'_>,
    queue: &Queue,
    mut receipt: Receipt,
    now_ms: i64,
) -> Result<bool, Error> {
    if remove(transaction, receipt)? {
        return Ok(true);
    }
    if !late::take_back(transaction, queue, receipt, now_ms)? {
        return Ok(false);
    }
    receipt.visible_at_ms = now_ms;
    remove(transaction, receipt)
}

/// Hides the delivery until `want` from now and returns its new receipt. This also works after the lease has ended, as long as no other
/// consumer has received the message.
pub(super) fn hide(
    transaction: &Transaction<'_>,
    queue: &Queue,
    mut receipt: Receipt,
    want: Duration,
    now_ms: i64,
) -> Result<Receipt, Error> {
    let visible_at_ms = now_ms.saturating_add(milliseconds(want));
    if want > LEASE_MAX || visible_at_ms - receipt.received_ms > milliseconds(LEASE_MAX) {
        let context = "lease: at most 12 hours after the receive";
        return Err(Error::new(ErrorKind::Invalid, context));
    }
    let changed = run(
        transaction,
        "UPDATE delivery SET visible_at_ms = ?
         WHERE queue = ? AND visible_at_ms = ? AND message = ? AND receive_count = ?",
        params![
            visible_at_ms,
            receipt.queue,
            receipt.visible_at_ms,
            receipt.message,
            receipt.receive_count
        ],
    )?;
    if changed == 0 && !late::take_back(transaction, queue, receipt, visible_at_ms)? {
        late::excuse(transaction, receipt, now_ms)?;
        return Err(lost());
    }
    receipt.visible_at_ms = visible_at_ms;
    Ok(receipt)
}

/// As [`hide`], and wakes waiting receives.
pub(super) fn release(
    transaction: &Transaction<'_>,
    queue: &Queue,
    receipt: Receipt,
    after: Duration,
    now_ms: i64,
) -> Result<(), Error> {
    hide(transaction, queue, receipt, after, now_ms)?;
    transaction.arrived(receipt.queue);
    Ok(())
}

/// Moves the delivery to the queue's dead-letter queue. Body, attributes, age and count stay.
pub(super) fn dead_letter(
    transaction: &Transaction<'_>,
    queue: &Queue,
    receipt: Receipt,
    reason: &str,
    now_ms: i64,
) -> Result<(), Error> {
    let Some((_, to)) = queue.redrive else {
        let context = format!("queue {:?} has no dead-letter queue", queue.name);
        return Err(Error::new(ErrorKind::NotFound, context));
    };
    let moved = run(
        transaction,
        "UPDATE delivery SET queue = ?, visible_at_ms = ?, source = ?, reason = ?
         WHERE queue = ? AND visible_at_ms = ? AND message = ? AND receive_count = ?",
        params![
            to,
            now_ms,
            queue.name,
            reason,
            receipt.queue,
            receipt.visible_at_ms,
            receipt.message,
            receipt.receive_count
        ],
    )?;
    if moved == 0 {
        return Err(lost());
    }
    transaction.arrived(to);
    Ok(())
}

/// Deletes the message. If the caller still held it, also publishes, schedules and stores the answer.
pub(super) fn settle(
    transaction: &Transaction<'_>,
    queue: &Queue,
    settlement: Settlement,
    now_ms: i64,
) -> Result<Deleted, Error> {
    let receipt: Receipt = settlement.lease.receipt.parse()?;
    // Checks everything that can be refused first, because the rest must not stop half-way.
    let routes = settlement
        .publish
        .iter()
        .map(|(topic, message)| send::route(transaction, topic, message));
    let routes: Vec<send::Route> = routes.collect::<Result<_, _>>()?;
    for (delay, message) in &settlement.schedule {
        Limits::SQS.check(message)?;
        Limits::SQS.check_delay(*delay)?;
    }
    if !remove_late(transaction, queue, receipt, now_ms)? {
        late::excuse(transaction, receipt, now_ms)?;
        return Ok(Deleted::LeaseLost);
    }
    for (route, (_, message)) in routes.iter().zip(&settlement.publish) {
        send::send(transaction, route, message, now_ms)?;
    }
    for (delay, message) in &settlement.schedule {
        let due = now_ms + milliseconds(*delay);
        insert(transaction, receipt.queue, message, now_ms, due)?;
    }
    if let Some(answered) = &settlement.answered {
        idempotency::finish(transaction, answered, now_ms)?;
    }
    Ok(Deleted::Deleted)
}

pub(super) fn publish_all(
    transaction: &Transaction<'_>,
    messages: &[(String, Message)],
    now_ms: i64,
) -> Result<(), Error> {
    for (topic, message) in messages {
        publish(transaction, topic, message, now_ms)?;
    }
    Ok(())
}

fn lost() -> Error {
    let context = "the message does not exist any more, or another consumer holds it";
    Error::new(ErrorKind::Invalid, context)
}
