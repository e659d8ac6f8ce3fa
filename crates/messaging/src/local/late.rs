//! Holders of leases that ended while they live: a machine may be busier than a lease is long. What nobody received since is theirs
//! again; and where somebody did, the attempt that ended so is not counted.

use super::queue::Queue;
use super::receipt::Receipt;
use super::schema::database_error;
use super::send::run;
use super::writer::Transaction;
use crate::Error;
use rusqlite::{OptionalExtension, params};

/// How many receives of a message were no attempts.
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

/// Excuses the attempt of a lease that ended, where its message was received since.
pub(super) fn excuse(
    transaction: &Transaction<'_>,
    receipt: Receipt,
    now_ms: i64,
) -> Result<(), Error> {
    if receipt.visible_at_ms > now_ms {
        // It did not end: its holder gave the message back.
        return Ok(());
    }
    // What was received since is due later than the lease was, so few rows are looked at.
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

/// Takes back a message that was moved after its last attempt, where nobody received or explained it since.
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

/// Forgets what was excused of a message that is gone, or counts anew.
pub(super) fn forget(transaction: &Transaction<'_>, message: i64) -> Result<(), Error> {
    let sql = "DELETE FROM excused WHERE message = ?";
    run(transaction, sql, [message]).map(|_| ())
}
