//! Messages that a Lambda event source received. Lambda deletes the messages that were handled and returns those that are reported as
//! failed, so deleting here means remembering.

use super::queue::SqsConsumer;
use super::receipt;
use crate::aws::wire::{self, Origin};
use crate::{Deleted, Delivery, Error, ErrorKind, Lease};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types as sqs;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The messages of one invocation that are not handled yet, by their ids.
#[derive(Default)]
pub(super) struct EventSource(Mutex<BTreeSet<String>>);

impl EventSource {
    pub(super) fn left(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that these messages need no redelivery.
    pub(super) fn delete(&self, queue: &str, leases: &[Lease]) -> Vec<Result<Deleted, Error>> {
        let mut left = self.left();
        let delete = |lease| {
            left.remove(receipt::read(queue, lease)?.message_id);
            Ok(Deleted::Unknown)
        };
        leases.iter().map(delete).collect()
    }
}

impl SqsConsumer {
    /// Accepts the messages that a Lambda event source receives and deletes; they come through [`SqsConsumer::adopt`].
    #[must_use]
    pub fn of_event_source(mut self) -> Self {
        self.source = Some(EventSource::default());
        self
    }

    /// Accepts the records of an event (`{"Records": [..]}`, Lambda's developer guide, "Using Lambda with Amazon SQS") as deliveries.
    ///
    /// # Errors
    /// `Invalid`: it is not an SQS event. None of its messages can then be reported as failed, so the invocation must fail as a whole.
    pub fn adopt(&self, event: &Value) -> Result<Vec<Delivery>, Error> {
        let invalid = |what: &str| Error::new(ErrorKind::Invalid, format!("event: {what}"));
        let records = event.get("Records").and_then(Value::as_array);
        let records = records.ok_or_else(|| invalid("expected a list Records, as SQS sends it"))?;
        let now_ms = self.shared.clock.now_ms();
        let origin = Origin {
            queue: &self.queue,
            received_ms: now_ms,
            visibility_ms: u64::try_from(self.visibility().as_millis()).unwrap_or(u64::MAX),
            attempt_max: self.attempt_max,
        };
        let messages = records.iter().map(|record| {
            message(record).ok_or_else(|| {
                invalid("expected messageId, receiptHandle and body in every record")
            })
        });
        let messages: Vec<sqs::Message> = messages.collect::<Result<_, _>>()?;
        let others = wire::other_attributes(&messages);
        let deliveries = messages
            .into_iter()
            .map(|message| wire::delivery(message, &origin));
        let deliveries: Vec<Delivery> = deliveries.collect();
        if let Some(source) = &self.source {
            let ids = deliveries.iter().map(|one| one.message_id.clone());
            *source.left() = ids.collect();
        }
        self.hold(&deliveries, others);
        Ok(deliveries)
    }

    /// The ids of the adopted messages to report as failed: those that were neither deleted nor dead-lettered.
    pub fn left(&self) -> Vec<String> {
        let left = self.source.as_ref().map(|source| source.left().clone());
        left.into_iter().flatten().collect()
    }
}

/// Converts a record to an SQS message; `None` if a required field is missing.
fn message(record: &Value) -> Option<sqs::Message> {
    let text = |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned());
    let mut message = sqs::Message::builder()
        .message_id(text(record, "messageId").filter(|id| !id.is_empty())?)
        .receipt_handle(text(record, "receiptHandle")?)
        .body(text(record, "body")?);
    let system = record.get("attributes").and_then(Value::as_object);
    for (name, value) in system.into_iter().flatten() {
        let name = sqs::MessageSystemAttributeName::from(name.as_str());
        message = message.attributes(name, value.as_str()?);
    }
    let given = record.get("messageAttributes").and_then(Value::as_object);
    for (name, value) in given.into_iter().flatten() {
        let binary = text(value, "binaryValue").and_then(|text| STANDARD.decode(text).ok());
        let built = sqs::MessageAttributeValue::builder()
            .data_type(text(value, "dataType").unwrap_or_default())
            .set_string_value(text(value, "stringValue"))
            .set_binary_value(binary.map(Blob::new))
            .build();
        message = message.message_attributes(name, built.ok()?);
    }
    Some(message.build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_the_message_that_sqs_would_have_given() {
        let record = json!({"messageId": "1", "receiptHandle": "r", "body": "{}",
        "attributes": {"ApproximateReceiveCount": "2"},
        "messageAttributes": {
            "text": {"stringValue": "a", "dataType": "String"},
            "bytes": {"binaryValue": "AAEC", "dataType": "Binary"},
        }});
        let message = message(&record).expect("whole");
        let attributes = message.message_attributes().expect("given");
        assert_eq!(attributes["text"].string_value(), Some("a"));
        // Without its value, the attribute could not be sent on to a dead-letter queue.
        let bytes = attributes["bytes"].binary_value().expect("kept");
        assert_eq!(bytes.as_ref(), [0, 1, 2]);
        assert_eq!(wire::other_attributes(&[message])["1"].len(), 1);
    }
}
