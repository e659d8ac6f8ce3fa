//! Converts messages to and from the types of SNS and SQS.

use super::sqs::receipt;
use crate::claims;
use crate::{DeadLetter, Delivery, Error, ErrorKind, Lease, Message};
use aws_sdk_sns::types as sns;
use aws_sdk_sqs::types as sqs;
use aws_sdk_sqs::types::MessageSystemAttributeName as System;
use std::collections::{BTreeMap, HashMap};

/// The data type of an attribute. AWS's extended clients write the size of a claim as a number; all other attributes are strings.
fn data_type(name: &str) -> &'static str {
    match claims::SIZES.contains(&name) {
        true => "Number",
        false => "String",
    }
}

/// The attributes that pudato adds when it dead-letters a message.
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

/// The attributes of messages that are not strings, by message id. pudato reads strings only and passes the others on unchanged.
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

/// Whether an attribute explains why a message was dead-lettered.
pub(super) fn is_label(name: &str) -> bool {
    [REASON, SOURCE, ATTEMPTS].contains(&name)
}

/// How often a worker received a message before it was dead-lettered. SQS counts browsing as a receive and continues to count on the
/// dead-letter queue, so its count is useless here. A message that pudato dead-lettered carries the number; one that SQS moved does not.
pub(super) fn attempts_of_dead_letter(message: &sqs::Message) -> Option<u32> {
    if system(message, System::DeadLetterQueueSourceArn).is_some() {
        return None;
    }
    let attempts = message.message_attributes.as_ref()?.get(ATTEMPTS)?;
    attempts.string_value.as_ref()?.parse().ok()
}

/// The queue that a message came from.
pub(super) struct Origin<'a> {
    pub(super) queue: &'a str,
    pub(super) received_ms: u64,
    pub(super) visibility_ms: u64,
    pub(super) attempt_max: Option<u32>,
}

/// The attributes as strings, without those that explain why the message was dead-lettered.
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
    // The broker reports the origin of a message that it moved itself.
    let moved_from = system(message, System::DeadLetterQueueSourceArn);
    let moved_from = moved_from.map(|arn| arn.rsplit(':').next().unwrap_or(arn).to_owned());
    let dead_letter = match moved_from {
        // This reason belongs to an earlier death, from which the message was replayed. The sender was not notified of the current one yet.
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
