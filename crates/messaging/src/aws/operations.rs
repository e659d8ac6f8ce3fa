//! Browses, replays and purges queues. SQS cannot look at a message without receiving it, so browsing counts as a receive, hides the
//! messages from consumers for a while, and may miss some.

use super::AwsFabric;
use super::error::failed;
use super::sqs::dead_letters::{labelled, shortened, with_others};
use super::sqs::settle::one;
use super::wire;
use crate::operations::replay_by_ids;
use crate::{Counts, Error, ErrorKind, Limits, Message, Operations, Publisher, Stored};
use async_trait::async_trait;
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, Message as SqsMessage, MessageAttributeValue,
    MessageSystemAttributeName as System, QueueAttributeName,
};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// How long browsed messages are hidden, in seconds: longer than it takes to browse some ten thousand.
const LOOK_SECONDS: i32 = 120;
/// How long a receive waits, in seconds. A receive that does not wait asks only some of the queue's servers (Amazon SQS developer guide,
/// "Amazon SQS short and long polling").
const WAIT_SECONDS: i32 = 1;
/// The number of empty receives that end a walk.
const EMPTY_MAX: u32 = 1;
/// The most messages of one receive, and entries of one batch.
const BATCH: usize = 10;

/// A walk through a queue, one receive at a time. The messages it finds are hidden from consumers until they are released.
struct Walk<'a> {
    fabric: &'a AwsFabric,
    queue: &'a str,
    url: String,
    seen: HashSet<String>,
    empty: u32,
}

impl Walk<'_> {
    /// Returns the next messages, up to `max` and [`BATCH`]; `None` if there are no more.
    async fn next(&mut self, max: usize) -> Result<Option<Vec<SqsMessage>>, Error> {
        while self.empty < EMPTY_MAX && max > 0 {
            let call = self
                .fabric
                .shared
                .sqs
                .receive_message()
                .queue_url(&self.url)
                .max_number_of_messages(i32::try_from(max.min(BATCH)).unwrap_or(1))
                .visibility_timeout(LOOK_SECONDS)
                .wait_time_seconds(WAIT_SECONDS)
                .message_system_attribute_names(System::All)
                .message_attribute_names("All");
            let received = call.send().await;
            let received =
                received.map_err(|error| failed(&format!("queue {}", self.queue), error))?;
            let messages = received.messages.unwrap_or_default().into_iter();
            let is_new = |message: &SqsMessage| {
                let id = message.message_id.clone().unwrap_or_default();
                self.seen.insert(id)
            };
            let new: Vec<SqsMessage> = messages.filter(is_new).collect();
            if !new.is_empty() {
                self.empty = 0;
                return Ok(Some(new));
            }
            self.empty += 1;
        }
        Ok(None)
    }
}

fn id(message: &SqsMessage) -> &str {
    message.message_id.as_deref().unwrap_or_default()
}

impl AwsFabric {
    async fn walk<'a>(&'a self, queue: &'a str) -> Result<Walk<'a>, Error> {
        Ok(Walk {
            fabric: self,
            queue,
            url: self.shared.queue(queue).await?,
            seen: HashSet::new(),
            empty: 0,
        })
    }

    /// Finds messages by their ids. Stops when all are found, and releases the others that it met.
    async fn find_by_ids(&self, queue: &str, ids: &[String]) -> Result<Vec<SqsMessage>, Error> {
        let mut walk = self.walk(queue).await?;
        let (mut found, mut rest) = (Vec::new(), Vec::new());
        while found.len() < ids.len() {
            let Some(messages) = walk.next(BATCH).await? else {
                break;
            };
            for message in messages {
                match ids.iter().any(|wanted| wanted == id(&message)) {
                    true => found.push(message),
                    false => rest.push(message),
                }
            }
        }
        self.give_back(&walk.url, &rest).await;
        Ok(found)
    }

    async fn give_back(&self, url: &str, messages: &[SqsMessage]) {
        for batch in messages.chunks(BATCH) {
            let entries = batch.iter().enumerate().filter_map(|(n, message)| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                    .id(n.to_string())
                    .set_receipt_handle(message.receipt_handle.clone())
                    .visibility_timeout(0);
                entry.build().ok()
            });
            let call = self
                .shared
                .sqs
                .change_message_visibility_batch()
                .queue_url(url)
                .set_entries(Some(entries.collect()));
            match call.send().await {
                Ok(done) => {
                    let count = done.failed().len();
                    if count > 0 {
                        tracing::debug!(
                            count,
                            "some browsed messages could not be released; they become visible again by themselves"
                        );
                    }
                }
                Err(error) => {
                    let error = failed("release", error);
                    tracing::debug!(%error, "browsed messages could not be released; they become visible again by themselves");
                }
            }
        }
    }

    async fn delete(&self, url: &str, message: &SqsMessage) -> Result<(), Error> {
        let call = self
            .shared
            .sqs
            .delete_message()
            .queue_url(url)
            .set_receipt_handle(message.receipt_handle.clone());
        call.send().await.map_err(|error| failed("delete", error))?;
        Ok(())
    }

    /// Sends a copy of a message without the attributes that explain why it was dead-lettered.
    async fn send_copy(&self, queue: &str, message: &SqsMessage) -> Result<(), Error> {
        let mut attributes = message.message_attributes.clone().unwrap_or_default();
        attributes.retain(|name, _| !wire::is_label(name));
        let body = message.body.clone().unwrap_or_default();
        self.send_to(queue, body, attributes).await
    }

    async fn send_to(
        &self,
        queue: &str,
        body: String,
        attributes: HashMap<String, MessageAttributeValue>,
    ) -> Result<(), Error> {
        let url = self.shared.queue(queue).await?;
        let call = self
            .shared
            .sqs
            .send_message()
            .queue_url(url)
            .message_body(body)
            .set_message_attributes(Some(attributes).filter(|all| !all.is_empty()));
        call.send()
            .await
            .map_err(|error| failed(&format!("queue {queue}"), error))?;
        Ok(())
    }
}

