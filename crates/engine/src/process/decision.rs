//! A received message, and the decision about it.

use pudato_handler::FollowUp;
use pudato_messaging::IdempotencyRecord;
use pudato_protocol::{Event, Result as Reply};
use std::collections::BTreeMap;
use std::time::Duration;

/// The decision about a message (docs/design/delivery.md).
#[derive(Debug)]
pub enum Decision {
    /// The message was handled: publish the answer, then delete the message.
    Done(Box<Outcome>),
    /// The action continues elsewhere: publish the answer, schedule the follow-up, then delete the message.
    Pending(Box<Outcome>, Box<FollowUp>),
    /// The attempt failed and a later one may succeed: release the message.
    Retry {
        /// The reason.
        why: String,
        /// The shortest delay before the next attempt; `None` leaves it to the worker's backoff.
        after: Option<Duration>,
    },
    /// The same request is running elsewhere: keep the message, and check again without spending an attempt. All backends are fine.
    Busy {
        /// When the lease of the request's owner ends, in milliseconds since the Unix epoch.
        until_ms: u64,
    },
    /// A backend is down or a lock is held: keep the message, and try again without spending an attempt.
    Unavailable {
        /// The backend and how it failed.
        why: String,
    },
    /// The message cannot be handled: dead-letter it, and notify its sender if it has one.
    Reject {
        /// The reason that is stored with it.
        why: String,
        /// The error Result for its sender.
        result: Option<Box<Reply>>,
    },
}

/// The messages to publish about a handled message.
#[derive(Debug)]
pub struct Outcome {
    /// The Result.
    pub result: Reply,
    /// The Events.
    pub events: Vec<Event>,
    /// The answer to store, if the action must not run twice.
    pub answered: Option<IdempotencyRecord>,
}

/// A received message, without the right to settle it.
#[derive(Debug)]
pub struct Incoming {
    /// The backend's id of the message.
    pub message_id: String,
    /// The body of the message.
    pub body: Vec<u8>,
    /// The attributes of the message.
    pub attributes: BTreeMap<String, String>,
    /// The number of this attempt, from 1.
    pub attempt: Option<u32>,
    /// The last attempt that the queue allows.
    pub attempt_max: Option<u32>,
}

impl Incoming {
    /// The number of this attempt, if it is the last.
    pub(super) fn last_attempt(&self) -> Option<u32> {
        let (attempt, max) = (self.attempt?, self.attempt_max?);
        (attempt >= max).then_some(attempt)
    }
}
