//! Makes messages ready to be published: adds their attributes, and stores a claim if they are over the limit.

use pudato_messaging::{ClaimStore, Clock, Error, ErrorKind, Limits, Message, Publisher, claims};
use pudato_protocol::{
    CLAIM_KEYS_MAX, Command, Event, KEYS_MAX, Result as Reply, Status, encode, keys,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Makes messages ready to be published.
#[derive(Clone)]
pub struct Outbox {
    /// Reports the limits of topics, and sends messages.
    pub publisher: Arc<dyn Publisher>,
    /// The store for messages that are over the limit.
    pub claims: Arc<dyn ClaimStore>,
    /// The clock that dates the claims.
    pub clock: Arc<dyn Clock>,
}

impl Outbox {
    /// Makes a Command ready to be published to `topic`.
    ///
    /// # Errors
    /// The limits of the topic cannot be read, or the claim cannot be stored.
    pub async fn command(&self, topic: &str, command: &Command) -> Result<Message, Error> {
        let limits = self.publisher.limits(topic).await?;
        self.follow_up(&limits, command).await
    }

    /// Makes a Command ready for a queue with these limits.
    ///
    /// # Errors
    /// The claim cannot be stored.
    pub async fn follow_up(&self, limits: &Limits, command: &Command) -> Result<Message, Error> {
        let attributes = attributes([
            ("type", command.r#type.as_str()),
            ("action", command.action.as_str()),
            ("correlation_id", command.correlation_id.as_str()),
        ]);
        self.ready(limits, command, attributes).await
    }

    /// Makes a Result ready to be published to `topic`.
    ///
    /// # Errors
    /// As [`Outbox::command`].
    pub async fn result(&self, topic: &str, result: &Reply) -> Result<Message, Error> {
        let status = match result.status {
            Status::Success => "success",
            Status::Error => "error",
            Status::Pending => "pending",
        };
        let attributes = attributes([
            ("status", status),
            ("correlation_id", result.correlation_id.as_str()),
            ("handler", result.handler.as_deref().unwrap_or_default()),
        ]);
        let message = Message {
            body: encode(result),
            attributes,
        };
        let keys = keys(&message.body);
        if keys > CLAIM_KEYS_MAX {
            let what = format!("the Result has {keys} keys; {CLAIM_KEYS_MAX} at most");
            return Err(Error::new(ErrorKind::TooLarge, what));
        }
        if keys > KEYS_MAX {
            return claims::put(message, &*self.claims, &*self.clock).await;
        }
        let limits = self.publisher.limits(topic).await?;
        claims::offload(message, &limits, &*self.claims, &*self.clock).await
    }

    /// Makes an Event ready to be published to `topic`.
    ///
    /// # Errors
    /// As [`Outbox::command`].
    pub async fn event(&self, topic: &str, event: &Event) -> Result<Message, Error> {
        let attributes = attributes([
            ("type", event.r#type.as_str()),
            ("correlation_id", event.correlation_id.as_str()),
        ]);
        let limits = self.publisher.limits(topic).await?;
        self.ready(&limits, event, attributes).await
    }

    async fn ready<M: pudato_protocol::Message>(
        &self,
        limits: &Limits,
        message: &M,
        attributes: BTreeMap<String, String>,
    ) -> Result<Message, Error> {
        let message = Message {
            body: encode(message),
            attributes,
        };
        claims::offload(message, limits, &*self.claims, &*self.clock).await
    }
}

/// Attributes are for filters. Empty ones, and ones that the fabric cannot carry, are left out: the body has the same values.
fn attributes<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    let travels = |value: &str| {
        !value.is_empty() && value.len() <= 1_024 && !value.contains(char::is_control)
    };
    pairs
        .into_iter()
        .filter(|(_, value)| travels(value))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Publishes one Command to `topic`. Returns the fabric's id of the message.
///
/// # Errors
/// As [`Publisher::publish`], or the claim cannot be stored.
pub async fn publish_command(
    outbox: &Outbox,
    topic: &str,
    command: &Command,
) -> Result<String, Error> {
    let message = outbox.command(topic, command).await?;
    let mut answers = outbox.publisher.publish(topic, vec![message]).await?;
    answers.pop().unwrap_or_else(|| {
        let context = format!("topic {topic}: the fabric gave no answer");
        Err(Error::new(ErrorKind::Unavailable, context))
    })
}
