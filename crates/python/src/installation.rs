//! An installation, opened once for each set of settings.

use crate::errors;
use crate::fabric::{Consumer, Place};
use crate::settings::Settings;
use crate::waiting::wait;
use pudato_messaging::{Error, ErrorKind, Message};
use pudato_protocol::{Command, Event, Result as Reply, decode_claim};
use pudato_runtime::{Installation as Opened, Outbox};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;

/// Everything that the settings name, opened.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Installation {
    pub(crate) opened: Arc<Opened>,
}

#[pymethods]
impl Installation {
    /// Opens an installation for a program that publishes, receives and calls.
    #[new]
    fn new(py: Python<'_>, settings: &Settings) -> PyResult<Self> {
        let loaded = settings.loaded.clone();
        let opened = wait(py, Opened::open_to_call(loaded))?;
        let opened = Arc::new(opened.map_err(errors::open)?);
        Ok(Self { opened })
    }

    /// Publishes messages of one kind (`command`, `result` or `event`), each an encoded text, to a topic given by its ARN or name. Returns
    /// for each message its id, or the error that refused it.
    fn publish(
        &self,
        py: Python<'_>,
        kind: &str,
        topic: &str,
        bodies: Vec<String>,
    ) -> PyResult<Vec<(Option<String>, Option<String>)>> {
        let kind = Kind::named(kind)?;
        let topic = Place::topic(topic).name;
        let opened = Arc::clone(&self.opened);
        let sent = wait(
            py,
            async move { publish(&opened, kind, &topic, bodies).await },
        )?;
        let sent = sent.map_err(|error| errors::port(&error))?;
        let each = sent.into_iter().map(|one| match one {
            Ok(id) => (Some(id), None),
            Err(error) => (None, Some(error.to_string())),
        });
        Ok(each.collect())
    }

    /// Opens a queue, given by its URL or name, for reading.
    fn consumer(&self, py: Python<'_>, queue: &str) -> PyResult<Consumer> {
        let queue = Place::queue(queue).name;
        let opened = Arc::clone(&self.opened);
        let consumer = wait(py, async move { opened.consumer(&queue).await })?;
        let consumer = consumer.map_err(|error| errors::port(&error))?;
        Ok(Consumer::new(consumer, Arc::clone(&self.opened)))
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

    /// Reads the body, and makes it ready to be published.
    async fn ready(self, outbox: &Outbox, topic: &str, body: &str) -> Result<Message, Error> {
        let body = body.as_bytes();
        let invalid =
            |error: pudato_protocol::FieldError| Error::new(ErrorKind::Invalid, error.to_string());
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

type Sent = Vec<Result<String, Error>>;

async fn publish(
    opened: &Opened,
    kind: Kind,
    topic: &str,
    bodies: Vec<String>,
) -> Result<Sent, Error> {
    let publisher = &opened.fabric.publisher;
    let limits = publisher.limits(topic).await?;
    let mut sent = Vec::with_capacity(bodies.len());
    for part in bodies.chunks(limits.batch_entries_max.max(1)) {
        let mut batch = Vec::with_capacity(part.len());
        for body in part {
            batch.push(kind.ready(&opened.outbox, topic, body).await?);
        }
        sent.extend(publisher.publish(topic, batch).await?);
    }
    Ok(sent)
}
