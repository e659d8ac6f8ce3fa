//! Compares, creates, changes and removes topics, queues and subscriptions.

mod blueprint;
mod deployed;
mod policy;

use super::error::failed;
use super::publisher::MESSAGE_BYTES;
use super::replies;
use super::{AwsFabric, Shared};
use crate::{Error, ErrorKind, Topology};
use aws_sdk_sqs::types::QueueAttributeName;
pub(super) use blueprint::queue_policy;
use blueprint::{Account, Kind, Resource};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;

/// A difference between a topology and its deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The resource: `queue pudato-storage-queue`.
    pub resource: String,
    /// The kind of difference.
    pub what: Wrong,
}

/// What is wrong with a resource.
#[derive(Debug, Clone, PartialEq)]
pub enum Wrong {
    /// The resource does not exist.
    Missing,
    /// An attribute has another value.
    Differs {
        /// The name of the attribute on AWS.
        attribute: String,
        /// The required value.
        expected: Value,
        /// The actual value.
        found: Value,
    },
    /// The resource exists but is not part of the topology.
    Unknown,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
        match &self.what {
            Wrong::Missing => write!(f, "{}: missing", self.resource),
            Wrong::Unknown => write!(f, "{}: it belongs to nothing here", self.resource),
            Wrong::Differs {
                attribute,
                expected,
                found,
            } => {
                let (expected, found) = (text(expected), text(found));
                let resource = &self.resource;
                write!(
                    f,
                    "{resource}: {attribute}: expected {expected}, found {found}"
                )
            }
        }
    }
}

impl AwsFabric {
    /// Creates topics, queues and subscriptions. Those that exist with the same attributes stay as they are.
    ///
    /// # Errors
    /// `Invalid`: see [`Topology::check`], or one exists with other attributes; nothing is created then.
    pub async fn declare(&self, topology: Topology) -> Result<(), Error> {
        let shared = &*self.shared;
        let wanted = wanted(shared, &topology).await?;
        let found = compare(shared, &wanted).await?;
        let differing = found
            .iter()
            .find(|found| matches!(found.what, Wrong::Differs { .. }));
        if let Some(difference) = differing {
            let what = format!("{difference} (it exists)");
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        change(shared, &wanted, &found).await
    }

    /// Returns all differences between `topology` and its deployment, including queues `PREFIX-..` that are not part of it.
    ///
    /// # Errors
    /// As [`Topology::check`], or a call to AWS failed.
    pub async fn diff(&self, topology: &Topology, prefix: &str) -> Result<Vec<Difference>, Error> {
        let wanted = wanted(&self.shared, topology).await?;
        let mut found = compare(&self.shared, &wanted).await?;
        for resource in &wanted {
            found.extend(smaller_queue(&self.shared, resource).await?);
        }
        let now_ms = self.shared.clock.now_ms();
        for name in deployed::queues(&self.shared, &format!("{prefix}-")).await? {
            let is_known = wanted.iter().any(|known| known.name == name)
                || replies::is_in_use(prefix, &name, now_ms);
            if !is_known {
                found.push(Difference {
                    resource: format!("queue {name}"),
                    what: Wrong::Unknown,
                });
            }
        }
        Ok(found)
    }

    /// Creates missing resources, changes those that differ, and returns the differences. This is for emulators and tests; on AWS, use
    /// Terraform.
    ///
    /// # Errors
    /// As [`Self::diff`]; earlier changes stay.
    pub async fn apply(&self, topology: &Topology) -> Result<Vec<Difference>, Error> {
        let wanted = wanted(&self.shared, topology).await?;
        let found = compare(&self.shared, &wanted).await?;
        change(&self.shared, &wanted, &found).await?;
        Ok(found)
    }

    /// Removes all resources of `topology` with their messages, and returns which existed.
    ///
    /// # Errors
    /// As [`Self::diff`]; earlier removals stay.
    pub async fn destroy(&self, topology: &Topology) -> Result<Vec<String>, Error> {
        let shared = &*self.shared;
        let wanted = wanted(shared, topology).await?;
        let mut removed = Vec::new();
        for resource in wanted.iter().rev() {
            if deployed::remove(shared, resource).await? {
                removed.push(resource.title.clone());
            }
        }
        Ok(removed)
    }

    /// The ARN of a topic from the configuration or an earlier declaration.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn topic_arn(&self, name: &str) -> Result<String, Error> {
        self.shared.topic(name)
    }

