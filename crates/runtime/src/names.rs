//! The names of topics and queues (docs/design/delivery.md, "Names and numbers").

pub use pudato_engine::{HISTORY, RESULTS};
use pudato_messaging::{QueueConfig, Subscription, Topology};
use std::time::Duration;

/// The number of attempts of a command (docs/design/delivery.md).
const RECEIVE_COUNT_MAX: u32 = 6;
/// The number of attempts of a Result. It is high because a Result is not at fault when the registry is down (docs/design/delivery.md).
const RESULTS_RECEIVE_COUNT_MAX: u32 = 100;

/// The word for Events in the name of their topic.
pub const EVENTS: &str = "events";

/// The names of one installation. Several installations may share an account or a machine if their prefixes differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    /// Names that begin with `prefix`; the default is `pudato`.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self {
            prefix: prefix.into(),
        }
    }

    /// The topic that a service's Commands are published to.
    ///
    /// ```
    /// use pudato_runtime::Names;
    /// assert_eq!(Names::new("pudato").commands("storage"), "pudato-storage-commands");
    /// ```
    pub fn commands(&self, service: &str) -> String {
        format!("{}-{service}-commands", self.prefix)
    }

    /// The topic that Results are published to.
    pub fn results(&self) -> String {
        format!("{}-{RESULTS}", self.prefix)
    }

    /// The topic that Events are published to.
    pub fn events(&self) -> String {
        format!("{}-{EVENTS}", self.prefix)
    }

    /// The queue of a service, of the results consumer, or of a subscriber of Events.
    pub fn queue(&self, name: &str) -> String {
        format!("{}-{name}-queue", self.prefix)
    }

    /// The reader of this queue: the name that [`Names::queue`] was given.
    ///
    /// ```
    /// use pudato_runtime::Names;
    /// assert_eq!(Names::new("pudato").reader_of("pudato-query-queue"), Some("query"));
    /// assert_eq!(Names::new("pudato").reader_of("pudato-query-dlq"), None);
    /// ```
    pub fn reader_of<'a>(&self, queue: &'a str) -> Option<&'a str> {
        let rest = queue.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        rest.strip_suffix("-queue")
    }

    /// The kind of messages on a topic: the name of a service, `results` or `events`; `None` if the topic is not of this installation.
    ///
    /// ```
    /// use pudato_runtime::Names;
    /// assert_eq!(Names::new("pudato").carries("pudato-query-commands"), Some("query"));
    /// assert_eq!(Names::new("pudato").carries("pudato-results"), Some("results"));
    /// assert_eq!(Names::new("pudato").carries("other-results"), None);
    /// ```
    pub fn carries<'a>(&self, topic: &'a str) -> Option<&'a str> {
        let rest = topic.strip_prefix(&self.prefix)?.strip_prefix('-')?;
        match rest {
            RESULTS | EVENTS => Some(rest),
            _ => rest.strip_suffix("-commands"),
        }
    }

    /// The dead-letter queue of a service, of the results consumer, or of a subscriber of Events.
    pub fn dead_letters(&self, name: &str) -> String {
        format!("{}-{name}-dlq", self.prefix)
    }

    /// The topics, queues and subscriptions of `services`, of the results consumer, and of the subscribers of Events.
    pub fn topology(
        &self,
        services: &[String],
        listeners: &[String],
        visibility: Duration,
    ) -> Topology {
        let mut topology = Topology {
            topics: vec![self.results(), self.events()],
            ..Topology::default()
        };
        for service in services {
            topology.topics.push(self.commands(service));
            self.subscribe(
                &mut topology,
                self.commands(service),
                service,
                RECEIVE_COUNT_MAX,
            );
        }
        self.subscribe(
            &mut topology,
            self.results(),
            RESULTS,
            RESULTS_RECEIVE_COUNT_MAX,
        );
        for listener in listeners {
            self.subscribe(
                &mut topology,
                self.events(),
                listener,
                RESULTS_RECEIVE_COUNT_MAX,
            );
        }
        for queue in &mut topology.queues {
            queue.visibility = visibility;
        }
        topology
    }

    fn subscribe(&self, topology: &mut Topology, topic: String, name: &str, receives_max: u32) {
        let (queue, dead_letters) = (self.queue(name), self.dead_letters(name));
        let dead = QueueConfig::new(&dead_letters);
        let config = QueueConfig::new(&queue).redrive(receives_max, dead_letters);
        topology.queues.extend([config, dead]);
        topology.subscriptions.push(Subscription::new(topic, queue));
    }
}
