//! Whether anybody hears a topic: a Command to one that nobody does would be lost, and its sender would wait for nothing.

use crate::settings::Fabric;
use crate::wiring::Pudato;
use pudato_messaging::ErrorKind;
use std::time::Duration;

/// Longest time of asking: it must not hold up a call where AWS is slow.
const WAIT: Duration = Duration::from_secs(3);

/// What is known about the subscribers of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// There are some.
    Heard,
    /// There is none.
    Unheard,
    /// Whether there are cannot be known, and why.
    Unknown(String),
    /// There is no such topic; publishing says so.
    NoTopic,
}

impl Hearing {
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

impl Pudato {
    /// Whether anybody hears a topic; asked once.
    pub(crate) async fn hearing(&self, topic: &str) -> Hearing {
        let mut known = self.hearing.lock().await;
        if let Some(known) = known.get(topic) {
            return known.clone();
        }
        let asked = tokio::time::timeout(WAIT, self.operations.is_heard(topic)).await;
        let found = match asked {
            Ok(Ok(true)) => Hearing::Heard,
            Ok(Ok(false)) => Hearing::Unheard,
            Ok(Err(error)) if error.kind == ErrorKind::NotFound => Hearing::NoTopic,
            Ok(Err(error)) => Hearing::Unknown(error.to_string()),
            Err(_) => Hearing::Unknown(format!("no answer in {} s", WAIT.as_secs())),
        };
        known.insert(topic.to_owned(), found.clone());
        found
    }

    /// What to say where nobody hears the topic of a service.
    pub(crate) fn unheard(&self, service: &str, topic: &str) -> String {
        let remedy = match (self.settings().fabric, service) {
            (Fabric::Aws, "transform") => {
                "`pudato topology apply` makes the queue of transform where a dbt project is set (DBT_PROJECT_DIR or PUDATO_LOGIC_REPO_URL)"
            }
            (Fabric::Aws, _) => "`pudato topology diff` shows what is missing",
            (Fabric::Embedded, _) => {
                "the program that handles it subscribes its queue when it starts"
            }
        };
        format!(
            "nothing subscribes to topic {topic}, so nobody would get a command for {service}; it was not sent. {remedy}"
        )
    }
}
