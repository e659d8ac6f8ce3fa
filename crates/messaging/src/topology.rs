use crate::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest name of a topic or queue, as on SQS.
const NAME_CHARS_MAX: usize = 80;

/// Topics, queues, and the subscriptions between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// The names of the topics.
    pub topics: Vec<String>,
    /// The queues, including dead-letter queues.
    pub queues: Vec<QueueConfig>,
    /// The subscriptions of queues to topics.
    pub subscriptions: Vec<Subscription>,
}

/// The declaration of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// The name of the queue.
    pub name: String,
    /// How long a received message is hidden from others.
    pub visibility: Duration,
    /// How long a new message is hidden from all consumers.
    pub delay: Duration,
    /// Where a message goes that is received too often.
    pub redrive: Option<Redrive>,
}

/// When a message that cannot be handled is moved, and where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// The allowed number of receives; the next one moves the message.
    pub max_receive_count: u32,
    /// The queue that the message is moved to.
    pub dead_letter_queue: String,
}

/// The subscription of a queue to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// The queue.
    pub queue: String,
    /// Attribute names with the values that pass. A message passes if each named attribute has one of its values; an empty filter passes
    /// all messages.
    pub filter: BTreeMap<String, Vec<String>>,
}

impl QueueConfig {
    /// A queue with a visibility timeout of 60 s, no delay and no dead-letter queue.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            visibility: Duration::from_secs(60),
            delay: Duration::ZERO,
            redrive: None,
        }
    }

    /// Sets the dead-letter queue.
    #[must_use]
    pub fn redrive(mut self, max_receive_count: u32, dead_letter_queue: impl Into<String>) -> Self {
        self.redrive = Some(Redrive {
            max_receive_count,
            dead_letter_queue: dead_letter_queue.into(),
        });
        self
    }
}

impl Subscription {
    /// Copies every message of `topic` to `queue`.
    pub fn new(topic: impl Into<String>, queue: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            queue: queue.into(),
            filter: BTreeMap::new(),
        }
    }

    /// Whether a message with these attributes passes the filter.
    pub fn passes(&self, attributes: &BTreeMap<String, String>) -> bool {
        passes(&self.filter, attributes)
    }
}

pub(crate) fn passes(
    filter: &BTreeMap<String, Vec<String>>,
    attributes: &BTreeMap<String, String>,
) -> bool {
    filter
        .iter()
        .all(|(name, allowed)| attributes.get(name).is_some_and(|v| allowed.contains(v)))
}

impl Topology {
    /// Checks what every backend would refuse.
    ///
    /// # Errors
    /// `Invalid`: a name or number out of range, or a dead-letter queue or subscription that refers to nothing or to itself.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        for name in self
            .topics
            .iter()
            .chain(self.queues.iter().map(|queue| &queue.name))
        {
            check_name(name)?;
        }
        for queue in &self.queues {
            let name = &queue.name;
            if queue.visibility > LEASE_MAX {
                return invalid(format!("queue {name}: visibility: at most 12 hours"));
            }
            if queue.delay > DELAY_MAX {
                return invalid(format!("queue {name}: delay: at most 900 seconds"));
            }
            if let Some(redrive) = &queue.redrive {
                let to = &redrive.dead_letter_queue;
                if to == name {
                    return invalid(format!(
                        "queue {name}: it cannot be its own dead-letter queue"
                    ));
                }
                if redrive.max_receive_count == 0 {
                    return invalid(format!("queue {name}: max_receive_count: at least 1"));
                }
                if !self.queues.iter().any(|other| &other.name == to) {
                    return invalid(format!(
                        "queue {name}: its dead-letter queue {to:?} is not declared"
                    ));
                }
            }
        }
        for queue in &self.queues {
            self.check_end(queue)?;
        }
        for Subscription { topic, queue, .. } in &self.subscriptions {
            if !self.topics.contains(topic) || !self.queues.iter().any(|q| &q.name == queue) {
                return invalid(format!(
                    "subscription of {queue:?} to {topic:?}: both must be declared"
                ));
            }
        }
        Ok(())
    }
}

impl Topology {
    /// A message that cannot be handled must leave the queue eventually.
    fn check_end(&self, queue: &QueueConfig) -> Result<(), Error> {
        let find = |name: &str| self.queues.iter().find(|queue| queue.name == name);
        let mut at = queue;
        for _ in 0..self.queues.len() {
            let Some(next) = at.redrive.as_ref().and_then(|r| find(&r.dead_letter_queue)) else {
                return Ok(());
            };
            at = next;
        }
        let name = &queue.name;
        let what = format!("queue {name}: its dead-letter queues form a cycle");
        Err(Error::new(ErrorKind::Invalid, what))
    }
}

/// The longest lease, counted from the receive, as on SQS.
pub(crate) const LEASE_MAX: Duration = Duration::from_secs(43_200);
/// The longest delay, as on SQS.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(900);

fn check_name(name: &str) -> Result<(), Error> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(legal) {
        let what = format!("name {name:?}: expected 1 to 80 letters, digits, '-' or '_'");
        return Err(Error::new(ErrorKind::Invalid, what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letter_queues_form_chains_and_no_cycles() {
        let topology = |last: QueueConfig| Topology {
            queues: vec![
                QueueConfig::new("a").redrive(3, "b"),
                QueueConfig::new("b").redrive(3, "c"),
                last,
            ],
            ..Topology::default()
        };
        assert!(topology(QueueConfig::new("c")).check().is_ok());
        let cycle = topology(QueueConfig::new("c").redrive(3, "a")).check();
        let error = cycle.expect_err("refused").to_string();
        assert!(error.contains("form a cycle"), "{error}");
    }
}
