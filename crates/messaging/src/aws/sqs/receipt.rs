//! Receipts: the handle of SQS together with the message id and the queue, so that a receipt of another queue is refused.

use crate::{Error, ErrorKind, Lease};

/// A parsed receipt.
pub(super) struct Receipt<'a> {
    pub(super) message_id: &'a str,
    pub(super) handle: &'a str,
    /// When the message was received, in milliseconds since the Unix epoch.
    pub(super) received_ms: u64,
}

/// Neither queue names nor ids nor numbers contain this character.
const SEPARATOR: char = '|';

pub(in crate::aws) fn write(
    queue: &str,
    message_id: &str,
    received_ms: u64,
    handle: &str,
) -> String {
    format!("{queue}{SEPARATOR}{message_id}{SEPARATOR}{received_ms}{SEPARATOR}{handle}")
}

pub(super) fn read<'a>(queue: &str, lease: &'a Lease) -> Result<Receipt<'a>, Error> {
    let mut parts = lease.receipt.splitn(4, SEPARATOR);
    let own = parts.next() == Some(queue);
    let (message_id, received_ms, handle) = (parts.next(), parts.next(), parts.next());
    let received_ms = received_ms.and_then(|ms| ms.parse().ok());
    match (message_id, received_ms, handle) {
        (Some(message_id), Some(received_ms), Some(handle)) if own && !handle.is_empty() => {
            Ok(Receipt {
                message_id,
                handle,
                received_ms,
            })
        }
        _ => {
            let what = format!("receipt: queue {queue} did not issue it");
            Err(Error::new(ErrorKind::Invalid, what))
        }
    }
}
