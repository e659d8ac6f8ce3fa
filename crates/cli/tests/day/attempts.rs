//! What a hostile sender sends, how each of it must end, and what it knows of the others.

use super::random::Random;
use super::senders::Order;
use pudato_runtime::messaging::Message;
use pudato_runtime::protocol::Command;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What is sent, and how it must end.
#[derive(Debug)]
pub struct Attempt {
    /// For people.
    pub what: &'static str,
    pub sends: Sends,
    pub ends: Ends,
}

#[derive(Debug)]
pub enum Sends {
    Command(Box<Command>),
    /// Past the checks of the client, to a topic of pudato.
    Raw {
        correlation_id: String,
        topic: Topic,
        message: Message,
    },
    /// The engine's process is killed.
    Kill,
}

#[derive(Debug, Clone, Copy)]
pub enum Topic {
    Commands(&'static str),
    Results,
}

/// How an attempt must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It was allowed, and is done.
    Done,
    /// With an error Result that has these words.
    Refused(&'static str),
    /// The fabric does not take it.
    Unpublished,
    /// In a dead-letter queue.
    DeadLettered,
    /// It is kept as a claim about somebody else's step.
    Claimed,
    /// Nothing is known of it: it only disturbs.
    Unknown,
}

/// What the hostile sender knows of the others: the steps that may be named.
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
    /// Others may see a step of this order: once it is declared, and once it is finished. A step that nobody declared is what its first
    /// Result says (docs/lineage.md), so it is shown only then.
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

    /// One of those that may be named and are wanted.
    pub fn some(&self, random: &mut Random, is_wanted: impl Fn(&Target) -> bool) -> Option<Target> {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<&Target> = seen.iter().filter(|target| is_wanted(target)).collect();
        (!wanted.is_empty()).then(|| (*random.pick(&wanted)).clone())
    }
}

/// A body as it is, with what its correlation id is found by.
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
