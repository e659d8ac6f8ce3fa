//! The messages that a consumer holds. Dead-lettering sends a copy, and SQS does not return a message's body a second time.

use super::queue::{SqsConsumer, ms};
use super::receipt;
use crate::aws::wire::OtherAttributes;
use crate::{Delivery, Error, ErrorKind, Lease};
use aws_sdk_sqs::types::MessageAttributeValue;
use std::collections::{BTreeMap, HashMap};
use std::sync::PoisonError;

/// A message in progress.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) body: String,
    pub(super) attributes: BTreeMap<String, String>,
    /// The attributes that are not strings.
    pub(super) others: HashMap<String, MessageAttributeValue>,
    /// The number of the attempt.
    pub(super) attempt: Option<u32>,
    until_ms: u64,
}

impl SqsConsumer {
    /// The message with this lease.
    pub(super) fn held(&self, lease: &Lease) -> Result<Held, Error> {
        let receipt = receipt::read(&self.queue, lease)?;
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(receipt.message_id).cloned().ok_or_else(|| {
            let what = "lease: its message is not in hand any more";
            Error::new(ErrorKind::Invalid, what)
        })
    }

    pub(super) fn hold(&self, deliveries: &[Delivery], mut others: OtherAttributes) {
        let now_ms = self.now_ms();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // A consumer whose lease has ended does not ask for its message again.
        held.retain(|_, held| held.until_ms > now_ms);
        for delivery in deliveries {
            let until_ms = now_ms.saturating_add(ms(self.limits.lease_max));
            held.insert(
                delivery.message_id.clone(),
                Held {
                    body: String::from_utf8_lossy(&delivery.body).into_owned(),
                    attributes: delivery.attributes.clone(),
                    others: others.remove(&delivery.message_id).unwrap_or_default(),
                    attempt: delivery.attempt,
                    until_ms,
                },
            );
        }
    }

    pub(super) fn let_go(&self, lease: &Lease) {
        if let Ok(receipt) = receipt::read(&self.queue, lease) {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.remove(receipt.message_id);
        }
    }
}
