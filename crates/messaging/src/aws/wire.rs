//! Messages as SNS and SQS have them.

use super::receipt;
use crate::{DeadLetter, Delivery, Error, ErrorKind, Lease, Outgoing};
use aws_sdk_sns::types as sns;
use aws_sdk_sqs::types as sqs;
use aws_sdk_sqs::types::MessageSystemAttributeName as System;
use std::collections::{BTreeMap, HashMap};

/// The type of every attribute that pudato sends.
const STRING: &str = "String";
/// Attributes of a message that pudato itself moved to a dead-letter queue.
pub(super) const REASON: &str = "dead_letter_reason";
pub(super) const SOURCE: &str = "dead_letter_source";

fn unbuilt(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Invalid, format!("message: {error}"))
}

pub(super) fn sns_attributes(
    message: &Outgoing,
) -> Result<HashMap<String, sns::MessageAttributeValue>, Error> {
    let attribute = |(name, value): (&String, &String)| {
        let built = sns::MessageAttributeValue::builder()
            .data_type(STRING)
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
            .data_type(STRING)
            .string_value(value)
            .build();
        Ok((name.clone(), built.map_err(unbuilt)?))
    };
    attributes.iter().map(attribute).collect()
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
    // The broker says where a message came from that it moved itself.
    let moved_from = system(message, System::DeadLetterQueueSourceArn);
    let moved_from = moved_from.map(|arn| arn.rsplit(':').next().unwrap_or(arn).to_owned());
    let dead_letter = source
        .or(moved_from)
        .map(|source| DeadLetter { source, reason });
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
