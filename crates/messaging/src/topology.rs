use crate::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest name of a topic or queue (SQS's limit, behaviours.md row 25).
const NAME_CHARS_MAX: usize = 80;

/// Topics, queues, and which queue hears which topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// Names of topics.
    pub topics: Vec<String>,
    /// Queues; a dead-letter queue stands in the list as well.
    pub queues: Vec<QueueConfig>,
    /// What is copied where.
    pub subscriptions: Vec<Subscription>,
}

/// A queue as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// Its name.
    pub name: String,
    /// How long a received message is hidden from others.
    pub visibility: Duration,
    /// How long a new message is hidden from everybody.
    pub delay: Duration,
    /// What happens to a message that is received too often.
    pub redrive: Option<Redrive>,
}

/// When and where a message is moved that nobody manages to handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// Receives that are allowed; the next one moves the message.
    pub max_receive_count: u32,
    /// The queue it is moved to.
    pub dead_letter_queue: String,
}

/// A queue that hears a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The topic.
    pub topic: String,
    /// The queue.
    pub queue: String,
    /// Attribute names and the values that pass; a message passes when each named attribute has one of them. Empty: all pass.
    pub filter: BTreeMap<String, Vec<String>>,
}

impl QueueConfig {
    /// A queue with contract.md's visibility of 60 s, without delay and without a dead-letter queue.
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
    /// Every message of `topic` is copied to `queue`.
    pub fn new(topic: impl Into<String>, queue: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            queue: queue.into(),
            filter: BTreeMap::new(),
        }
    }

    /// Whether a message with these attributes passes.
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
    /// Checks what every backend refuses.
    ///
    /// # Errors
    /// `Invalid`: a name, a number out of range, a dead-letter queue or subscription that points at nothing or at itself.
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
    /// A message that nobody can handle must come to an end (behaviours.md, line 39).
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
        let what = format!("queue {name}: its dead-letter queues go round in a circle");
        Err(Error::new(ErrorKind::Invalid, what))
    }
}

/// Longest lease from the receive on (SQS, behaviours.md row 11).
pub(crate) const LEASE_MAX: Duration = Duration::from_secs(43_200);
/// Longest delay (SQS, behaviours.md row 13).
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
    fn dead_letter_queues_form_chains_and_no_circles() {
        let topology = |last: QueueConfig| Topology {
            queues: vec![
                QueueConfig::new("a").redrive(3, "b"),
                QueueConfig::new("b").redrive(3, "c"),
                last,
            ],
            ..Topology::default()
        };
        assert!(topology(QueueConfig::new("c")).check().is_ok());
        let circle = topology(QueueConfig::new("c").redrive(3, "a")).check();
        let error = circle.expect_err("refused").to_string();
        assert!(error.contains("go round in a circle"), "{error}");
    }
}
