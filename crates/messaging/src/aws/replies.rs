//! A queue for the replies to one Command, for callers that cannot reach the registry.

use super::error::failed;
use super::topology::{account, queue_policy};
use super::{AwsFabric, Shared, wire};
use crate::Error;
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, QueueAttributeName as Attribute};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The part of the queue's name after the prefix. The second of its creation and eight hexadecimal digits follow.
const INFIX: &str = "-reply-";
/// How long the queue keeps messages. Its owner reads it all the time.
const RETENTION_SECONDS: u64 = 3_600;
/// A queue older than this has lost its caller.
const STRAY_SECONDS: u64 = 86_400;
/// The longest long poll, and the most messages of a receive.
const WAIT_SECONDS_MAX: u64 = 20;
const RECEIVE_MAX: i32 = 10;

/// A queue that receives the messages of one topic with one correlation id. Its owner closes it; if the owner is killed,
/// [`AwsFabric::sweep_replies`] removes the queue a day later.
pub struct ReplyQueue {
    shared: Arc<Shared>,
    name: String,
    url: String,
    subscription: Option<String>,
}

/// A message that a [`ReplyQueue`] received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The body as published.
    pub body: Vec<u8>,
    /// The attributes that were sent with it.
    pub attributes: BTreeMap<String, String>,
}

impl AwsFabric {
    /// Creates a queue `PREFIX-reply-SECOND-DIGITS` that receives what is published to `topic` with this `correlation_id` from now on. Its
    /// policy accepts only this topic, and only over TLS; its messages are encrypted.
    ///
    /// # Errors
    /// `NotFound` for an unknown topic; `Denied` if the caller may not create queues; `Unavailable`. Nothing is left behind then.
    pub async fn listen(
        &self,
        prefix: &str,
        topic: &str,
        correlation_id: &str,
    ) -> Result<ReplyQueue, Error> {
        let topic_arn = self.shared.topic(topic)?;
        let second = self.shared.clock.now_ms() / 1_000;
        let digits = uuid::Uuid::new_v4().simple().to_string();
        let name = format!("{prefix}{INFIX}{second}-{}", &digits[..8]);
        let arn = account(&self.shared).await?.arn("sqs", &name);
        // The account of the topic, which may differ from the caller's: arn:aws:sns:REGION:ACCOUNT:NAME.
        let sender = topic_arn.split(':').nth(4).unwrap_or_default();
        let policy = queue_policy(&arn, std::slice::from_ref(&topic_arn), sender);
        let call = self
            .shared
            .sqs
            .create_queue()
            .queue_name(&name)
            .attributes(Attribute::Policy, policy.to_string())
            .attributes(Attribute::SqsManagedSseEnabled, "true")
            .attributes(
                Attribute::MessageRetentionPeriod,
                RETENTION_SECONDS.to_string(),
            )
            .tags("pudato:reply", prefix);
        let title = format!("queue {name}");
        let made = call.send().await.map_err(|error| failed(&title, error))?;
        let mut queue = ReplyQueue {
            shared: Arc::clone(&self.shared),
            name,
            url: made.queue_url.unwrap_or_default(),
            subscription: None,
        };
        let call = self
            .shared
            .sns
            .subscribe()
            .topic_arn(&topic_arn)
            .protocol("sqs")
            .endpoint(&arn)
            .attributes("RawMessageDelivery", "true")
            .attributes(
                "FilterPolicy",
                json!({"correlation_id": [correlation_id]}).to_string(),
            )
            .return_subscription_arn(true);
        match call.send().await {
            Ok(subscribed) => {
                queue.subscription = subscribed.subscription_arn;
                Ok(queue)
            }
            Err(error) => {
                let error = failed(&format!("subscription of {} to {topic}", queue.name), error);
                queue.close().await;
                Err(error)
            }
        }
    }

