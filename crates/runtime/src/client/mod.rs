//! A client: publishes a Command, waits for its Result, follows a correlation id.

mod batch;
mod listener;
mod subscribers;
mod whereabouts;

pub use listener::Listener;
pub(crate) use subscribers::Subscribers;
pub use whereabouts::View;

use crate::installation::Installation;
use crate::settings::Replies;
use pudato_engine::publish_command;
use pudato_messaging::{Error, ErrorKind, Stored};
use pudato_protocol::{Command, Result as Reply, Status};
use pudato_registry::{StoredEvent, StoredResult};
use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

/// Publishes and follows Commands.
pub struct Client<'a> {
    pudato: &'a Installation,
}

/// The reason why a call has no Result.
#[derive(Debug, Clone)]
pub enum CallError {
    /// The Command could not be published; nothing was sent.
    Refused(String),
    /// The fabric or the registry cannot be reached.
    Unavailable(String),
    /// No final Result arrived in time. The Command was published; the text says where it is, if pudato can tell.
    TimedOut(String),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(text) | Self::Unavailable(text) | Self::TimedOut(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for CallError {}

impl CallError {
    /// The same error with one more remark.
    #[must_use]
    pub fn with(mut self, remark: &str) -> Self {
        let (Self::Refused(text) | Self::Unavailable(text) | Self::TimedOut(text)) = &mut self;
        text.push_str("; ");
        text.push_str(remark);
        self
    }

    /// The error of a Command that was not published.
    fn not_sent(error: &Error) -> Self {
        match error.is_retryable() {
            true => Self::Unavailable(error.to_string()),
            false => Self::Refused(error.to_string()),
        }
    }
}

/// All that is known about a correlation id.
#[derive(Debug)]
pub struct Trace {
    /// Its messages that are still on a queue; `None` if queues cannot be searched, as on SQS.
    pub waiting: Option<Vec<Stored>>,
    /// Its Results, the oldest first.
    pub results: Vec<StoredResult>,
    /// Its Events, the oldest first.
    pub events: Vec<StoredEvent>,
}

impl<'a> Client<'a> {
    /// A client of this installation.
    pub fn new(pudato: &'a Installation) -> Self {
        Self { pudato }
    }

    /// Publishes a Command to the topic of its service. Returns the fabric's id of the message. Refuses a topic that is known to have no
    /// subscriber.
    ///
    /// # Errors
    /// [`CallError::Refused`], [`CallError::Unavailable`].
    pub async fn publish(&self, command: &Command) -> Result<String, CallError> {
        let (pudato, service) = (self.pudato, &command.r#type);
        let topic = pudato.names.commands(service);
        if pudato.subscribers(&topic).await == Subscribers::None {
            return Err(CallError::Refused(pudato.no_subscriber(service, &topic)));
        }
        let sent = publish_command(&self.pudato.outbox, &topic, command).await;
        sent.map_err(|error| CallError::not_sent(&error))
    }

    /// Publishes a Command and waits for its final Result in the registry.
    ///
    /// # Errors
    /// As [`Client::publish`], and [`CallError::TimedOut`].
    pub async fn call(&self, command: &Command, timeout: Duration) -> Result<Reply, CallError> {
        let listener = self.look(&command.correlation_id).await?;
        let mut listener = listener.awaits(&command.r#type);
        self.publish(command).await?;
        self.hear(&mut listener, timeout, &mut |_| {}).await
    }

    /// Listens for Results under `correlation_id` in the place that `PUDATO_REPLIES` names, for [`Client::hear`]. Results that arrive
    /// before this returns are not seen. A caller that listens on a queue must close it ([`Listener::close`]).
    ///
    /// # Errors
    /// [`CallError::Unavailable`]; [`CallError::Refused`]: the caller may not create a queue.
    pub async fn listen(&self, correlation_id: &str) -> Result<Listener, CallError> {
        if self.pudato.settings().replies == Replies::Registry {
            return self.look(correlation_id).await;
        }
        let Some(replies) = &self.pudato.fabric.replies else {
            let what = "PUDATO_REPLIES: this fabric has no queues for replies";
            return Err(CallError::Refused(what.into()));
        };
        match replies.listen(correlation_id).await {
            Ok(queue) => Ok(Listener::queue(correlation_id, queue)),
            Err(error) if error.is_retryable() => Err(CallError::Unavailable(error.to_string())),
            Err(error) => Err(CallError::Refused(format!("PUDATO_REPLIES=queue: {error}"))),
        }
    }

    /// Listens in the registry. The answer to an earlier Command with the same id is not the answer to the next one.
    pub(crate) async fn look(&self, correlation_id: &str) -> Result<Listener, CallError> {
        let before = self.results(correlation_id).await?;
        let before = before.into_iter().map(|stored| stored.identity);
        Ok(Listener::registry(correlation_id, before.collect()))
    }

    /// Waits in the registry for a final Result of the step `step_id` of a service under `correlation_id`, ignoring the Results in `before`
    /// (by identity). Calls `pending` for every `pending` Result that arrives before.
    ///
    /// # Errors
    /// [`CallError::Unavailable`], [`CallError::TimedOut`].
    pub async fn watch(
        &self,
        (service, correlation_id): (&str, &str),
        step_id: &str,
        before: HashSet<String>,
        timeout: Duration,
        pending: &mut (dyn FnMut(&Reply) + Send),
    ) -> Result<Reply, CallError> {
        let listener = Listener::registry(correlation_id, before);
        let mut listener = listener.only(step_id).awaits(service);
        self.hear(&mut listener, timeout, pending).await
    }

    /// Waits for the final Result that `listener` receives. Calls `pending` for every `pending` Result that arrives before.
    ///
    /// # Errors
    /// [`CallError::Unavailable`], [`CallError::TimedOut`].
    pub async fn hear(
        &self,
        listener: &mut Listener,
        timeout: Duration,
        pending: &mut (dyn FnMut(&Reply) + Send),
    ) -> Result<Reply, CallError> {
        let clock = &self.pudato.clock;
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let deadline_ms = clock.now_ms().saturating_add(timeout_ms);
        loop {
            let is_last = clock.now_ms() >= deadline_ms;
            let mut last = None;
            for result in listener.next(self.pudato, deadline_ms).await? {
                match result.status {
                    Status::Pending => pending(&result),
                    _ => last = Some(result),
                }
            }
            if let Some(result) = last {
                return Ok(result);
            }
            if is_last {
                let correlation_id = &listener.correlation_id;
                let service = listener.service.as_deref();
                let place = self.pudato.whereabouts(correlation_id, service).await;
                return Err(CallError::TimedOut(format!(
                    "no Result for {correlation_id} after {} s: {place}. `pudato trace {correlation_id}` shows its current state",
                    timeout.as_secs()
                )));
            }
        }
    }

    /// Collects everything that is known about a correlation id.
    ///
    /// # Errors
    /// [`CallError::Unavailable`].
    pub async fn trace(&self, correlation_id: &str) -> Result<Trace, CallError> {
        let unavailable = |error: &dyn fmt::Display| CallError::Unavailable(error.to_string());
        let operations = &self.pudato.fabric.operations;
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
