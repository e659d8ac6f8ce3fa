//! The resources of a topology on AWS, with the attributes that they must have. This makes no calls.

use crate::{QueueConfig, Subscription, Topology};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// How long a queue keeps a message that nobody handles: 7 days (docs/design/delivery.md).
const RETENTION_SECONDS: u64 = 7 * 86_400;
/// A dead-letter queue keeps it longer, since the time since it was sent counts there too (docs/design/sns-sqs.md, "Age of dead letters"): 14 days, the most
/// that SQS allows.
const RETENTION_DEAD_SECONDS: u64 = 14 * 86_400;

/// The account and region of the resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::aws) struct Account {
    pub(super) partition: String,
    pub(super) region: String,
    pub(super) id: String,
}

impl Account {
    pub(in crate::aws) fn arn(&self, service: &str, name: &str) -> String {
        let Self {
            partition,
            region,
            id,
        } = self;
        format!("arn:{partition}:{service}:{region}:{id}:{name}")
    }
}

/// The kind of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Topic,
    Queue,
    Subscription { topic: String, queue: String },
}

/// A resource with its required attributes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resource {
    pub(super) kind: Kind,
    /// The name for people: `queue pudato-storage-queue`.
    pub(super) title: String,
    pub(super) name: String,
    /// The attributes: numbers and words as texts, policies as JSON.
    pub(super) attributes: BTreeMap<&'static str, Value>,
}

const UNDELIVERED: &str = "-undelivered";
/// The longest name of a queue (docs/design/sns-sqs.md, "Names").
const NAME_CHARS_MAX: usize = 80;

/// The queue for messages that a subscription could not deliver.
fn undelivered(queue: &str) -> String {
    let name = queue.strip_suffix("-queue").unwrap_or(queue);
    // Names consist of letters, digits, '-' and '_', so every byte is a character.
    let room = NAME_CHARS_MAX - UNDELIVERED.len();
    format!("{}{UNDELIVERED}", &name[..name.len().min(room)])
}

/// All resources, in an order in which they can be created: each comes after those that it refers to.
///
/// # Errors
/// The dead-letter queues form a cycle; the text names it.
pub(super) fn resources(topology: &Topology, account: &Account) -> Result<Vec<Resource>, String> {
    let mut all: Vec<Resource> = Vec::new();
    let mut left: Vec<&QueueConfig> = topology.queues.iter().collect();
    while !left.is_empty() {
        let is_left = |name: &str| left.iter().any(|queue| queue.name == name);
        let is_ready = |queue: &&QueueConfig| {
            let redrive = queue.redrive.as_ref();
            redrive.is_none_or(|redrive| !is_left(&redrive.dead_letter_queue))
        };
        let place = left.iter().position(is_ready);
        let place = place.ok_or("queues: their dead-letter queues form a cycle")?;
        all.push(queue(left.remove(place), topology, account));
    }
    for subscription in &topology.subscriptions {
        let undelivered = undelivered(&subscription.queue);
        if all.iter().any(|known| known.name == undelivered) {
            continue;
        }
        let subscriptions = topology.subscriptions.iter();
        let subscriptions =
            subscriptions.filter(|other| self::undelivered(&other.queue) == undelivered);
        all.push(Resource {
            kind: Kind::Queue,
            title: format!("queue {undelivered}"),
            attributes: BTreeMap::from([
                (
                    "MessageRetentionPeriod",
                    json!(RETENTION_DEAD_SECONDS.to_string()),
                ),
                ("SqsManagedSseEnabled", json!("true")),
                ("Policy", policy(&undelivered, subscriptions, account)),
            ]),
            name: undelivered,
        });
    }
    // SNS drops what it receives for a topic without subscriptions, so a topic's subscriptions follow it at once.
    for name in &topology.topics {
        all.push(topic(name, account));
        let subscriptions = topology.subscriptions.iter();
        let own = subscriptions.filter(|subscription| subscription.topic == *name);
        all.extend(own.map(|subscription| self::subscription(subscription, account)));
    }
    Ok(all)
}

fn topic(name: &str, account: &Account) -> Resource {
    let arn = account.arn("sns", name);
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Sid": "EncryptedOnly", "Effect": "Deny", "Principal": "*", "Action": "sns:Publish", "Resource": arn,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }],
    });
    Resource {
        kind: Kind::Topic,
        title: format!("topic {name}"),
        name: name.to_owned(),
        attributes: BTreeMap::from([("Policy", policy)]),
    }
}

fn queue(queue: &QueueConfig, topology: &Topology, account: &Account) -> Resource {
    let name = &queue.name;
    let gives_up = |other: &&QueueConfig| {
        let redrive = other.redrive.as_ref();
        redrive.is_some_and(|redrive| redrive.dead_letter_queue == *name)
    };
    let sources = topology.queues.iter().filter(gives_up);
    let sources: Vec<String> = sources
        .map(|source| account.arn("sqs", &source.name))
        .collect();
    let retention = match sources.is_empty() {
        true => RETENTION_SECONDS,
        false => RETENTION_DEAD_SECONDS,
    };
    let subscriptions = topology.subscriptions.iter();
    let subscriptions = subscriptions.filter(|subscription| subscription.queue == *name);
    let mut attributes = BTreeMap::from([
        (
            "VisibilityTimeout",
            json!(queue.visibility.as_secs().to_string()),
        ),
        ("DelaySeconds", json!(queue.delay.as_secs().to_string())),
        ("MessageRetentionPeriod", json!(retention.to_string())),
        ("SqsManagedSseEnabled", json!("true")),
        ("Policy", policy(name, subscriptions, account)),
    ]);
    if let Some(redrive) = &queue.redrive {
        let to = account.arn("sqs", &redrive.dead_letter_queue);
        let policy = json!({
            "deadLetterTargetArn": to, "maxReceiveCount": redrive.max_receive_count.to_string(),
        });
        attributes.insert("RedrivePolicy", policy);
    }
    if !sources.is_empty() {
        // No other queue may use this one as its dead-letter queue (docs/design/sns-sqs.md).
        let policy = json!({"redrivePermission": "byQueue", "sourceQueueArns": sources});
        attributes.insert("RedriveAllowPolicy", policy);
    }
    Resource {
        kind: Kind::Queue,
        title: format!("queue {name}"),
        name: name.clone(),
        attributes,
    }
}