fn stored(queue: &str, message: &SqsMessage) -> Stored {
    let (attributes, dead_letter) = wire::attributes(message);
    let sent_at_ms = wire::number(message, System::SentTimestamp).unwrap_or(0);
    let receive_count = wire::number(message, System::ApproximateReceiveCount).unwrap_or(0);
    let first_received_ms = wire::number(message, System::ApproximateFirstReceiveTimestamp);
    let is_copy = dead_letter
        .as_ref()
        .is_some_and(|dead| dead.reason.is_some());
    Stored {
        queue: queue.to_owned(),
        message_id: message.message_id.clone().unwrap_or_default(),
        body: message.body.clone().unwrap_or_default().into_bytes(),
        attributes,
        sent_at_ms,
        visible_at_ms: sent_at_ms,
        receive_count,
        attempts: match &dead_letter {
            Some(_) => wire::attempts_of_dead_letter(message),
            None => Some(receive_count),
        },
        // For a copy that pudato sent to a dead-letter queue, this was the first browse.
        first_received_ms: first_received_ms.filter(|_| !is_copy),
        dead_letter,
    }
}

#[async_trait]
impl Operations for AwsFabric {
    async fn counts(&self, queue: &str) -> Result<Counts, Error> {
        let url = self.shared.queue(queue).await?;
        let asked = self
            .shared
            .sqs
            .get_queue_attributes()
            .queue_url(url)
            .attribute_names(QueueAttributeName::All);
        let found = asked.send().await;
        let found = found.map_err(|error| failed(&format!("queue {queue}"), error))?;
        let found = found.attributes.unwrap_or_default();
        let count = |name: QueueAttributeName| {
            found
                .get(&name)
                .and_then(|text| text.parse().ok())
                .unwrap_or(0)
        };
        Ok(Counts {
            visible: count(QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
        })
    }

    async fn browse(&self, queue: &str, max: usize) -> Result<Vec<Stored>, Error> {
        let mut walk = self.walk(queue).await?;
        let mut found: Vec<SqsMessage> = Vec::new();
        while let Some(messages) = walk.next(max - found.len()).await? {
            found.extend(messages);
        }
        self.give_back(&walk.url, &found).await;
        let mut found: Vec<Stored> = found.iter().map(|message| stored(queue, message)).collect();
        found.sort_by_key(|message| message.sent_at_ms);
        Ok(found)
    }

    async fn unexplained(&self, dead_letters: &str, max: usize) -> Result<Vec<Stored>, Error> {
        let mut walk = self.walk(dead_letters).await?;
        let (mut found, mut met) = (Vec::new(), Vec::new());
        while found.len() < max {
            let Some(messages) = walk.next(BATCH).await? else {
                break;
            };
            for mut message in messages {
                let stored = stored(dead_letters, &message);
                if stored.is_unexplained() && found.len() < max {
                    found.push(stored);
                }
                // There may be thousands, and releasing a message needs no body.
                message.body = None;
                met.push(message);
            }
        }
        self.give_back(&walk.url, &met).await;
        found.sort_by_key(|message| message.sent_at_ms);
        Ok(found)
    }

    async fn has_subscribers(&self, topic: &str) -> Result<bool, Error> {
        let asked = self.shared.sns.list_subscriptions_by_topic();
        let asked = asked.topic_arn(self.shared.topic(topic)?);
        let mut pages = asked.into_paginator().items().send();
        while let Some(found) = pages.next().await {
            let found = found.map_err(|error| failed(&format!("topic {topic}"), error))?;
            // An unconfirmed or removed subscription has a word in place of its ARN.
            let arn = found.subscription_arn.unwrap_or_default();
            if arn.starts_with("arn:") {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn find(&self, _name: &str, _value: &str) -> Result<Vec<Stored>, Error> {
        let what = "SQS cannot be searched: look at one queue";
        Err(Error::new(ErrorKind::Invalid, what))
    }

    async fn replay(
        &self,
        dead_letters: &str,
        message_ids: &[String],
        to: Option<&str>,
    ) -> Result<u64, Error> {
        if let Some(to) = to {
            self.shared.queue(to).await?;
        }
        let url = self.shared.queue(dead_letters).await?;
        let asked = self.find_by_ids(dead_letters, message_ids).await?;
        let mut ways = Vec::with_capacity(asked.len());
        for message in &asked {
            let source = wire::attributes(message).1.map(|dead| dead.source);
            match to.map(str::to_owned).or(source) {
                Some(way) => ways.push(way),
                None => {
                    self.give_back(&url, &asked).await;
                    let what = format!("queue {dead_letters}: the origin of a message is unknown");
                    return Err(Error::new(ErrorKind::NotFound, what));
                }
            }
        }
        let mut moved = 0;
        for (message, way) in asked.iter().zip(ways) {
            self.send_copy(&way, message).await?;
            self.delete(&url, message).await?;
            moved += 1;
        }
        Ok(moved)
    }

    /// Uses SQS's own redrive, which moves messages without receiving them. The destination is always given, because SQS does not know
    /// where a message came from that pudato dead-lettered.
    async fn replay_all(
        &self,
        dead_letters: &str,
        to: &str,
        per_second: Option<u32>,
    ) -> Result<u64, Error> {
        let what = format!("replay of {dead_letters}");
        let source = self.shared.queue_arn(dead_letters).await?;
        let destination = self.shared.queue_arn(to).await?;
        let limit = per_second;
        let per_second = per_second.and_then(|rate| i32::try_from(rate).ok());
        let started = self
            .shared
            .sqs
            .start_message_move_task()
            .source_arn(&source)
            .destination_arn(destination)
            .set_max_number_of_messages_per_second(per_second)
            .send()
            .await;
        match started.map_err(|error| failed(&what, error)) {
            Ok(_) => {}
            // Some emulators do not support it (ministack 1.5.33).
            Err(error)
                if matches!(
                    error.aws_code(),
                    Some("InvalidAction" | "UnknownOperationException")
                ) =>
            {
                return replay_by_ids(self, dead_letters, to, limit).await;
            }
            Err(error) => return Err(error),
        }
        loop {
            let asked = self.shared.sqs.list_message_move_tasks();
            let listed = asked.source_arn(&source).max_results(1).send().await;
            let listed = listed.map_err(|error| failed(&what, error))?;
            let task = listed.results.unwrap_or_default().into_iter().next();
            let Some(task) = task else {
                return Err(Error::new(ErrorKind::Unavailable, what));
            };
            let moved = u64::try_from(task.approximate_number_of_messages_moved).unwrap_or(0);
            match task.status() {
                Some("RUNNING") => tokio::time::sleep(Duration::from_millis(500)).await,
                Some("COMPLETED") => return Ok(moved),
                status => {
                    let (status, why) = (
                        status.unwrap_or("unknown"),
                        task.failure_reason().unwrap_or("no reason"),
                    );
                    let what = format!(
                        "{what}: {status} after {moved} messages: {why}; the other messages were not moved"
                    );
                    return Err(Error::new(ErrorKind::Invalid, what));
                }
            }
        }
    }

    async fn purge(&self, queue: &str, message_ids: Option<&[String]>) -> Result<u64, Error> {
        let url = self.shared.queue(queue).await?;
        let Some(ids) = message_ids else {
            let counts = self.counts(queue).await?;
            let purged = self.shared.sqs.purge_queue().queue_url(url).send().await;
            purged.map_err(|error| failed(&format!("queue {queue}"), error))?;
            return Ok(counts.visible + counts.in_flight + counts.delayed);
        };
        let asked = self.find_by_ids(queue, ids).await?;
        for message in &asked {
            self.delete(&url, message).await?;
        }
        Ok(asked.len() as u64)
    }

    async fn explain(
        &self,
        dead_letters: &str,
        message_id: &str,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<bool, Error> {
        for (topic, _) in &publish {
            self.shared.topic(topic)?;
        }
        let url = self.shared.queue(dead_letters).await?;
        let asked = [message_id.to_owned()];
        let Some(message) = self.find_by_ids(dead_letters, &asked).await?.pop() else {
            return Ok(false);
        };
        let (attributes, dead_letter) = wire::attributes(&message);
        let Some(dead_letter) = dead_letter.filter(|dead| dead.reason.is_none()) else {
            self.give_back(&url, &[message]).await;
            return Ok(false);
        };
        // Prepared before anybody is notified: a message that cannot be sent would cause the same notification again and again.
        let body = message.body.clone().unwrap_or_default();
        let copy = labelled(body, attributes, reason, &dead_letter.source, None);
        let copy = shortened(copy, Limits::SQS.message_bytes_max);
        Limits::SQS.check(&copy)?;
        let mut others = wire::other_attributes(std::slice::from_ref(&message));
        let others = others.remove(id(&message)).unwrap_or_default();
        let attributes = with_others(&copy.attributes, others)?;
        let publisher = self.publisher();
        for (topic, message) in publish {
            one(publisher.publish(&topic, vec![message]).await?)?;
        }
        self.send_to(dead_letters, copy.body, attributes).await?;
        self.delete(&url, &message).await?;
        Ok(true)
    }
}