    /// Removes reply queues whose callers are gone, with their subscriptions to `topic`, and returns how many.
    ///
    /// # Errors
    /// The queues cannot be listed, or one cannot be removed; the next call removes the others.
    pub async fn sweep_replies(&self, prefix: &str, topic: &str) -> Result<usize, Error> {
        let shared = &self.shared;
        let now = shared.clock.now_ms() / 1_000;
        let is_stray = |name: &str| {
            let made = made_at(prefix, name);
            made.is_some_and(|made| made + STRAY_SECONDS < now)
        };
        let mut swept = 0;
        let title = format!("topic {topic}");
        let mut pages = shared
            .sns
            .list_subscriptions_by_topic()
            .topic_arn(shared.topic(topic)?)
            .into_paginator()
            .items()
            .send();
        while let Some(found) = pages.next().await {
            let found = found.map_err(|error| failed(&title, error))?;
            let endpoint = found.endpoint.unwrap_or_default();
            if is_stray(endpoint.rsplit(':').next().unwrap_or_default()) {
                let call = shared.sns.unsubscribe();
                let call = call.set_subscription_arn(found.subscription_arn);
                call.send().await.map_err(|error| failed(&title, error))?;
            }
        }
        let asked = shared.sqs.list_queues();
        let asked = asked.queue_name_prefix(format!("{prefix}{INFIX}"));
        let mut pages = asked.into_paginator().items().send();
        while let Some(url) = pages.next().await {
            let url = url.map_err(|error| failed("queues", error))?;
            let name = url.rsplit('/').next().unwrap_or_default().to_owned();
            if is_stray(&name) {
                let call = shared.sqs.delete_queue().queue_url(&url);
                let gone = call.send().await;
                gone.map_err(|error| failed(&format!("queue {name}"), error))?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

impl ReplyQueue {
    /// Returns the messages that arrived. Waits up to `wait` for the first, in whole seconds and at most 20. A message is not returned
    /// again, except for the rare one that SQS delivers twice.
    ///
    /// # Errors
    /// `NotFound`: the queue was removed; `Unavailable`, `Denied`.
    pub async fn receive(&self, wait: Duration) -> Result<Vec<Reply>, Error> {
        let wait = wait
            .as_millis()
            .div_ceil(1_000)
            .min(u128::from(WAIT_SECONDS_MAX));
        let sqs = &self.shared.sqs;
        let title = format!("queue {}", self.name);
        let call = sqs
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(RECEIVE_MAX)
            .wait_time_seconds(i32::try_from(wait).unwrap_or_default())
            .message_attribute_names("All");
        let received = call.send().await.map_err(|error| failed(&title, error))?;
        let messages = received.messages.unwrap_or_default();
        let entries = messages.iter().enumerate().filter_map(|(n, message)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(n.to_string());
            let entry = entry.set_receipt_handle(message.receipt_handle.clone());
            entry.build().ok()
        });
        let entries: Vec<_> = entries.collect();
        if !entries.is_empty() {
            let call = sqs.delete_message_batch().queue_url(&self.url);
            if let Err(error) = call.set_entries(Some(entries)).send().await {
                // They are delivered again, with the same content.
                tracing::debug!(error = %failed(&title, error), "received replies could not be deleted; SQS may deliver them again");
            }
        }
        let replies = messages.into_iter().map(|message| Reply {
            attributes: wire::attributes(&message).0,
            body: message.body.unwrap_or_default().into_bytes(),
        });
        Ok(replies.collect())
    }

    /// Removes the queue and its subscription. A failure is logged, and the sweep removes the rest later.
    pub async fn close(self) {
        let Self {
            shared,
            name,
            url,
            subscription,
        } = self;
        if let Some(arn) = subscription {
            let call = shared.sns.unsubscribe().subscription_arn(arn);
            if let Err(error) = call.send().await {
                let error = failed(&format!("subscription of {name}"), error);
                tracing::warn!(%error, "part of a reply queue could not be removed; a later call removes it");
            }
        }
        if let Err(error) = shared.sqs.delete_queue().queue_url(url).send().await {
            let error = failed(&format!("queue {name}"), error);
            tracing::warn!(%error, "part of a reply queue could not be removed; a later call removes it");
        }
    }
}

/// Whether `name` is that of a reply queue whose caller may still wait.
pub(super) fn is_in_use(prefix: &str, name: &str, now_ms: u64) -> bool {
    let made = made_at(prefix, name);
    made.is_some_and(|made| made + STRAY_SECONDS >= now_ms / 1_000)
}

/// The second since the Unix epoch in which a reply queue was created; `None` for the name of any other queue.
fn made_at(prefix: &str, name: &str) -> Option<u64> {
    let rest = name.strip_prefix(prefix)?.strip_prefix(INFIX)?;
    let (second, digits) = rest.split_once('-')?;
    let is_digits = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    second.parse().ok().filter(|_| is_digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_other_queue_is_taken_for_one_of_replies() {
        let name = "pudato-reply-1795000000-0a1b2c3d";
        assert_eq!(made_at("pudato", name), Some(1_795_000_000));
        for other in [
            "pudato-reply-queue",
            "pudato-reply-dlq",
            "pudato-reply-1795000000-queue",
            "pudato-reply-x-0a1b2c3d",
            "other-reply-1795000000-0a1b2c3d",
            "pudato-b-reply-1795000000-0a1b2c3d",
        ] {
            assert_eq!(made_at("pudato", other), None, "{other}");
        }
    }

    #[test]
    fn a_queue_is_in_use_for_a_day() {
        let name = "pudato-reply-1795000000-0a1b2c3d";
        let after = |seconds: u64| (1_795_000_000 + seconds) * 1_000;
        assert!(is_in_use("pudato", name, after(86_400)));
        assert!(!is_in_use("pudato", name, after(86_401)));
    }
}