    /// The URL of a queue.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    pub async fn queue_url(&self, name: &str) -> Result<String, Error> {
        self.shared.queue(name).await
    }
}

/// The resources of a topology. Its topics are known from then on.
async fn wanted(shared: &Shared, topology: &Topology) -> Result<Vec<Resource>, Error> {
    topology.check()?;
    let account = account(shared).await?;
    for topic in &topology.topics {
        shared.remember_topic(topic, &account.arn("sns", topic));
    }
    blueprint::resources(topology, &account).map_err(|what| Error::new(ErrorKind::Invalid, what))
}

/// The account and region of the credentials.
pub(super) async fn account(shared: &Shared) -> Result<Account, Error> {
    let asked = shared.sts.get_caller_identity().send().await;
    let who = asked.map_err(|error| failed("account", error))?;
    // arn:aws:iam::123456789012:user/me
    let arn = who.arn().unwrap_or_default();
    let region = shared.sts.config().region().map(ToString::to_string);
    let region = region.ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            "no region is set; set AWS_REGION, or a profile with a region",
        )
    })?;
    Ok(Account {
        partition: arn.split(':').nth(1).unwrap_or("aws").to_owned(),
        region,
        id: who.account().unwrap_or_default().to_owned(),
    })
}

async fn compare(shared: &Shared, wanted: &[Resource]) -> Result<Vec<Difference>, Error> {
    let mut found = Vec::new();
    for resource in wanted {
        let of = |what: Wrong| Difference {
            resource: resource.title.clone(),
            what,
        };
        let Some(attributes) = deployed::attributes(shared, resource).await? else {
            found.push(of(Wrong::Missing));
            continue;
        };
        for (name, expected) in &resource.attributes {
            let is = deployed::value(&attributes, name);
            let is_so = match *name {
                "Policy" => policy::suffices(&is, expected),
                // A queue that a Lambda function reads hides its messages for longer: 6 times the function's timeout (docs/design/delivery.md).
                "VisibilityTimeout" => seconds(&is) >= seconds(expected),
                // A key of one's own is the other way to encrypt; SQS has either (docs/design/sns-sqs.md, "Encryption").
                "SqsManagedSseEnabled" => {
                    let key = attributes.get("KmsMasterKeyId");
                    is == *expected || key.is_some_and(|key| !key.is_empty())
                }
                _ => is == *expected,
            };
            if !is_so {
                found.push(of(Wrong::Differs {
                    attribute: (*name).to_owned(),
                    expected: expected.clone(),
                    found: is,
                }));
            }
        }
    }
    Ok(found)
}

/// Finds a queue whose size limit is below that of a topic it subscribes to. SNS accepts a message between the two limits but cannot
/// deliver it.
async fn smaller_queue(shared: &Shared, resource: &Resource) -> Result<Option<Difference>, Error> {
    const ATTRIBUTE: &str = "MaximumMessageSize";
    let Kind::Subscription { topic, queue } = &resource.kind else {
        return Ok(None);
    };
    let (Some(of_topic), Some(of_queue)) = (
        deployed::attributes_of(shared, Kind::Topic, topic).await?,
        deployed::attributes_of(shared, Kind::Queue, queue).await?,
    ) else {
        return Ok(None);
    };
    let bytes = |attributes: &HashMap<String, String>, default: u64| {
        let said = attributes.get(ATTRIBUTE).and_then(|text| text.parse().ok());
        said.unwrap_or(default)
    };
    let expected = bytes(&of_topic, MESSAGE_BYTES as u64);
    let found = bytes(&of_queue, expected);
    Ok((found < expected).then(|| Difference {
        resource: format!("queue {queue}"),
        what: Wrong::Differs {
            attribute: ATTRIBUTE.to_owned(),
            expected: expected.into(),
            found: found.into(),
        },
    }))
}

