//! Reads and removes deployed resources.

use super::super::Shared;
use super::super::error::failed;
use super::blueprint::{Kind, Resource};
use crate::{Error, ErrorKind};
use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// The values of unset attributes that AWS does not report.
const DEFAULTS: &[(&str, &str)] = &[("DelaySeconds", "0"), ("FilterPolicy", "{}")];

/// An attribute in the form of [`Resource::attributes`]; null if it is not set.
pub(super) fn value(attributes: &HashMap<String, String>, name: &str) -> Value {
    let default = DEFAULTS.iter().find(|(known, _)| *known == name);
    let found = attributes.get(name).map(String::as_str);
    let found = found.filter(|text| !text.is_empty());
    let Some(text) = found.or(default.map(|(_, value)| *value)) else {
        return Value::Null;
    };
    match serde_json::from_str(text) {
        Ok(mut policy @ Value::Object(_)) => {
            // AWS writes the count as a number, some emulators as a text.
            if let Some(count) = policy.get_mut("maxReceiveCount")
                && count.is_number()
            {
                *count = json!(count.to_string());
            }
            policy
        }
        _ => json!(text.to_lowercase()),
    }
}

/// The attributes of a resource; `None` if it does not exist.
pub(super) async fn attributes(
    shared: &Shared,
    resource: &Resource,
) -> Result<Option<HashMap<String, String>>, Error> {
    let title = &resource.title;
    match &resource.kind {
        Kind::Topic => {
            let asked = shared.sns.get_topic_attributes();
            let asked = asked.topic_arn(shared.topic(&resource.name)?);
            let found = asked.send().await.map_err(|error| failed(title, error));
            Ok(or_missing(found)?.map(|found| found.attributes.unwrap_or_default()))
        }
        Kind::Queue => Ok(or_missing(queue(shared, &resource.name).await)?),
        Kind::Subscription { topic, queue } => {
            let found = or_missing(subscription(shared, topic, queue).await)?;
            let Some(arn) = found.flatten() else {
                return Ok(None);
            };
            let asked = shared.sns.get_subscription_attributes();
            let found = asked.subscription_arn(arn).send().await;
            let found = found.map_err(|error| failed(title, error))?;
            Ok(Some(found.attributes.unwrap_or_default()))
        }
    }
}

/// The attributes of the topic or queue `name`; `None` if it does not exist.
pub(super) async fn attributes_of(
    shared: &Shared,
    kind: Kind,
    name: &str,
) -> Result<Option<HashMap<String, String>>, Error> {
    let resource = Resource {
        title: name.to_owned(),
        name: name.to_owned(),
        attributes: BTreeMap::new(),
        kind,
    };
    attributes(shared, &resource).await
}

fn or_missing<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn queue(shared: &Shared, name: &str) -> Result<HashMap<String, String>, Error> {
    let url = shared.queue(name).await?;
    let asked = shared.sqs.get_queue_attributes().queue_url(url);
    let found = asked.attribute_names(QueueAttributeName::All).send().await;
    let found = found.map_err(|error| failed(&format!("queue {name}"), error))?;
    let attributes = found.attributes.unwrap_or_default().into_iter();
    Ok(attributes
        .map(|(name, value)| (name.as_str().to_owned(), value))
        .collect())
}

impl Shared {
    /// The ARN of a queue.
    pub(in crate::aws) async fn queue_arn(&self, name: &str) -> Result<String, Error> {
        let mut found = queue(self, name).await?;
        Ok(found.remove("QueueArn").unwrap_or_default())
    }
}

/// The ARN of the subscription of a queue to a topic.
pub(super) async fn subscription(
    shared: &Shared,
    topic: &str,
    queue: &str,
) -> Result<Option<String>, Error> {
    let queue_arn = shared.queue_arn(queue).await?;
    let mut pages = shared
        .sns
        .list_subscriptions_by_topic()
        .topic_arn(shared.topic(topic)?)
        .into_paginator()
        .items()
        .send();
    while let Some(found) = pages.next().await {
        let found = found.map_err(|error| failed(&format!("topic {topic}"), error))?;
        if found.endpoint.as_deref() == Some(&queue_arn) {
            return Ok(found.subscription_arn);
        }
    }
    Ok(None)
}

/// The names of the queues that begin with `prefix`.
pub(super) async fn queues(shared: &Shared, prefix: &str) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    let asked = shared.sqs.list_queues().queue_name_prefix(prefix);
    let mut pages = asked.into_paginator().items().send();
    while let Some(url) = pages.next().await {
        let url = url.map_err(|error| failed("queues", error))?;
        names.extend(url.rsplit('/').next().map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Removes a resource, and returns whether it existed.
pub(super) async fn remove(shared: &Shared, resource: &Resource) -> Result<bool, Error> {
    if attributes(shared, resource).await?.is_none() {
        return Ok(false);
    }
    let title = &resource.title;
    match &resource.kind {
        Kind::Topic => {
            let call = shared.sns.delete_topic();
            let call = call.topic_arn(shared.topic(&resource.name)?);
            call.send().await.map_err(|error| failed(title, error))?;
        }
        Kind::Queue => {
            let call = shared.sqs.delete_queue();
            let call = call.queue_url(shared.queue(&resource.name).await?);
            call.send().await.map_err(|error| failed(title, error))?;
            shared.forget_queue(&resource.name);
        }
        Kind::Subscription { topic, queue } => {
            let arn = subscription(shared, topic, queue).await?;
            let call = shared.sns.unsubscribe().set_subscription_arn(arn);
            call.send().await.map_err(|error| failed(title, error))?;
        }
    }
    Ok(true)
}
