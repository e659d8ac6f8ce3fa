use crate::topology::{DELAY_MAX, LEASE_MAX};
use crate::{Error, ErrorKind, Limits, Message, Receive};
use std::time::Duration;

/// The type name of a text attribute on the wire. It counts towards the size.
const ATTRIBUTE_TYPE: &str = "String";
/// The longest long poll of SQS.
const WAIT_MAX: Duration = Duration::from_secs(20);

impl Limits {
    /// The limits of SQS. The embedded backends use the same ones, so that an installation that moves to SQS meets no new limits.
    pub const SQS: Self = Self {
        message_bytes_max: 1_048_576,
        batch_entries_max: 10,
        batch_bytes_max: 1_048_576,
        attributes_max: 10,
        lease_max: LEASE_MAX,
        batch_fill: Duration::ZERO,
        delay_max: Some(DELAY_MAX),
        receive_wait_max: WAIT_MAX,
    };

    /// Whether each call costs money: then calls are saved rather than time.
    pub fn bills_calls(&self) -> bool {
        !self.batch_fill.is_zero()
    }

    /// Checks a batch as a whole.
    ///
    /// # Errors
    /// `Invalid`: no entries, or too many. `TooLarge`: too many bytes.
    pub fn check_batch<'a>(
        &self,
        messages: impl ExactSizeIterator<Item = &'a Message>,
    ) -> Result<(), Error> {
        let (count, max) = (messages.len(), self.batch_entries_max);
        if count == 0 || count > max {
            let what = format!("batch: expected 1 to {max} messages, found {count}");
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        let bytes: usize = messages.map(Message::bytes).sum();
        // A single message over the limit is reported as the error of that entry.
        if count > 1 && bytes > self.batch_bytes_max {
            let max = self.batch_bytes_max;
            let what = format!("batch: {bytes} bytes; at most {max}");
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        Ok(())
    }

    /// Checks one message.
    ///
    /// # Errors
    /// `TooLarge`: over `message_bytes_max`. `Invalid`: an empty body, characters that SQS refuses, too many attributes, or an empty
    /// attribute.
    pub fn check(&self, message: &Message) -> Result<(), Error> {
        let invalid = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        if message.body.is_empty() {
            return invalid("body: expected a text, found an empty one".into());
        }
        if let Some(found) = message.body.chars().find(|c| !is_legal(*c)) {
            let code = u32::from(found);
            return invalid(format!(
                "body: the character U+{code:04X} is not allowed in a message; write it as a JSON escape"
            ));
        }
        let (count, max) = (message.attributes.len(), self.attributes_max);
        if count > max {
            return invalid(format!("attributes: at most {max}, found {count}"));
        }
        for (name, value) in &message.attributes {
            if name.is_empty() || value.is_empty() {
                return invalid(format!("attributes: {name:?}: must not be empty"));
            }
            if !value.chars().all(is_legal) {
                return invalid(format!(
                    "attributes: {name:?}: contains a character that is not allowed in a message"
                ));
            }
        }
        let (bytes, max) = (message.bytes(), self.message_bytes_max);
        if bytes > max {
            let what = format!("message: {bytes} bytes with its attributes; at most {max}");
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        Ok(())
    }

    /// Checks a delay.
    ///
    /// # Errors
    /// `Invalid`: over `delay_max`, or the backend supports no delay.
    pub fn check_delay(&self, delay: Duration) -> Result<(), Error> {
        match self.delay_max {
            Some(max) if delay <= max => Ok(()),
            _ if delay.is_zero() => Ok(()),
            max => {
                let max = max.unwrap_or_default().as_secs();
                let what = format!("delay: at most {max} s, found {} s", delay.as_secs());
                Err(Error::new(ErrorKind::Invalid, what))
            }
        }
    }

    /// Checks the arguments of a receive.
    ///
    /// # Errors
    /// `Invalid`: a number is out of its range.
    pub fn check_receive(&self, receive: Receive) -> Result<(), Error> {
        let max = self.batch_entries_max;
        if receive.max == 0 || receive.max > max {
            let what = format!("receive: max: expected 1 to {max}, found {}", receive.max);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        if receive.wait > WAIT_MAX {
            let what = format!("receive: wait: at most 20 s, found {:?}", receive.wait);
            return Err(Error::new(ErrorKind::Invalid, what));
        }
        Ok(())
    }
}

impl Message {
    /// The size that counts towards the limit: the body, and the names, types and values of the attributes.
    pub fn bytes(&self) -> usize {
        let attributes = self.attributes.iter();
        let attributes =
            attributes.map(|(name, value)| name.len() + ATTRIBUTE_TYPE.len() + value.len());
        self.body.len() + attributes.sum::<usize>()
    }
}

/// Whether SQS accepts the character.
fn is_legal(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}
