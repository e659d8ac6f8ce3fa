//! Creates topics, queues and subscriptions.

use super::Shared;
use super::error::failed;
use crate::{Error, ErrorKind, QueueConfig, Subscription, Topology};
use aws_sdk_sqs::types::QueueAttributeName as Name;
use serde_json::{Value, json};
use std::collections::HashMap;

pub(super) async fn declare(shared: &Shared, topology: Topology) -> Result<(), Error> {
    topology.check()?;
    // What exists is compared by ourselves, before anything is made: not every emulator does it.
    for queue in &topology.queues {
        if let Ok(url) = shared.queue(&queue.name).await {
            compare(queue, &found(shared, &url).await?)?;
        }
    }
    for topic in &topology.topics {
        let created = shared.sns.create_topic().name(topic).send().await;
        let created = created.map_err(|error| failed(&format!("topic {topic}"), error))?;
        shared.remember_topic(topic, &created.topic_arn.unwrap_or_default());
    }
    // A dead-letter queue must be there before who names it.
    let (with, without): (Vec<_>, Vec<_>) = topology
        .queues
        .iter()
        .partition(|queue| queue.redrive.is_some());
    let mut left: Vec<&QueueConfig> = with;
    for queue in without {
        create(shared, queue).await?;
    }
    while !left.is_empty() {
        let named = |name: &str| left.iter().any(|queue| queue.name == name);
        let is_ready = |queue: &&QueueConfig| {
            let redrive = queue.redrive.as_ref();
            redrive.is_none_or(|redrive| !named(&redrive.dead_letter_queue))
        };
        let Some(place) = left.iter().position(is_ready) else {
            let what = "queues: their dead-letter queues lead in a circle";
            return Err(Error::new(ErrorKind::Invalid, what));
        };
        create(shared, left.remove(place)).await?;
    }
    for subscription in &topology.subscriptions {
        subscribe(shared, subscription).await?;
    }
    Ok(())
}

/// Attributes as they are written, and as they are found again.
async fn attributes(shared: &Shared, queue: &QueueConfig) -> Result<HashMap<Name, String>, Error> {
    let mut attributes = HashMap::from([
        (
            Name::VisibilityTimeout,
            queue.visibility.as_secs().to_string(),
        ),
        (Name::DelaySeconds, queue.delay.as_secs().to_string()),
    ]);
    if let Some(redrive) = &queue.redrive {
        let url = shared.queue(&redrive.dead_letter_queue).await?;
        let policy = json!({
            "deadLetterTargetArn": arn(shared, &url).await?, "maxReceiveCount": redrive.max_receive_count.to_string(),
        });
        attributes.insert(Name::RedrivePolicy, policy.to_string());
    }
    Ok(attributes)
}

async fn found(shared: &Shared, url: &str) -> Result<HashMap<Name, String>, Error> {
    let asked = shared.sqs.get_queue_attributes().queue_url(url);
    let found = asked.attribute_names(Name::All).send().await;
    let found = found.map_err(|error| failed("queue", error))?;
    Ok(found.attributes.unwrap_or_default())
}

async fn arn(shared: &Shared, url: &str) -> Result<String, Error> {
    let mut found = found(shared, url).await?;
    Ok(found.remove(&Name::QueueArn).unwrap_or_default())
}

async fn create(shared: &Shared, queue: &QueueConfig) -> Result<(), Error> {
    if shared.queue(&queue.name).await.is_ok() {
        return Ok(());
    }
    let created = shared
        .sqs
        .create_queue()
        .queue_name(&queue.name)
        .set_attributes(Some(attributes(shared, queue).await?))
        .send()
        .await;
    let created = created.map_err(|error| failed(&format!("queue {}", queue.name), error))?;
    shared.remember_queue(&queue.name, &created.queue_url.unwrap_or_default());
    Ok(())
}

/// # Errors
/// `Invalid`: the queue that exists is another than the one that is declared.
fn compare(queue: &QueueConfig, found: &HashMap<Name, String>) -> Result<(), Error> {
    let get = |name: Name| found.get(&name).map_or("none", String::as_str);
    let wanted_redrive = queue.redrive.as_ref().map(|redrive| {
        (
            redrive.dead_letter_queue.clone(),
            redrive.max_receive_count.to_string(),
        )
    });
    let differs = |name: &str, found: &str, wanted: String| {
        let what = format!(
            "queue {}: it exists with {name} {found}, expected {wanted}",
            queue.name
        );
        Err(Error::new(ErrorKind::Invalid, what))
    };
    for (name, wanted) in [
        (Name::VisibilityTimeout, queue.visibility.as_secs()),
        (Name::DelaySeconds, queue.delay.as_secs()),
    ] {
        let found = get(name.clone());
        if found != wanted.to_string() {
            return differs(name.as_str(), found, wanted.to_string());
        }
    }
    if redrive(found.get(&Name::RedrivePolicy)) != wanted_redrive {
        let wanted = wanted_redrive.map_or("none".to_owned(), |(queue, count)| {
            format!("{count} receives, then {queue}")
        });
        return differs("RedrivePolicy", get(Name::RedrivePolicy), wanted);
    }
    Ok(())
}

