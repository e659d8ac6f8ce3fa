//! The state of the fabric: topics, queues, subscriptions and messages.

use super::idempotency::Requests;
use crate::topology::passes;
use crate::{DeadLetter, Error, ErrorKind, Message, QueueConfig, Topology};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct State {
    /// The number of undelivered messages of each topic.
    topics: BTreeMap<String, u64>,
    pub(super) queues: BTreeMap<String, Queue>,
    /// The filter of each subscription, by topic and queue.
    subscriptions: BTreeMap<(String, String), BTreeMap<String, Vec<String>>>,
    /// The copies that are on a queue. They distinguish a lost lease from a deleted message.
    pub(super) alive: BTreeSet<u64>,
    pub(super) requests: Requests,
    /// The last number that was assigned.
    last: u64,
}

/// When a copy is due, and its number. This is the order of delivery, and it fences receipts.
pub(super) type Place = (u64, u64);

pub(super) struct Queue {
    pub(super) config: QueueConfig,
    pub(super) messages: BTreeMap<Place, StoredMessage>,
    /// Wakes waiting receives, the longest-waiting first.
    pub(super) arrivals: Arc<Notify>,
}

#[derive(Debug, Clone)]
pub(super) struct StoredMessage {
    pub(super) message_id: String,
    pub(super) content: Message,
    pub(super) sent_at_ms: u64,
    pub(super) receive_count: u32,
    /// Receives that do not count as attempts, because the holder was alive when the lease ended.
    pub(super) excused: u32,
    /// The last excused receive. Each receive is excused at most once.
    pub(super) excused_last: u32,
    pub(super) first_received_ms: Option<u64>,
    pub(super) dead_letter: Option<DeadLetter>,
}

impl State {
    pub(super) fn queue(&self, name: &str) -> Result<&Queue, Error> {
        self.queues.get(name).ok_or_else(|| unknown("queue", name))
    }

    pub(super) fn queue_mut(&mut self, name: &str) -> Result<&mut Queue, Error> {
        let queue = self.queues.get_mut(name);
        queue.ok_or_else(|| unknown("queue", name))
    }

    pub(super) fn undelivered(&self, topic: &str) -> Result<u64, Error> {
        let found = self.topics.get(topic).copied();
        found.ok_or_else(|| unknown("topic", topic))
    }

    pub(super) fn has_subscribers(&self, topic: &str) -> Result<bool, Error> {
        self.undelivered(topic)?;
        Ok(self.subscriptions.keys().any(|(heard, _)| heard == topic))
    }

    pub(super) fn declare(&mut self, topology: Topology) -> Result<(), Error> {
        topology.check()?;
        let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        // A name that is declared twice must have the same attributes both times, as in two calls.
        let mut queues: BTreeMap<&str, &QueueConfig> = BTreeMap::new();
        for queue in &topology.queues {
            let stored = self.queues.get(&queue.name).map(|queue| &queue.config);
            if *queues.entry(&queue.name).or_insert(stored.unwrap_or(queue)) != queue {
                return invalid(format!(
                    "queue {:?} exists with other attributes",
                    queue.name
                ));
            }
        }
        let mut filters = self.subscriptions.clone();
        for subscription in &topology.subscriptions {
            let (topic, queue) = (&subscription.topic, &subscription.queue);
            let filter = filters.entry((topic.clone(), queue.clone()));
            if *filter.or_insert_with(|| subscription.filter.clone()) != subscription.filter {
                return invalid(format!(
                    "subscription of {queue:?} to {topic:?} has another filter"
                ));
            }
        }
        self.subscriptions = filters;
        for topic in topology.topics {
            self.topics.entry(topic).or_default();
        }
        for config in topology.queues {
            let queue = self.queues.entry(config.name.clone());
            queue.or_insert_with(|| Queue::new(config));
        }
        Ok(())
    }

    /// Copies a checked message to every queue that subscribes to the existing `topic`, and returns its id.
    pub(super) fn publish(&mut self, topic: &str, message: Message, now_ms: u64) -> String {
        let subscribed = self.subscriptions.iter();
        let queues: Vec<String> = subscribed
            .filter(|((of, _), filter)| of == topic && passes(filter, &message.attributes))
            .map(|((_, queue), _)| queue.clone())
            .collect();
        let mut id = None;
        for queue in &queues {
            let delay = self.queues.get(queue).map(|queue| queue.config.delay);
            let due_ms = now_ms.saturating_add(milliseconds(delay.unwrap_or_default()));
            id = self.insert(queue, message.clone(), now_ms, due_ms);
        }
        id.unwrap_or_else(|| {
            *self.topics.entry(topic.to_owned()).or_default() += 1;
            let number = self.number();
            message_id(number)
        })
    }

    /// Puts a checked message on one queue, and returns its id.
    pub(super) fn insert(
        &mut self,
        queue: &str,
        content: Message,
        now_ms: u64,
        due_ms: u64,
    ) -> Option<String> {
        let number = self.number();
        let message_id = message_id(number);
        let message = StoredMessage {
            message_id: message_id.clone(),
            content,
            sent_at_ms: now_ms,
            receive_count: 0,
            excused: 0,
            excused_last: 0,
            first_received_ms: None,
            dead_letter: None,
        };
        self.queues.get_mut(queue)?.put(due_ms, number, message);
        self.alive.insert(number);
        Some(message_id)
    }

    fn number(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

impl Queue {
    fn new(config: QueueConfig) -> Self {
        Self {
            config,
            messages: BTreeMap::new(),
            arrivals: Arc::default(),
        }
    }

    /// Puts a copy on the queue and wakes waiting receives.
    pub(super) fn put(&mut self, due_ms: u64, number: u64, message: StoredMessage) {
        self.messages.insert((due_ms, number), message);
        self.arrivals.notify_waiters();
    }

    /// The place of the message with this id.
    pub(super) fn locate(&self, message_id: &str) -> Option<Place> {
        let mut messages = self.messages.iter();
        let found = messages.find(|(_, message)| message.message_id == message_id);
        found.map(|(at, _)| *at)
    }
}

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An id that looks like those of other backends and is the same in every run.
fn message_id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

fn unknown(what: &str, name: &str) -> Error {
    let context = format!("{what} {name:?} does not exist; declare it, or check its name");
    Error::new(ErrorKind::NotFound, context)
}