/// The policy of a queue with these subscriptions.
fn policy<'a>(
    queue: &str,
    subscriptions: impl Iterator<Item = &'a Subscription>,
    account: &Account,
) -> Value {
    let mut topics: Vec<String> = subscriptions
        .map(|subscription| account.arn("sns", &subscription.topic))
        .collect();
    topics.sort();
    topics.dedup();
    queue_policy(&account.arn("sqs", queue), &topics, &account.id)
}

/// Allows only the topics that a queue subscribes to, on behalf of `sender`'s account, to send to it, and only over TLS (docs/design/sns-sqs.md).
pub(in crate::aws) fn queue_policy(arn: &str, topics: &[String], sender: &str) -> Value {
    let mut statements = vec![json!({
        "Sid": "EncryptedOnly", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": arn,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    })];
    if !topics.is_empty() {
        statements.push(json!({
            "Sid": "TopicsWrite", "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage", "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topics}, "StringEquals": {"aws:SourceAccount": sender}},
        }));
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

fn subscription(subscription: &Subscription, account: &Account) -> Resource {
    let Subscription {
        topic,
        queue,
        filter,
    } = subscription;
    let dead = json!({"deadLetterTargetArn": account.arn("sqs", &undelivered(queue))});
    Resource {
        kind: Kind::Subscription {
            topic: topic.clone(),
            queue: queue.clone(),
        },
        title: format!("subscription of {queue} to {topic}"),
        name: format!("{topic} {queue}"),
        attributes: BTreeMap::from([
            ("RawMessageDelivery", json!("true")),
            ("FilterPolicy", json!(filter)),
            ("RedrivePolicy", dead),
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            partition: "aws".into(),
            region: "eu-west-1".into(),
            id: "123456789012".into(),
        }
    }

    fn topology() -> Topology {
        Topology {
            topics: vec!["p-storage-commands".into()],
            queues: vec![
                QueueConfig::new("p-storage-queue").redrive(6, "p-storage-dlq"),
                QueueConfig::new("p-storage-dlq"),
            ],
            subscriptions: vec![Subscription::new("p-storage-commands", "p-storage-queue")],
        }
    }

    fn named(name: &str) -> Resource {
        let all = resources(&topology(), &account()).expect("no cycle");
        let found = all.into_iter().find(|resource| resource.name == name);
        found.unwrap_or_else(|| panic!("{name} is missing"))
    }

    /// And a topic right before its subscriptions: SNS drops what it accepts for a topic that has none (docs/design/sns-sqs.md).
    #[test]
    fn what_is_named_is_made_before_who_names_it() {
        let all = resources(&topology(), &account()).expect("no cycle");
        let names: Vec<&str> = all.iter().map(|resource| resource.name.as_str()).collect();
        let expected = [
            "p-storage-dlq",
            "p-storage-queue",
            "p-storage-undelivered",
            "p-storage-commands",
            "p-storage-commands p-storage-queue",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_queue_takes_messages_from_its_topic_alone_and_over_tls_alone() {
        let queue = named("p-storage-queue");
        let statements = queue.attributes["Policy"]["Statement"].as_array();
        let statements = statements.expect("statements");
        let allowed: Vec<&Value> = statements
            .iter()
            .filter(|statement| statement["Effect"] == "Allow")
            .collect();
        assert_eq!(allowed.len(), 1);
        assert_eq!(
            allowed[0]["Principal"],
            json!({"Service": "sns.amazonaws.com"})
        );
        let topic = "arn:aws:sns:eu-west-1:123456789012:p-storage-commands";
        let condition = &allowed[0]["Condition"];
        assert_eq!(condition["ArnEquals"]["aws:SourceArn"], json!([topic]));
        assert_eq!(
            condition["StringEquals"]["aws:SourceAccount"],
            "123456789012"
        );
        let denied = statements
            .iter()
            .find(|statement| statement["Effect"] == "Deny")
            .expect("a denial");
        assert_eq!(denied["Condition"]["Bool"]["aws:SecureTransport"], "false");
    }

    #[test]
    fn a_dead_letter_queue_keeps_longer_and_belongs_to_its_queue() {
        let dead = named("p-storage-dlq");
        assert_eq!(dead.attributes["MessageRetentionPeriod"], "1209600");
        let source = "arn:aws:sqs:eu-west-1:123456789012:p-storage-queue";
        assert_eq!(
            dead.attributes["RedriveAllowPolicy"]["sourceQueueArns"],
            json!([source])
        );
    }

    #[test]
    fn the_name_of_what_was_not_delivered_is_never_too_long() {
        assert_eq!(
            undelivered("pudato-storage-queue"),
            "pudato-storage-undelivered"
        );
        assert_eq!(undelivered(&"a".repeat(80)).len(), 80);
    }

    #[test]
    fn dead_letter_queues_in_a_cycle_are_refused() {
        let mut cycle = topology();
        cycle.queues[1] = QueueConfig::new("p-storage-dlq").redrive(6, "p-storage-queue");
        assert!(resources(&cycle, &account()).is_err());
    }
}
