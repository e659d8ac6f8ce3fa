//! Hands out messages, and moves those that were received too often.

use super::receipt::Receipt;
use super::state::{Queue, State, StoredMessage, milliseconds};
use crate::{DeadLetter, Delivery, Error};

impl State {
    /// Hands out up to `max` due messages of `queue`.
    pub(super) fn receive(
        &mut self,
        queue: &str,
        max: usize,
        now_ms: u64,
    ) -> Result<Vec<Delivery>, Error> {
        let mut deliveries = Vec::new();
        // With a visibility timeout of zero, a message stays due. A receive still hands out each copy once.
        let mut handed_out: Vec<u64> = Vec::new();
        while deliveries.len() < max {
            let from = self.queue_mut(queue)?;
            let mut due = from.messages.range(..=(now_ms, u64::MAX));
            let next = due.find(|((_, number), _)| !handed_out.contains(number));
            let Some(at) = next.map(|(at, _)| *at) else {
                break;
            };
            let Some(message) = from.messages.remove(&at) else {
                break;
            };
            let redrive = from.config.redrive.clone();
            match redrive.filter(|redrive| message.attempts() >= redrive.max_receive_count) {
                Some(redrive) => {
                    let to = redrive.dead_letter_queue;
                    self.move_to(&to, queue, at.1, message, None, now_ms)?;
                }
                None => {
                    handed_out.push(at.1);
                    deliveries.push(from.hand_out(at.1, message, now_ms));
                }
            }
        }
        Ok(deliveries)
    }

    /// Moves a copy from the queue `source` to the dead-letter queue `to`. Its content, age and count stay.
    pub(super) fn move_to(
        &mut self,
        to: &str,
        source: &str,
        number: u64,
        mut message: StoredMessage,
        reason: Option<String>,
        now_ms: u64,
    ) -> Result<(), Error> {
        message.dead_letter = Some(DeadLetter {
            source: source.to_owned(),
            reason,
        });
        self.queue_mut(to)?.put(now_ms, number, message);
        Ok(())
    }
}

impl StoredMessage {
    /// The number of receives that count as attempts.
    fn attempts(&self) -> u32 {
        self.receive_count.saturating_sub(self.excused)
    }
}

impl Queue {
    fn hand_out(&mut self, number: u64, mut message: StoredMessage, now_ms: u64) -> Delivery {
        message.receive_count += 1;
        message.first_received_ms.get_or_insert(now_ms);
        let receipt = Receipt {
            queue: self.config.name.clone(),
            number,
            due_ms: now_ms.saturating_add(milliseconds(self.config.visibility)),
            receive_count: message.receive_count,
            received_ms: now_ms,
        };
        let redrive = self.config.redrive.as_ref();
        let delivery = Delivery {
            message_id: message.message_id.clone(),
            body: message.content.body.clone().into_bytes(),
            attributes: message.content.attributes.clone(),
            attempt: Some(message.attempts()),
            attempt_max: redrive.map(|redrive| redrive.max_receive_count),
            first_received_ms: message.first_received_ms,
            dead_letter: message.dead_letter.clone(),
            lease: receipt.lease(),
        };
        self.messages.insert(receipt.at(), message);
        delivery
    }
}
