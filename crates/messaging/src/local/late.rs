//! Handles leases that ended while their holder was alive, because a machine can be busier than a lease is long. If no other consumer
//! received the message since, the holder gets it back; otherwise the attempt does not count.

use super::queue::Queue;
use super::receipt::Receipt;
use super::schema::database_error;
use super::send::run;
use super::writer::Transaction;
use crate::Error;
use rusqlite::{OptionalExtension, params};

/// The number of receives of a message that do not count as attempts.
pub(super) fn excused(transaction: &Transaction<'_>, message: i64) -> Result<i64, Error> {
    transaction
        .connection
        .prepare_cached("SELECT attempts FROM excused WHERE message = ?")
        .and_then(|mut statement| {
            let found = statement.query_row([message], |row| row.get(0));
            found.optional()
        })
        .map(Option::unwrap_or_default)
        .map_err(|error| database_error("excused attempts", error))
}

/// Excuses the attempt of an ended lease, if another consumer has received the message since.
pub(super) fn excuse(
    transaction: &Transaction<'_>,
    receipt: Receipt,
    now_ms: i64,
) -> Result<(), Error> {
    if receipt.visible_at_ms > now_ms {
        // The lease did not end: its holder released the message.
        return Ok(());
    }
    // A message that was received since is due later than the lease was, so this looks at few rows.
    run(
        transaction,
        "INSERT INTO excused (message, attempts, receive)
         SELECT message, 1, ?4 FROM delivery
         WHERE queue = ?1 AND visible_at_ms > ?2 AND message = ?3 AND receive_count > ?4
         ON CONFLICT DO UPDATE SET attempts = attempts + 1, receive = excluded.receive
         WHERE excluded.receive > receive",
        params![
            receipt.queue,
            receipt.visible_at_ms,
            receipt.message,
            receipt.receive_count
        ],
    )?;
    Ok(())
}

/// Excuses the attempt of a message that its holder returned without having handled it.
pub(super) fn not_handled(transaction: &Transaction<'_>, receipt: Receipt) -> Result<(), Error> {
    run(
        transaction,
        "INSERT INTO excused (message, attempts, receive) VALUES (?, 1, ?)
         ON CONFLICT DO UPDATE SET attempts = attempts + 1, receive = excluded.receive
         WHERE excluded.receive > receive",
        params![receipt.message, receipt.receive_count],
    )?;
    Ok(())
}

/// Takes back a message that was moved after its last attempt, if nobody has received or explained it since.
pub(super) fn take_back(
    transaction: &Transaction<'_>,
    queue: &Queue,
    receipt: Receipt,
    visible_at_ms: i64,
) -> Result<bool, Error> {
    let Some((_, dead_letters)) = queue.redrive else {
        return Ok(false);
    };
    let changed = run(
        transaction,
        "UPDATE delivery SET queue = ?, visible_at_ms = ?, source = NULL
         WHERE queue = ? AND visible_at_ms >= ? AND message = ? AND receive_count = ?
             AND source = ? AND reason IS NULL",
        params![
            receipt.queue,
            visible_at_ms,
            dead_letters,
            receipt.visible_at_ms,
            receipt.message,
            receipt.receive_count,
            queue.name
        ],
    )?;
    Ok(changed == 1)
}

/// Removes the excused attempts of a message that is gone or whose count restarts.
pub(super) fn forget(transaction: &Transaction<'_>, message: i64) -> Result<(), Error> {
    let sql = "DELETE FROM excused WHERE message = ?";
    run(transaction, sql, [message]).map(|_| ())
}
