//! A message, and what becomes of it.

use pudato_handler::FollowUp;
use pudato_messaging::IdempotencyRecord;
use pudato_protocol::{Event, Result as Reply};
use std::collections::BTreeMap;
use std::time::Duration;

/// What shall happen to a message (docs/design/delivery.md).
#[derive(Debug)]
pub enum Decision {
    /// It was handled: publish, then delete.
    Done(Box<Outcome>),
    /// It goes on elsewhere: publish, schedule the follow-up, then delete.
    Pending(Box<Outcome>, Box<FollowUp>),
    /// It had bad luck: let it come again.
    Retry {
        /// What happened.
        why: String,
        /// No sooner than this; the worker's backoff where it is `None`.
        after: Option<Duration>,
    },
    /// The same request runs elsewhere: keep it, and look again without spending an attempt. Nothing is wrong with any backend.
    Busy {
        /// Who has it is known to have it until then, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// A backend is down or a lock is held: keep it, and try again without spending an attempt.
    Unavailable {
        /// Which, and how it is known.
        why: String,
    },
    /// Nobody can handle it: dead-letter it, and tell its sender where there is one.
    Reject {
        /// The reason that is kept with it.
        why: String,
        /// The error Result for its sender.
        result: Option<Box<Reply>>,
    },
}

/// What is published about a handled message.
#[derive(Debug)]
pub struct Outcome {
    /// The Result.
    pub result: Reply,
    /// The Events.
    pub events: Vec<Event>,
    /// The answer to keep, where the action must not run twice.
    pub answered: Option<IdempotencyRecord>,
}

/// A message as it was received, without the right to settle it.
#[derive(Debug)]
pub struct Incoming {
    /// The backend's id of it.
    pub message_id: String,
    /// Its body.
    pub body: Vec<u8>,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// Which attempt this is, from 1.
    pub attempt: Option<u32>,
    /// The last attempt that it has.
    pub attempt_max: Option<u32>,
}

impl Incoming {
    /// The number of this attempt, if it is the last.
    pub(super) fn last_attempt(&self) -> Option<u32> {
        let (attempt, max) = (self.attempt?, self.attempt_max?);
        (attempt >= max).then_some(attempt)
    }
}
