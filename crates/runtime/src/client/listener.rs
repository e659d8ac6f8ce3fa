//! The place where a caller waits for its Results: the registry, or a queue of its own.

use super::CallError;
use crate::installation::{Installation, ReplyQueue};
use pudato_protocol::{Result as Reply, decode_claim};
use pudato_registry::Difference;
use std::collections::HashSet;

/// The shortest and the longest pause between two queries of the registry.
const LOOK_MS: (u64, u64) = (4, 100);

/// Receives the Results under one correlation id from the moment it was created.
pub struct Listener {
    pub(crate) correlation_id: String,
    /// If set, only Results of this step are returned.
    step_id: Option<String>,
    /// How the last Result differs from the step that it names, if it does.
    claims: Option<Difference>,
    /// The service whose Result is awaited, if known.
    pub(crate) service: Option<String>,
    source: Source,
}

enum Source {
    /// The registry, and the identities of the Results that it had before.
    Registry {
        before: HashSet<String>,
        pause_ms: u64,
    },
    /// A queue of the caller.
    Queue(Box<dyn ReplyQueue>),
}

impl Listener {
    /// Sets the service whose Result is awaited, for a better explanation if none arrives.
    #[must_use]
    pub fn awaits(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    /// Listens in the registry for Results that are not in `before`. They are compared by identity, since a new Result may have an earlier
    /// time than an old one.
    pub(crate) fn registry(correlation_id: &str, before: HashSet<String>) -> Self {
        Self {
            correlation_id: correlation_id.to_owned(),
            step_id: None,
            claims: None,
            service: None,
            source: Source::Registry {
                before,
                pause_ms: LOOK_MS.0,
            },
        }
    }

    /// Returns Results of one step only, since another sender may use the same correlation id.
    pub(crate) fn only(mut self, step_id: &str) -> Self {
        self.step_id = Some(step_id.to_owned());
        self
    }

    /// Listens on a queue, which must be closed.
    pub(crate) fn queue(correlation_id: &str, queue: Box<dyn ReplyQueue>) -> Self {
        Self {
            correlation_id: correlation_id.to_owned(),
            step_id: None,
            claims: None,
            service: None,
            source: Source::Queue(queue),
        }
    }

    /// Returns new Results, the oldest first. Waits a while for the first, but not beyond `deadline_ms`.
    pub(crate) async fn next(
        &mut self,
        pudato: &Installation,
        deadline_ms: u64,
    ) -> Result<Vec<Reply>, CallError> {
        let clock = &pudato.clock;
        match &mut self.source {
            Source::Registry { before, pause_ms } => {
                let results = pudato.registry.results_of(&self.correlation_id).await;
                let results = results.map_err(|error| CallError::Unavailable(error.to_string()))?;
                let mut new: Vec<Reply> = Vec::new();
                for stored in &results {
                    let is_claim = self.step_id.is_some() && stored.mismatch.is_some();
                    if is_claim || !before.insert(stored.identity.clone()) {
                        continue;
                    }
                    let result: Option<Reply> = decode_claim(stored.body.as_bytes()).ok();
                    let is_of =
                        |result: &Reply| self.step_id.is_none() || result.step_id == self.step_id;
                    if let Some(result) = result.filter(is_of) {
                        self.claims = stored.mismatch;
                        new.push(result);
                    }
                }
                let now_ms = clock.now_ms();
                if new.is_empty() && now_ms < deadline_ms {
                    let until_ms = (now_ms + *pause_ms).min(deadline_ms);
                    clock.sleep_until(until_ms).await;
                    *pause_ms = (*pause_ms * 2).min(LOOK_MS.1);
                }
                Ok(new)
            }
            Source::Queue(queue) => {
                let left_ms = deadline_ms.saturating_sub(clock.now_ms());
                let wait = std::time::Duration::from_millis(left_ms);
                let unavailable = |error: &dyn std::fmt::Display| {
                    CallError::Unavailable(format!(
                        "{error}; the command was sent, and its Result cannot be received: `pudato trace {}` shows it if it can reach the registry",
                        self.correlation_id
                    ))
                };
                let heard = queue.receive(wait).await;
                let heard = heard.map_err(|error| unavailable(&error))?;
                let mut new = Vec::new();
                for message in &heard {
                    let claims = &*pudato.outbox.claims;
                    let resolved = pudato_messaging::claims::resolve(
                        &message.body,
                        &message.attributes,
                        claims,
                    );
                    let resolved = resolved.await.map_err(|error| unavailable(&error))?;
                    let result: Reply =
                        decode_claim(&resolved.body).map_err(|error| unavailable(&error))?;
                    // A new filter takes a while to apply (SNS's developer guide, "Amazon SNS subscription filter policies").
                    if result.correlation_id == self.correlation_id {
                        new.push(result);
                    }
                }
                Ok(new)
            }
        }
    }

    /// How the last Result differs from the step that it names, in which case it was not applied. Only the registry knows this.
    pub fn claims(&self) -> Option<Difference> {
        self.claims
    }

    /// Stops listening, and deletes the queue if there is one.
    pub async fn close(self, pudato: &Installation) {
        match self.source {
            Source::Registry { .. } => {}
            Source::Queue(queue) => {
                queue.close().await;
                sweep(pudato).await;
            }
        }
    }
}

/// Deletes reply queues that other callers left behind. Those that cannot be deleted are left to the next caller.
async fn sweep(pudato: &Installation) {
    let Some(replies) = &pudato.fabric.replies else {
        return;
    };
    match replies.sweep().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "deleted reply queues that other callers left behind"),
        Err(error) => {
            tracing::debug!(%error, "reply queues that other callers left behind could not be deleted")
        }
    }
}