/// The dead-letter queue's name and the count, which some write as a number and some as a text.
fn redrive(text: Option<&String>) -> Option<(String, String)> {
    let policy: Value = serde_json::from_str(text?).ok()?;
    let count = policy.get("maxReceiveCount")?;
    let count = count
        .as_str()
        .map_or_else(|| count.to_string(), str::to_owned);
    let target = policy.get("deadLetterTargetArn")?.as_str()?;
    let name = target.rsplit(':').next().unwrap_or(target);
    Some((name.to_owned(), count))
}

async fn subscribe(shared: &Shared, subscription: &Subscription) -> Result<(), Error> {
    let topic_arn = shared.topic(&subscription.topic)?;
    let url = shared.queue(&subscription.queue).await?;
    let queue_arn = arn(shared, &url).await?;
    let what = format!(
        "subscription of {} to {}",
        subscription.queue, subscription.topic
    );
    allow(shared, &url, &queue_arn, &topic_arn).await?;
    let filter = json!(subscription.filter).to_string();
    if let Some(existing) = existing(shared, &topic_arn, &queue_arn).await? {
        let asked = shared
            .sns
            .get_subscription_attributes()
            .subscription_arn(existing);
        let found = asked.send().await.map_err(|error| failed(&what, error))?;
        let found = found.attributes.unwrap_or_default();
        let found = found.get("FilterPolicy").filter(|text| !text.is_empty());
        let found: Value = found
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_else(|| json!({}));
        if found != json!(subscription.filter) {
            let text = format!("{what}: it exists with the filter {found}, expected {filter}");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        return Ok(());
    }
    let mut call = shared
        .sns
        .subscribe()
        .topic_arn(topic_arn)
        .protocol("sqs")
        .endpoint(queue_arn)
        .attributes("RawMessageDelivery", "true");
    if !subscription.filter.is_empty() {
        call = call.attributes("FilterPolicy", filter);
    }
    call.send().await.map_err(|error| failed(&what, error))?;
    Ok(())
}

async fn existing(
    shared: &Shared,
    topic_arn: &str,
    queue_arn: &str,
) -> Result<Option<String>, Error> {
    let mut pages = shared
        .sns
        .list_subscriptions_by_topic()
        .topic_arn(topic_arn)
        .into_paginator()
        .items()
        .send();
    while let Some(found) = pages.next().await {
        let found = found.map_err(|error| failed("subscriptions", error))?;
        if found.endpoint.as_deref() == Some(queue_arn) {
            return Ok(found.subscription_arn);
        }
    }
    Ok(None)
}

/// Lets the topics that a queue hears write to it, and nobody else (behaviours.md, security line 1).
async fn allow(shared: &Shared, url: &str, queue_arn: &str, topic_arn: &str) -> Result<(), Error> {
    let found = found(shared, url).await?;
    let policy: Value = found
        .get(&Name::Policy)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    let mut topics: Vec<String> = policy["Statement"][0]["Condition"]["ArnEquals"]["aws:SourceArn"]
        .as_array()
        .map(|all| {
            all.iter()
                .filter_map(|arn| Some(arn.as_str()?.to_owned()))
                .collect()
        })
        .unwrap_or_default();
    if topics.iter().any(|known| known == topic_arn) {
        return Ok(());
    }
    topics.push(topic_arn.to_owned());
    let account = topic_arn.split(':').nth(4).unwrap_or_default();
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "TopicsWrite", "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"},
                "Action": "sqs:SendMessage", "Resource": queue_arn,
                "Condition": {"ArnEquals": {"aws:SourceArn": topics}, "StringEquals": {"aws:SourceAccount": account}},
            },
            {
                "Sid": "EncryptedOnly", "Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Resource": queue_arn,
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    });
    let set = shared.sqs.set_queue_attributes().queue_url(url);
    let set = set
        .attributes(Name::Policy, policy.to_string())
        .send()
        .await;
    set.map_err(|error| failed("queue policy", error))?;
    Ok(())
}
