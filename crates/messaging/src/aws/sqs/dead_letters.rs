//! Dead-letters messages. SQS has no operation for it, so pudato sends a copy with the reason to the queue's dead-letter queue and then
//! deletes the message. After a crash in between the message is in both queues.

use super::queue::SqsConsumer;
use super::settle::one;
use crate::aws::error::failed;
use crate::aws::wire::{self, ATTEMPTS, REASON, SOURCE};
use crate::{Consumer, Error, ErrorKind, Lease, Limits, Message, Publisher, claims};
use aws_sdk_sqs::types::MessageAttributeValue;
use std::collections::{BTreeMap, HashMap};

/// A reason is cut to this length, to leave room for the message.
const REASON_CHARS: usize = 1_000;
/// The smallest `MaximumMessageSize` of a queue.
const QUEUE_BYTES_MIN: usize = 1_024;

pub(super) async fn give_up(
    consumer: &SqsConsumer,
    mut lease: Lease,
    reason: &str,
    publish: Vec<(String, Message)>,
) -> Result<(), Error> {
    let Some(arn) = &consumer.dead_letters else {
        let what = format!("{}: it has no dead-letter queue", consumer.context());
        return Err(Error::new(ErrorKind::NotFound, what));
    };
    let held = consumer.held(&lease)?;
    // A lost lease is noticed here, before anything is sent.
    let renewed = consumer
        .renew(vec![&mut lease], consumer.visibility())
        .await;
    renewed.into_iter().collect::<Result<(), Error>>()?;
    for (topic, message) in publish {
        one(consumer.publisher.publish(&topic, vec![message]).await?)?;
    }
    let name = arn.rsplit(':').next().unwrap_or(arn);
    let url = sibling(&consumer.url, name);
    let message = labelled(
        held.body,
        held.attributes,
        reason,
        &consumer.queue,
        held.attempt,
    );
    let message = match &consumer.claims {
        Some(claims) => {
            let clock = &*consumer.shared.clock;
            claims::offload(message, &consumer.limits, &**claims, clock).await?
        }
        None => message,
    };
    let mut sent = send(consumer, &url, name, &message, &held.others).await;
    // A dead-letter queue may take less than its queue, and the error code does not tell this apart from other refusals. A claim is small
    // enough for any queue.
    if let (Err(error), Some(claims)) = (&sent, &consumer.claims)
        && matches!(error.kind, ErrorKind::Invalid | ErrorKind::TooLarge)
        && message.bytes() > QUEUE_BYTES_MIN
        && !claims::is_claim(&message)
    {
        let clock = &*consumer.shared.clock;
        let claim = claims::put(message, &**claims, clock).await?;
        sent = send(consumer, &url, name, &claim, &held.others).await;
    }
    sent?;
    for deleted in consumer.delete(vec![lease]).await {
        deleted?;
    }
    Ok(())
}

async fn send(
    consumer: &SqsConsumer,
    url: &str,
    name: &str,
    message: &Message,
    others: &HashMap<String, MessageAttributeValue>,
) -> Result<(), Error> {
    let attributes = with_others(&message.attributes, others.clone())?;
    let call = consumer.shared.sqs.send_message().queue_url(url);
    let call = call.message_body(&message.body);
    let sent = call.set_message_attributes(Some(attributes)).send().await;
    sent.map_err(|error| failed(&format!("queue {name}"), error))?;
    Ok(())
}

/// Attributes in the form of SQS. `others` are not strings and are passed on unchanged.
pub(in crate::aws) fn with_others(
    attributes: &BTreeMap<String, String>,
    others: HashMap<String, MessageAttributeValue>,
) -> Result<HashMap<String, MessageAttributeValue>, Error> {
    let mut attributes = wire::sqs_attributes(attributes)?;
    for (name, value) in others {
        // An attribute that replaces a string takes no extra place.
        if attributes.contains_key(&name) || attributes.len() < Limits::SQS.attributes_max {
            attributes.insert(name, value);
        }
    }
    Ok(attributes)
}

/// The URL of another queue of the same account and region, as a dead-letter queue is. So a handler needs no permission to look it up.
fn sibling(url: &str, name: &str) -> String {
    let beside = url.rsplit_once('/').map_or(url, |(beside, _)| beside);
    format!("{beside}/{name}")
}

/// Adds the reason, the origin and, if there is room for the attribute, the number of attempts. SQS allows ten attributes; those that do
/// not fit become part of the reason.
pub(in crate::aws) fn labelled(
    body: String,
    mut attributes: BTreeMap<String, String>,
    reason: &str,
    queue: &str,
    attempts: Option<u32>,
) -> Message {
    // Room for the reason, the origin, and the size of a claim.
    let room = Limits::SQS.attributes_max - 3;
    let mut text = reason.to_owned();
    while attributes.len() > room {
        if let Some((name, value)) = attributes.pop_last() {
            text.push_str(&format!(" [{name}: {value}]"));
        }
    }
    let text: String = text
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'))
        .take(REASON_CHARS)
        .collect();
    let text = match text.is_empty() {
        true => "unknown".into(),
        false => text,
    };
    attributes.insert(REASON.into(), text);
    attributes.insert(SOURCE.into(), queue.to_owned());
    // One attribute is reserved for the size of a claim.
    if let Some(attempts) = attempts
        && attributes.len() + 1 < Limits::SQS.attributes_max
    {
        attributes.insert(ATTEMPTS.into(), attempts.to_string());
    }
    Message { body, attributes }
}

/// Cuts the reason until the message fits, as far as that helps.
pub(in crate::aws) fn shortened(mut message: Message, bytes_max: usize) -> Message {
    let over = message.bytes().saturating_sub(bytes_max);
    if let Some(reason) = message.attributes.get_mut(REASON) {
        let keep = reason.len().saturating_sub(over);
        // One character stays, because an attribute must not be empty.
        let first = reason.chars().next().map_or(0, char::len_utf8);
        reason.truncate(reason.floor_char_boundary(keep).max(first));
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_letter_has_at_most_ten_attributes_and_says_what_did_not_fit() {
        let many = (0..10).map(|n| (format!("a{n}"), n.to_string()));
        let message = labelled("{}".into(), many.collect(), "why\n", "work", Some(3));
        assert!(message.attributes.len() < Limits::SQS.attributes_max);
        assert_eq!(message.attributes[REASON], "why [a9: 9] [a8: 8] [a7: 7]");
        assert_eq!(message.attributes[SOURCE], "work");
        assert_eq!(message.attributes["a6"], "6");
        let message = labelled("{}".into(), BTreeMap::new(), "why", "work", Some(3));
        assert_eq!(message.attributes[ATTEMPTS], "3");
    }

    #[test]
    fn a_reason_is_cut_where_the_message_is_near_its_limit() {
        let message = labelled(
            "x".repeat(900),
            BTreeMap::new(),
            &"ä".repeat(500),
            "work",
            None,
        );
        assert_eq!(shortened(message.clone(), 10_000), message);
        let cut = shortened(message.clone(), 1_000);
        assert!(
            cut.bytes() <= 1_000 && cut.bytes() >= 998,
            "{}",
            cut.bytes()
        );
        let hopeless = shortened(message, 10);
        assert_eq!(hopeless.attributes[REASON], "ä");
    }
}
