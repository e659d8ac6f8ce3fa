//! Receives from SQS.

use super::queue::{SqsConsumer, ms, seconds};
use crate::aws::error::failed;
use crate::aws::wire::{self, Origin};
use crate::{Consumer, Delivery, Error, Receive};
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::MessageSystemAttributeName;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// After a receive that returned fewer messages than it asked for, the next receive waits this long. AWS bills calls, and one call then
/// returns all messages that arrive meanwhile.
const GATHER: Duration = Duration::from_millis(20);

impl SqsConsumer {
    pub(super) async fn receive_batch(&self, receive: Receive) -> Result<Vec<Delivery>, Error> {
        self.limits.check_receive(receive)?;
        if receive.wait > Duration::ZERO {
            let next = *self
                .next_receive
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(next) = next {
                sleep_until(next).await;
            }
        }
        let received_ms = self.now_ms();
        let call = self
            .shared
            .sqs
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(receive.max).unwrap_or(1))
            .wait_time_seconds(seconds(receive.wait))
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All")
            .customize()
            // The caller retries and logs the failure, so that a hanging call shows after the timeout of one attempt.
            .config_override(aws_sdk_sqs::Config::builder().retry_config(RetryConfig::disabled()));
        let received = call.send().await;
        let received = received.map_err(|error| failed(&self.context(), error))?;
        let origin = Origin {
            queue: &self.queue,
            // A long poll may have waited before it received the message.
            received_ms: received_ms.max(self.now_ms().saturating_sub(1_000)),
            visibility_ms: ms(self.visibility),
            attempt_max: self.attempt_max,
        };
        let messages = received.messages.unwrap_or_default();
        if messages.is_empty() {
            self.shared.calls.empty_receive();
        }
        let bodies = messages.iter().filter_map(|message| message.body.as_ref());
        let bytes = bodies.map(String::len).sum();
        self.shared.calls.carried("SQS ReceiveMessage", bytes);
        let is_some = !messages.is_empty() && messages.len() < receive.max;
        let next = is_some.then(|| Instant::now() + GATHER);
        *self
            .next_receive
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = next;
        let others = wire::other_attributes(&messages);
        let messages = messages.into_iter();
        let deliveries = messages.map(|message| wire::delivery(message, &origin));
        let new = self.delete_again(deliveries.collect()).await;
        self.hold(&new, others);
        Ok(new)
    }

    /// Deletes redelivered messages whose deletion SQS forgot; their handlers have run.
    async fn delete_again(&self, deliveries: Vec<Delivery>) -> Vec<Delivery> {
        let handled = |delivery: &Delivery| {
            let handled = self
                .recently_deleted
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            handled.contains(&delivery.message_id)
        };
        let (again, new): (Vec<_>, Vec<_>) = deliveries.into_iter().partition(handled);
        if !again.is_empty() {
            tracing::debug!(count = again.len(), queue = %self.queue, "SQS delivered deleted messages again; pudato deletes them again");
            let leases = again.into_iter().map(|delivery| delivery.lease);
            self.delete(leases.collect()).await;
        }
        new
    }
}
