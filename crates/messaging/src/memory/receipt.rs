//! Receipts identify a copy in its state at the time of the receive. Receiving or renewing the message changes that state.

use super::state::Place;
use crate::{Error, ErrorKind, Lease};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) queue: String,
    pub(super) number: u64,
    pub(super) due_ms: u64,
    pub(super) receive_count: u32,
    pub(super) received_ms: u64,
}

impl Receipt {
    /// The place of the copy, as long as the receipt is current.
    pub(super) fn at(&self) -> Place {
        (self.due_ms, self.number)
    }

    /// The lease with this receipt. Names contain no dots, so dots can separate the parts.
    pub(super) fn lease(&self) -> Lease {
        let Self {
            queue,
            number,
            due_ms,
            receive_count,
            received_ms,
        } = self;
        Lease {
            receipt: format!("{queue}.{number}.{due_ms}.{receive_count}.{received_ms}"),
            deadline_ms: self.due_ms,
        }
    }

    /// Parses the receipt of a lease of `queue`.
    pub(super) fn of(lease: &Lease, queue: &str) -> Result<Self, Error> {
        let text = &lease.receipt;
        let invalid = |what: &str| {
            let context = format!("receipt {text:?}: {what}");
            Err(Error::new(ErrorKind::Invalid, context))
        };
        let Some(receipt) = Self::read(text) else {
            return invalid("this fabric did not issue it");
        };
        if receipt.queue != queue {
            return invalid(&format!("it belongs to another queue than {queue:?}"));
        }
        Ok(receipt)
    }

    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('.').collect();
        let [queue, number, due_ms, receive_count, received_ms] = parts[..] else {
            return None;
        };
        Some(Self {
            queue: queue.to_owned(),
            number: number.parse().ok()?,
            due_ms: due_ms.parse().ok()?,
            receive_count: receive_count.parse().ok()?,
            received_ms: received_ms.parse().ok()?,
        })
    }
}
