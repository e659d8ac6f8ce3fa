//! The attempts of a hostile sender: what it sends, how each attempt must end, and what it knows about the others.

use super::random::Random;
use super::senders::Order;
use pudato_runtime::messaging::Message;
use pudato_runtime::protocol::Command;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// An attempt, and how it must end.
#[derive(Debug)]
pub struct Attempt {
    /// The description of the attempt.
    pub what: &'static str,
    pub sends: Sends,
    pub ends: Ends,
}

#[derive(Debug)]
pub enum Sends {
    Command(Box<Command>),
    /// A message to a topic of pudato, sent without the checks of the client.
    Raw {
        correlation_id: String,
        topic: Topic,
        message: Message,
    },
    /// A kill of the engine's process.
    Kill,
}

#[derive(Debug, Clone, Copy)]
pub enum Topic {
    Commands(&'static str),
    Results,
}

/// The required end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It is allowed, and succeeds.
    Done,
    /// It fails with an error Result that contains these words.
    Refused(&'static str),
    /// The fabric refuses the message.
    Unpublished,
    /// The message goes to a dead-letter queue.
    DeadLettered,
    /// The Result is recorded as a claim about another sender's step.
    Claimed,
    /// Unknown: the attempt only disturbs.
    Unknown,
}

/// The hostile sender's knowledge of the others: the steps that it may name.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Vec<Target>>);

/// A step of another sender.
#[derive(Debug, Clone)]
pub struct Target {
    pub job: String,
    pub step: String,
    pub correlation_id: String,
    pub service: String,
    pub action: String,
    pub is_declared: bool,
    pub is_finished: bool,
}

impl Seen {
    /// The steps of this order, once they are declared, or once they are finished. An undeclared step is defined by its first Result
    /// (docs/lineage.md), so it is included only after that.
    pub fn shows(&self, order: &Order, is_declared: bool, is_finished: bool) {
        let Some(step) = &order.step else {
            return;
        };
        let target = Target {
            job: step.job.clone(),
            step: step.id.clone(),
            correlation_id: order.command.correlation_id.clone(),
            service: order.command.r#type.clone(),
            action: order.command.action.clone(),
            is_declared,
            is_finished,
        };
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(target);
    }

    /// One of the steps that may be named and that match.
    pub fn some(&self, random: &mut Random, is_wanted: impl Fn(&Target) -> bool) -> Option<Target> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<&Target> = seen.iter().filter(|target| is_wanted(target)).collect();
        (!wanted.is_empty()).then(|| (*random.pick(&wanted)).clone())
    }
}

/// A raw body, with the words by which its correlation id is found.
pub fn sends_raw(
    what: &'static str,
    correlation_id: String,
    topic: Topic,
    body: String,
    ends: Ends,
) -> Attempt {
    let attributes = BTreeMap::from([("correlation_id".to_owned(), correlation_id.clone())]);
    Attempt {
        what,
        sends: Sends::Raw {
            correlation_id,
            topic,
            message: Message { body, attributes },
        },
        ends,
    }
}
