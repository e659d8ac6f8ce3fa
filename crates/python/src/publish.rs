//! Publishes messages in full batches, several at a time, with an outcome for each message.

use crate::errors;
use crate::installation::Installation;
use crate::place;
use crate::waiting::wait;
use futures_util::stream::{self, StreamExt};
use pudato_messaging::{Error, ErrorKind, Limits, Message};
use pudato_protocol::{Command, Event, FieldError, Result as Reply, decode_claim};
use pudato_runtime::Installation as Opened;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;

/// The maximum number of batches in flight. On AWS, the publisher makes fewer concurrent calls per topic; the other batches wait, ready to send.
const BATCHES: usize = 8;
/// The maximum number of messages to prepare at once. It matters only for messages that are stored as claims.
const READY: usize = 8;

type Outcome = Result<String, Error>;

/// The id of a published message, or the exception.
type Published<'py> = (Option<String>, Option<Bound<'py, PyAny>>);

#[pymethods]
impl Installation {
    /// Publishes messages of one kind (`command`, `result` or `event`), each an encoded text, to a topic given by its ARN or name. Returns
    /// for each message its id, or the exception that says why it has none.
    fn publish<'py>(
        &self,
        py: Python<'py>,
        kind: &str,
        topic: &str,
        bodies: Vec<String>,
    ) -> PyResult<Vec<Published<'py>>> {
        let kind = Kind::named(kind)?;
        let topic = place::topic(self.opened.settings(), topic).map_err(errors::refused)?;
        let opened = Arc::clone(&self.opened);
        let sent = wait(
            py,
            async move { publish(&opened, kind, &topic, bodies).await },
        )?;
        let each = sent.into_iter().map(|one| match one {
            Ok(id) => (Some(id), None),
            Err(error) => (None, Some(errors::value(py, &error))),
        });
        Ok(each.collect())
    }
}

/// The kind of a message.
#[derive(Clone, Copy)]
enum Kind {
    Command,
    Result,
    Event,
}

impl Kind {
    fn named(name: &str) -> PyResult<Self> {
        match name {
            "command" => Ok(Self::Command),
            "result" => Ok(Self::Result),
            "event" => Ok(Self::Event),
            other => Err(PyValueError::new_err(format!(
                "kind: expected command, result or event, found {other:?}"
            ))),
        }
    }

    /// Parses the body and prepares it for publishing.
    async fn ready(self, opened: &Opened, topic: &str, body: &str) -> Result<Message, Error> {
        let (body, outbox) = (body.as_bytes(), &opened.outbox);
        let invalid = |error: FieldError| Error::new(ErrorKind::Invalid, error.to_string());
        match self {
            Self::Command => {
                let command: Command = decode_claim(body).map_err(invalid)?;
                outbox.command(topic, &command).await
            }
            Self::Result => {
                let result: Reply = decode_claim(body).map_err(invalid)?;
                outbox.result(topic, &result).await
            }
            Self::Event => {
                let event: Event = decode_claim(body).map_err(invalid)?;
                outbox.event(topic, &event).await
            }
        }
    }
}

/// Publishes all messages, in order if the fabric keeps the order.
async fn publish(opened: &Opened, kind: Kind, topic: &str, bodies: Vec<String>) -> Vec<Outcome> {
    let limits = match opened.fabric.publisher.limits(topic).await {
        Ok(limits) => limits,
        Err(error) => return bodies.iter().map(|_| Err(error.clone())).collect(),
    };
    let ready = bodies.iter();
    let ready = ready.map(|body| kind.ready(opened, topic, body));
    let ready: Vec<_> = ready.collect();
    let ready: Vec<_> = stream::iter(ready).buffered(READY).collect().await;
    let mut sent: Vec<Option<Outcome>> = bodies.iter().map(|_| None).collect();
    let mut messages = Vec::with_capacity(bodies.len());
    for (at, message) in ready.into_iter().enumerate() {
        match message {
            Ok(message) => messages.push((at, message)),
            Err(error) => sent[at] = Some(Err(error)),
        }
    }
    let sends = batches(messages, &limits).into_iter();
    let sends: Vec<_> = sends.map(|batch| send(opened, topic, batch)).collect();
    let mut done = stream::iter(sends).buffered(BATCHES);
    while let Some(outcomes) = done.next().await {
        for (at, outcome) in outcomes {
            sent[at] = Some(outcome);
        }
    }
    let unknown = || {
        Error::new(
            ErrorKind::Unavailable,
            "publish: the fabric reported no outcome",
        )
    };
    sent.into_iter()
        .map(|outcome| outcome.unwrap_or_else(|| Err(unknown())))
        .collect()
}

/// Sends a batch of messages, each with its index. Returns the outcomes with the indexes.
async fn send(opened: &Opened, topic: &str, batch: Vec<(usize, Message)>) -> Vec<(usize, Outcome)> {
    let (places, batch): (Vec<usize>, Vec<Message>) = batch.into_iter().unzip();
    let outcomes = match opened.fabric.publisher.publish(topic, batch).await {
        Ok(outcomes) => outcomes,
        Err(error) => places.iter().map(|_| Err(error.clone())).collect(),
    };
    places.into_iter().zip(outcomes).collect()
}

/// Fills batches up to the limits of the topic, in the order of the messages.
fn batches(messages: Vec<(usize, Message)>, limits: &Limits) -> Vec<Vec<(usize, Message)>> {
    let mut batches: Vec<Vec<(usize, Message)>> = Vec::new();
    let mut bytes = 0;
    for (at, message) in messages {
        bytes += message.bytes();
        match batches.last_mut() {
            Some(batch)
                if batch.len() < limits.batch_entries_max && bytes <= limits.batch_bytes_max =>
            {
                batch.push((at, message));
            }
            _ => {
                bytes = message.bytes();
                batches.push(vec![(at, message)]);
            }
        }
    }
    batches
}
