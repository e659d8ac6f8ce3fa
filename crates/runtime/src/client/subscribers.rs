//! Whether a topic has a subscriber: without one a Command would be lost, and its sender would wait for nothing.

use crate::installation::Installation;
use pudato_messaging::ErrorKind;
use std::time::Duration;

/// Longest time of asking: it must not hold up a call where AWS is slow.
const WAIT: Duration = Duration::from_secs(3);

/// What is known about the subscribers of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subscribers {
    /// There are some.
    Some,
    /// There is none.
    None,
    /// Whether there are cannot be known, and why.
    Unknown(String),
    /// There is no such topic; publishing says so.
    NoTopic,
}

impl Subscribers {
    /// Says so where it is not known.
    pub(crate) fn unknown(&self) -> Option<String> {
        match self {
            Self::Unknown(why) => Some(format!(
                "whether anything subscribes to its topic is not known: {why}"
            )),
            _ => None,
        }
    }
}

impl Installation {
    /// Whether a topic has subscribers; asked once.
    pub(crate) async fn subscribers(&self, topic: &str) -> Subscribers {
        let mut known = self.subscribers.lock().await;
        if let Some(known) = known.get(topic) {
            return known.clone();
        }
        let asked = tokio::time::timeout(WAIT, self.operations.has_subscribers(topic)).await;
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

    /// The error about a topic that nothing subscribes to.
    pub(crate) fn no_subscriber(&self, service: &str, topic: &str) -> String {
        let remedy = (self.fabric.profile.no_subscriber_advice)(service);
        format!(
            "nothing subscribes to topic {topic}, so nobody would get a command for {service}; it was not sent. {remedy}"
        )
    }
}
