//! Ends deliveries: deletes, renews, releases, dead-letters and settles them. Each operation checks everything that can be refused before
//! it changes anything, so that it is one transaction under the fabric's lock.

use super::receipt::Receipt;
use super::state::{State, StoredMessage, milliseconds};
use crate::topology::LEASE_MAX;
use crate::{DeadLetter, Deleted, Error, ErrorKind, Limits, Message, QueueConfig, Settlement};
use std::time::Duration;

impl State {
    /// Deletes the delivery with this receipt. A message that another consumer holds is left alone.
    pub(super) fn delete(&mut self, receipt: &Receipt, now_ms: u64) -> Result<Deleted, Error> {
        self.take_back(receipt)?;
        if self.held(receipt)?.is_some() {
            let queue = self.queue_mut(&receipt.queue)?;
            queue.messages.remove(&receipt.at());
            self.alive.remove(&receipt.number);
            return Ok(Deleted::Deleted);
        }
        self.excuse(receipt, now_ms)?;
        Ok(match self.alive.contains(&receipt.number) {
            true => Deleted::LeaseLost,
            false => Deleted::Deleted,
        })
    }

    /// Hides the delivery until `want` from now and returns its new receipt. This also works after the lease has ended, as long as no other
    /// consumer has received the message.
    pub(super) fn hide(
        &mut self,
        mut receipt: Receipt,
        want: Duration,
        now_ms: u64,
    ) -> Result<Receipt, Error> {
        let due_ms = now_ms.saturating_add(milliseconds(want));
        let total_ms = due_ms.saturating_sub(receipt.received_ms);
        if want > LEASE_MAX || total_ms > milliseconds(LEASE_MAX) {
            let context = "lease: at most 12 hours after the receive";
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        self.take_back(&receipt)?;
        let Some(message) = self.held(&receipt)?.cloned() else {
            self.excuse(&receipt, now_ms)?;
            return Err(lost());
        };
        let messages = &mut self.queue_mut(&receipt.queue)?.messages;
        messages.remove(&receipt.at());
        receipt.due_ms = due_ms;
        messages.insert(receipt.at(), message);
        Ok(receipt)
    }

    /// As `hide`, and wakes waiting receives.
    pub(super) fn release(
        &mut self,
        receipt: Receipt,
        after: Duration,
        now_ms: u64,
    ) -> Result<(), Error> {
        let receipt = self.hide(receipt, after, now_ms)?;
        self.queue(&receipt.queue)?.arrivals.notify_waiters();
        Ok(())
    }

    pub(super) fn dead_letter(
        &mut self,
        queue: &QueueConfig,
        receipt: &Receipt,
        reason: &str,
        publish: Vec<(String, Message)>,
        now_ms: u64,
    ) -> Result<(), Error> {
        let Some(redrive) = &queue.redrive else {
            let context = format!("queue {:?} has no dead-letter queue", queue.name);
            return Err(Error::new(ErrorKind::NotFound, context));
        };
        let message = self.held(receipt)?.cloned().ok_or_else(lost)?;
        self.check_publish(&publish)?;
        let messages = &mut self.queue_mut(&queue.name)?.messages;
        messages.remove(&receipt.at());
        let (to, reason) = (&redrive.dead_letter_queue, Some(reason.to_owned()));
        self.move_to(to, &queue.name, receipt.number, message, reason, now_ms)?;
        self.publish_all(publish, now_ms);
        Ok(())
    }

    /// Deletes the message. If the caller still held it, also publishes, schedules and stores the answer.
    pub(super) fn settle(
        &mut self,
        receipt: &Receipt,
        settlement: Settlement,
        now_ms: u64,
    ) -> Result<Deleted, Error> {
        self.check_publish(&settlement.publish)?;
        for (delay, message) in &settlement.schedule {
            Limits::SQS.check(message)?;
            Limits::SQS.check_delay(*delay)?;
        }
        self.take_back(receipt)?;
        if self.held(receipt)?.is_none() {
            self.excuse(receipt, now_ms)?;
            return Ok(Deleted::LeaseLost);
        }
        let deleted = self.delete(receipt, now_ms)?;
        self.publish_all(settlement.publish, now_ms);
        for (delay, message) in settlement.schedule {
            let due_ms = now_ms.saturating_add(milliseconds(delay));
            self.insert(&receipt.queue, message, now_ms, due_ms);
        }
        if let Some(answered) = settlement.answered {
            self.requests.finish(answered, now_ms);
        }
        Ok(deleted)
    }

    pub(super) fn check_publish(&self, messages: &[(String, Message)]) -> Result<(), Error> {
        for (topic, message) in messages {
            Limits::SQS.check(message)?;
            self.undelivered(topic)?;
        }
        Ok(())
    }

    pub(super) fn publish_all(&mut self, messages: Vec<(String, Message)>, now_ms: u64) {
        for (topic, message) in messages {
            self.publish(&topic, message, now_ms);
        }
    }

    /// Excuses the attempt of an ended lease, if another consumer has received the message since.
    pub(super) fn excuse(&mut self, receipt: &Receipt, now_ms: u64) -> Result<(), Error> {
        if receipt.due_ms > now_ms {
            // The lease did not end: its holder released the message.
            return Ok(());
        }
        let messages = &mut self.queue_mut(&receipt.queue)?.messages;
        let mut messages = messages.iter_mut();
        let found = messages.find(|((_, number), _)| *number == receipt.number);
        if let Some((_, message)) = found
            && message.receive_count > receipt.receive_count
            && message.excused_last < receipt.receive_count
        {
            message.excused += 1;
            message.excused_last = receipt.receive_count;
        }
        Ok(())
    }

    /// Excuses the attempt of a message that its holder returned without having handled it.
    pub(super) fn not_handled(&mut self, receipt: &Receipt) -> Result<(), Error> {
        let messages = &mut self.queue_mut(&receipt.queue)?.messages;
        let mut messages = messages.iter_mut();
        let found = messages.find(|((_, number), _)| *number == receipt.number);
        if let Some((_, message)) = found
            && message.excused_last < receipt.receive_count
        {
            message.excused += 1;
            message.excused_last = receipt.receive_count;
        }
        Ok(())
    }

    /// Takes back a message that was moved after its last attempt, if nobody has received or explained it since.
    fn take_back(&mut self, receipt: &Receipt) -> Result<(), Error> {
        if self.held(receipt)?.is_some() {
            return Ok(());
        }
        let Some(redrive) = self.queue(&receipt.queue)?.config.redrive.clone() else {
            return Ok(());
        };
        let by_the_broker = DeadLetter {
            source: receipt.queue.clone(),
            reason: None,
        };
        let dead_letters = &mut self.queue_mut(&redrive.dead_letter_queue)?.messages;
        let found = dead_letters.iter().find(|((_, number), message)| {
            *number == receipt.number
                && message.receive_count == receipt.receive_count
                && message.dead_letter.as_ref() == Some(&by_the_broker)
        });
        let Some(at) = found.map(|(at, _)| *at) else {
            return Ok(());
        };
        if let Some(mut message) = dead_letters.remove(&at) {
            message.dead_letter = None;
            let messages = &mut self.queue_mut(&receipt.queue)?.messages;
            messages.insert(receipt.at(), message);
        }
        Ok(())
    }

    /// Returns the message, if the receipt is still current.
    fn held(&self, receipt: &Receipt) -> Result<Option<&StoredMessage>, Error> {
        let message = self.queue(&receipt.queue)?.messages.get(&receipt.at());
        Ok(message.filter(|message| message.receive_count == receipt.receive_count))
    }
}

fn lost() -> Error {
    let context = "the message does not exist any more, or another consumer holds it";
    Error::new(ErrorKind::Invalid, context)
}
