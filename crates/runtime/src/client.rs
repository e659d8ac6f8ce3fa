//! What a caller does: publish a Command, wait for its Result, follow a correlation id.

use crate::outbox::publish_command;
use crate::wiring::Pudato;
use pudato_messaging::{ErrorKind, Stored};
use pudato_protocol::{Command, Result as Reply, Status, decode_claim};
use pudato_registry::{StoredEvent, StoredResult};
use std::fmt;
use std::time::Duration;

/// Shortest and longest pause between two looks for a Result.
const LOOK_MS: (u64, u64) = (4, 100);

/// Publishes and follows Commands.
pub struct Client<'a> {
    pudato: &'a Pudato,
}

/// Why a call has no Result.
#[derive(Debug)]
pub enum CallError {
    /// The Command could not be published; nothing was sent.
    Refused(String),
    /// The fabric or the registry cannot be reached.
    Unavailable(String),
    /// No final Result came in time. The Command was published and is not lost.
    TimedOut(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(text) | Self::Unavailable(text) | Self::TimedOut(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for CallError {}

/// All that is known about a correlation id.
#[derive(Debug)]
pub struct Trace {
    /// Its messages that still stand on a queue; `None` where queues cannot be searched, as on SQS.
    pub waiting: Option<Vec<Stored>>,
    /// Its Results, the oldest first.
    pub results: Vec<StoredResult>,
    /// Its Events, the oldest first.
    pub events: Vec<StoredEvent>,
}

impl<'a> Client<'a> {
    /// A client of this installation.
    pub fn new(pudato: &'a Pudato) -> Self {
        Self { pudato }
    }

    /// Publishes a Command to the topic of its service; answers the fabric's id of it.
    ///
    /// # Errors
    /// [`CallError::Refused`], [`CallError::Unavailable`].
    pub async fn publish(&self, command: &Command) -> Result<String, CallError> {
        let topic = self.pudato.names.commands(&command.r#type);
        publish_command(&self.pudato.outbox, &topic, command)
            .await
            .map_err(|error| {
                if error.is_retryable() {
                    CallError::Unavailable(error.to_string())
                } else {
                    CallError::Refused(error.to_string())
                }
            })
    }

    /// Publishes a Command and waits for its final Result.
    ///
    /// # Errors
    /// As [`Client::publish`], and [`CallError::TimedOut`].
    pub async fn call(&self, command: &Command, timeout: Duration) -> Result<Reply, CallError> {
        self.call_watched(command, timeout, &mut |_| {}).await
    }

    /// As [`Client::call`]; `pending` is told of every `pending` Result that comes until then.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_watched(
        &self,
        command: &Command,
        timeout: Duration,
        pending: &mut (dyn FnMut(&Reply) + Send),
    ) -> Result<Reply, CallError> {
        // An answer to an earlier Command of the same id is not the answer to this one.
        let before = self.results(&command.correlation_id).await?.len();
        self.publish(command).await?;
        self.watch(&command.correlation_id, before, timeout, pending)
            .await
    }

    /// Waits for a final Result of `correlation_id` after the first `before`.
    ///
    /// # Errors
    /// [`CallError::Unavailable`], [`CallError::TimedOut`].
    pub async fn wait(
        &self,
        correlation_id: &str,
        before: usize,
        timeout: Duration,
    ) -> Result<Reply, CallError> {
        self.watch(correlation_id, before, timeout, &mut |_| {})
            .await
    }

    /// As [`Client::wait`]; `pending` is told of every `pending` Result that comes until then.
    ///
    /// # Errors
    /// As [`Client::wait`].
    pub async fn watch(
        &self,
        correlation_id: &str,
        mut before: usize,
        timeout: Duration,
        pending: &mut (dyn FnMut(&Reply) + Send),
    ) -> Result<Reply, CallError> {
        let clock = &self.pudato.clock;
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = clock.now_ms().saturating_add(timeout_ms);
        let mut pause_ms = LOOK_MS.0;
        loop {
            let results = self.results(correlation_id).await?;
            let new = results.iter().skip(before);
            let new = new.filter_map(|stored| decode_claim::<Reply>(stored.body.as_bytes()).ok());
            let mut last = None;
            for result in new {
                match result.status {
                    Status::Pending => pending(&result),
                    _ => last = Some(result),
                }
            }
            if let Some(result) = last {
                return Ok(result);
            }
            before = results.len().max(before);
            let now_ms = clock.now_ms();
            if now_ms >= deadline_ms {
                return Err(CallError::TimedOut(format!(
                    "no Result for {correlation_id} after {} s; the command is not lost: \
                     is `pudato up` running? `pudato trace {correlation_id}` shows where it is",
                    timeout.as_secs()
                )));
            }
            clock
                .sleep_until((now_ms + pause_ms).min(deadline_ms))
                .await;
            pause_ms = (pause_ms * 2).min(LOOK_MS.1);
        }
    }

    /// Collects all that is known about a correlation id.
    ///
    /// # Errors
    /// [`CallError::Unavailable`].
    pub async fn trace(&self, correlation_id: &str) -> Result<Trace, CallError> {
        let unavailable = |error: &dyn fmt::Display| CallError::Unavailable(error.to_string());
        let operations = &self.pudato.operations;
        let waiting = match operations.find("correlation_id", correlation_id).await {
            Ok(waiting) => Some(waiting),
            Err(error) if error.kind == ErrorKind::Invalid => None,
            Err(error) => return Err(unavailable(&error)),
        };
        let events = self.pudato.registry.events_of(correlation_id).await;
        Ok(Trace {
            waiting,
            results: self.results(correlation_id).await?,
            events: events.map_err(|error| unavailable(&error))?,
        })
    }

    async fn results(&self, correlation_id: &str) -> Result<Vec<StoredResult>, CallError> {
        let results = self.pudato.registry.results_of(correlation_id).await;
        results.map_err(|error| CallError::Unavailable(error.to_string()))
    }
}
