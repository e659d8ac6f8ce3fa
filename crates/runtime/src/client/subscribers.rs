//! Whether a topic has a subscriber: without one a Command would be lost, and its sender would wait for nothing.

use crate::installation::Installation;
use pudato_messaging::ErrorKind;
use std::time::Duration;

/// The time limit of the check, so that a slow AWS does not delay a call.
const WAIT: Duration = Duration::from_secs(3);

/// What is known about the subscribers of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subscribers {
    /// The topic has subscribers.
    Some,
    /// The topic has no subscriber.
    None,
    /// The subscribers cannot be determined, and why.
    Unknown(String),
    /// The topic does not exist; publishing reports that.
    NoTopic,
}

impl Subscribers {
    /// The remark that the subscribers are unknown, if they are.
    pub(crate) fn unknown(&self) -> Option<String> {
        match self {
            Self::Unknown(why) => Some(format!(
                "pudato cannot tell whether its topic has a subscriber: {why}"
            )),
            _ => None,
        }
    }
}

impl Installation {
    /// Whether a service has a handler here, or a topic that its own program declared when it started.
    pub async fn knows(&self, service: &str) -> bool {
        let topic = self.names.commands(service);
        self.handlers.contains_key(service)
            || self.subscribers(&topic).await != Subscribers::NoTopic
    }

    /// Whether a topic has subscribers. AWS is asked once.
    pub(crate) async fn subscribers(&self, topic: &str) -> Subscribers {
        let mut known = self.subscribers.lock().await;
        if let Some(known) = known.get(topic) {
            return known.clone();
        }
        let asked = tokio::time::timeout(WAIT, self.fabric.operations.has_subscribers(topic)).await;
        let found = match asked {
            Ok(Ok(true)) => Subscribers::Some,
            Ok(Ok(false)) => Subscribers::None,
            Ok(Err(error)) if error.kind == ErrorKind::NotFound => Subscribers::NoTopic,
            Ok(Err(error)) => Subscribers::Unknown(error.to_string()),
            Err(_) => Subscribers::Unknown(format!("no answer in {} s", WAIT.as_secs())),
        };
        known.insert(topic.to_owned(), found.clone());
        found
    }

    /// The error about a topic without subscribers.
    pub(crate) fn no_subscriber(&self, service: &str, topic: &str) -> String {
        let remedy = (self.fabric.profile.no_subscriber_advice)(service);
        format!(
            "topic {topic} has no subscriber, so no worker would receive a command for {service}; it was not sent. {remedy}"
        )
    }
}