/// Parses a number of seconds.
fn seconds(value: &serde_json::Value) -> u64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    text.unwrap_or_default()
}

async fn change(shared: &Shared, wanted: &[Resource], found: &[Difference]) -> Result<(), Error> {
    for resource in wanted {
        let of = found
            .iter()
            .filter(|difference| difference.resource == resource.title);
        let mut differing = Vec::new();
        let mut is_missing = false;
        for difference in of {
            match &difference.what {
                Wrong::Missing => is_missing = true,
                Wrong::Differs { attribute, .. } => differing.push(attribute.as_str()),
                Wrong::Unknown => {}
            }
        }
        if is_missing {
            create(shared, resource).await?;
        } else if !differing.is_empty() {
            set(shared, resource, &differing).await?;
        }
    }
    Ok(())
}

fn text(value: &Value) -> String {
    value.as_str().map_or(value.to_string(), str::to_owned)
}

/// An empty attribute is not set: on some emulators, an empty filter blocks all messages.
fn is_set(value: &Value) -> bool {
    value.as_object().is_none_or(|object| !object.is_empty())
}

async fn create(shared: &Shared, resource: &Resource) -> Result<(), Error> {
    let title = &resource.title;
    let set = resource
        .attributes
        .iter()
        .filter(|(_, value)| is_set(value))
        .map(|(name, value)| ((*name).to_owned(), text(value)));
    match &resource.kind {
        Kind::Topic => {
            let created = shared
                .sns
                .create_topic()
                .name(&resource.name)
                .set_attributes(Some(set.collect()))
                .send()
                .await;
            let created = created.map_err(|error| failed(title, error))?;
            shared.remember_topic(&resource.name, &created.topic_arn.unwrap_or_default());
        }
        Kind::Queue => {
            let set: HashMap<_, _> = set
                .map(|(name, value)| (QueueAttributeName::from(name.as_str()), value))
                .collect();
            let created = shared
                .sqs
                .create_queue()
                .queue_name(&resource.name)
                .set_attributes(Some(set))
                .send()
                .await;
            let created = created.map_err(|error| failed(title, error))?;
            shared.remember_queue(&resource.name, &created.queue_url.unwrap_or_default());
        }
        Kind::Subscription { topic, queue } => {
            let call = shared
                .sns
                .subscribe()
                .topic_arn(shared.topic(topic)?)
                .protocol("sqs")
                .endpoint(shared.queue_arn(queue).await?)
                .set_attributes(Some(set.collect()));
            call.send().await.map_err(|error| failed(title, error))?;
        }
    }
    Ok(())
}

async fn set(shared: &Shared, resource: &Resource, differing: &[&str]) -> Result<(), Error> {
    let title = &resource.title;
    let set = resource
        .attributes
        .iter()
        .filter(|(name, _)| differing.contains(name))
        .map(|(name, value)| ((*name).to_owned(), text(value)));
    match &resource.kind {
        Kind::Topic => {
            for (name, value) in set {
                let call = shared
                    .sns
                    .set_topic_attributes()
                    .topic_arn(shared.topic(&resource.name)?)
                    .attribute_name(name)
                    .attribute_value(value);
                call.send().await.map_err(|error| failed(title, error))?;
            }
        }
        Kind::Queue => {
            let url = shared.queue(&resource.name).await?;
            let set = set.map(|(name, value)| (QueueAttributeName::from(name.as_str()), value));
            let call = shared.sqs.set_queue_attributes().queue_url(url);
            let call = call.set_attributes(Some(set.collect()));
            call.send().await.map_err(|error| failed(title, error))?;
        }
        Kind::Subscription { topic, queue } => {
            let arn = deployed::subscription(shared, topic, queue).await?;
            for (name, value) in set {
                let call = shared
                    .sns
                    .set_subscription_attributes()
                    .set_subscription_arn(arn.clone())
                    .attribute_name(name)
                    .attribute_value(value);
                call.send().await.map_err(|error| failed(title, error))?;
            }
        }
    }
    Ok(())
}
