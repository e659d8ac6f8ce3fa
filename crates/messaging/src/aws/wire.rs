//! Messages as SNS and SQS have them.

use super::sqs::receipt;
use crate::claims;
use crate::{DeadLetter, Delivery, Error, ErrorKind, Lease, Message};
use aws_sdk_sns::types as sns;
use aws_sdk_sqs::types as sqs;
use aws_sdk_sqs::types::MessageSystemAttributeName as System;
use std::collections::{BTreeMap, HashMap};

/// The type of an attribute. AWS's extended clients send and look for the size of a claim as a number; all others are texts.
fn data_type(name: &str) -> &'static str {
    match claims::SIZES.contains(&name) {
        true => "Number",
        false => "String",
    }
}

/// Attributes of a message that pudato itself moved to a dead-letter queue.
pub(super) const REASON: &str = "dead_letter_reason";
pub(super) const SOURCE: &str = "dead_letter_source";
pub(super) const ATTEMPTS: &str = "dead_letter_attempts";

fn unbuilt(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Invalid, format!("message: {error}")).with_source(error)
}

pub(super) fn sns_attributes(
    message: &Message,
) -> Result<HashMap<String, sns::MessageAttributeValue>, Error> {
    let attribute = |(name, value): (&String, &String)| {
        let built = sns::MessageAttributeValue::builder()
            .data_type(data_type(name))
            .string_value(value)
            .build();
        Ok((name.clone(), built.map_err(unbuilt)?))
    };
    message.attributes.iter().map(attribute).collect()
}

pub(super) fn sqs_attributes(
    attributes: &BTreeMap<String, String>,
) -> Result<HashMap<String, sqs::MessageAttributeValue>, Error> {
    let attribute = |(name, value): (&String, &String)| {
        let built = sqs::MessageAttributeValue::builder()
            .data_type(data_type(name))
            .string_value(value)
            .build();
        Ok((name.clone(), built.map_err(unbuilt)?))
    };
    attributes.iter().map(attribute).collect()
}

/// Attributes of messages that are no texts, by the messages' ids: pudato reads texts alone, and passes the others on as they came.
pub(super) fn other_attributes(messages: &[sqs::Message]) -> OtherAttributes {
    let of = |message: &sqs::Message| {
        let all = message.message_attributes.iter().flatten();
        let others = all.filter(|(_, value)| value.data_type != "String");
        let others: HashMap<_, _> = others
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let id = message.message_id.clone()?;
        (!others.is_empty()).then_some((id, others))
    };
    messages.iter().filter_map(of).collect()
}

pub(super) type OtherAttributes = HashMap<String, HashMap<String, sqs::MessageAttributeValue>>;

/// Whether an attribute says why a message was given up.
pub(super) fn is_label(name: &str) -> bool {
    [REASON, SOURCE, ATTEMPTS].contains(&name)
}

/// How often a dead letter was handed to a worker before it became one. SQS counts looks as receives and goes on counting on the dead-letter
/// queue, so its count says nothing; what pudato gave up carries it, and what SQS moved itself does not.
pub(super) fn attempts_of_dead_letter(message: &sqs::Message) -> Option<u32> {
    if system(message, System::DeadLetterQueueSourceArn).is_some() {
        return None;
    }
    let attempts = message.message_attributes.as_ref()?.get(ATTEMPTS)?;
    attempts.string_value.as_ref()?.parse().ok()
}

/// What is known of the queue that a message came from.
pub(super) struct Origin<'a> {
    pub(super) queue: &'a str,
    pub(super) received_ms: u64,
    pub(super) visibility_ms: u64,
    pub(super) attempt_max: Option<u32>,
}

/// Attributes as texts, without those that say why the message is here.
pub(super) fn attributes(message: &sqs::Message) -> (BTreeMap<String, String>, Option<DeadLetter>) {
    let given = message.message_attributes.iter().flatten();
    let texts = given.filter_map(|(name, value)| {
        let text = value.string_value.clone()?;
        Some((name.clone(), text))
    });
    let mut attributes: BTreeMap<String, String> = texts.collect();
    let reason = attributes.remove(REASON);
    let source = attributes.remove(SOURCE);
    attributes.remove(ATTEMPTS);
    // The broker says where a message came from that it moved itself.
    let moved_from = system(message, System::DeadLetterQueueSourceArn);
    let moved_from = moved_from.map(|arn| arn.rsplit(':').next().unwrap_or(arn).to_owned());
    let dead_letter = match moved_from {
        // The reason is that of an earlier death, from which it was replayed: of this one nobody was told yet.
        Some(source) => Some(DeadLetter {
            source,
            reason: None,
        }),
        None => source.map(|source| DeadLetter { source, reason }),
    };
    (attributes, dead_letter)
}

pub(super) fn system(message: &sqs::Message, name: System) -> Option<&str> {
    let attributes = message.attributes.as_ref()?;
    attributes.get(&name).map(String::as_str)
}

pub(super) fn number<T: std::str::FromStr>(message: &sqs::Message, name: System) -> Option<T> {
    system(message, name).and_then(|text| text.parse().ok())
}

pub(super) fn delivery(message: sqs::Message, origin: &Origin<'_>) -> Delivery {
    let (attributes, dead_letter) = attributes(&message);
    let message_id = message.message_id.clone().unwrap_or_default();
    let handle = message.receipt_handle.clone().unwrap_or_default();
    Delivery {
        attempt: number(&message, System::ApproximateReceiveCount),
        attempt_max: origin.attempt_max,
        first_received_ms: number(&message, System::ApproximateFirstReceiveTimestamp),
        dead_letter,
        lease: Lease {
            receipt: receipt::write(origin.queue, &message_id, origin.received_ms, &handle),
            deadline_ms: origin.received_ms.saturating_add(origin.visibility_ms),
        },
        body: message.body.unwrap_or_default().into_bytes(),
        message_id,
        attributes,
    }
}
