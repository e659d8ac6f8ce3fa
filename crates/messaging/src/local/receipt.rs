//! Receipts identify a delivery in its state at the time of the receive. Receiving or renewing the message changes that state, so an old
//! receipt matches nothing (fencing).

use crate::{Error, ErrorKind};
use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) queue: i64,
    pub(super) message: i64,
    pub(super) visible_at_ms: i64,
    pub(super) receive_count: i64,
    pub(super) received_ms: i64,
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            queue,
            message,
            visible_at_ms,
            receive_count,
            received_ms,
        } = self;
        write!(
            f,
            "{queue}.{message}.{visible_at_ms}.{receive_count}.{received_ms}"
        )
    }
}

impl FromStr for Receipt {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parts: Vec<Option<i64>> = text.split('.').map(|part| part.parse().ok()).collect();
        match parts[..] {
            [
                Some(queue),
                Some(message),
                Some(visible_at_ms),
                Some(receive_count),
                Some(received_ms),
            ] => Ok(Self {
                queue,
                message,
                visible_at_ms,
                receive_count,
                received_ms,
            }),
            _ => Err(Error::new(
                ErrorKind::Invalid,
                format!("receipt {text:?}: this fabric did not issue it"),
            )),
        }
    }
}
