//! The services of pudato: a table of what each has on a fabric and in the settings.

use crate::names::{EVENTS, HISTORY, RESULTS};

/// The setting of the registry's database, which every program that serves on AWS needs.
pub const REGISTRY_DATABASE: &str = "REGISTRY_DATABASE_URL";

/// A service that pudato has a handler for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The name: the `type` of its Commands.
    pub name: &'static str,
    /// When the queue exists on AWS. On the embedded fabric it always exists.
    pub queue: Queue,
}

/// When a service has a queue on AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Always.
    Always,
    /// Only if a worker reads it: the service cannot run in Lambda, so without a worker its messages would wait for nothing.
    WithWorker,
}

/// All services of pudato. Each has a topic.
pub const SERVICES: [Service; 4] = [
    Service {
        name: "storage",
        queue: Queue::Always,
    },
    Service {
        name: "query",
        queue: Queue::Always,
    },
    Service {
        name: "transform",
        queue: Queue::WithWorker,
    },
    Service {
        name: "registry",
        queue: Queue::Always,
    },
];

/// The service of that name, if it is one of pudato's own.
pub fn service(name: &str) -> Option<Service> {
    SERVICES.into_iter().find(|service| service.name == name)
}

/// Whether the service has a queue wherever it has a handler. Services of other programs do.
pub fn always_has_queue(name: &str) -> bool {
    service(name).is_none_or(|service| service.queue == Queue::Always)
}

/// The names whose topic has a setting: the services, Results and Events.
pub fn topics() -> impl Iterator<Item = &'static str> {
    let services = SERVICES.into_iter().map(|service| service.name);
    services.chain([RESULTS, EVENTS])
}

/// The names whose queue has a setting: the services, the results consumer and the history of Events.
pub fn queues() -> impl Iterator<Item = &'static str> {
    let services = SERVICES.into_iter().map(|service| service.name);
    services.chain([RESULTS, HISTORY])
}

/// Whether the topic has a setting.
pub fn has_topic_setting(name: &str) -> bool {
    topics().any(|topic| topic == name)
}

/// Whether the queue has a setting.
pub fn has_queue_setting(name: &str) -> bool {
    queues().any(|queue| queue == name)
}

/// The setting of a topic's ARN.
pub fn topic_variable(name: &str) -> String {
    format!("PUDATO_{}_TOPIC_ARN", name.to_ascii_uppercase())
}

/// The setting of a queue's URL.
pub fn queue_variable(name: &str) -> String {
    format!("PUDATO_{}_QUEUE_URL", name.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::VARIABLES;

    #[test]
    fn every_topic_and_queue_of_the_table_has_its_setting_and_no_other_has() {
        let topics = topics().map(topic_variable);
        let mut expected: Vec<String> = topics.chain(queues().map(queue_variable)).collect();
        let names = VARIABLES.iter().map(|variable| variable.name);
        let found =
            names.filter(|name| name.ends_with("_TOPIC_ARN") || name.ends_with("_QUEUE_URL"));
        let mut found: Vec<String> = found.map(str::to_owned).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
    }
}
