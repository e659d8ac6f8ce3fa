//! Where a caller hears of its Results: in the registry, or through a queue of its own.

use super::CallError;
use crate::installation::{Installation, ReplyQueue};
use pudato_protocol::{Result as Reply, decode_claim};
use pudato_registry::Difference;
use std::collections::HashSet;

/// Shortest and longest pause between two looks into the registry.
const LOOK_MS: (u64, u64) = (4, 100);

/// Hears what is said under one correlation id, from the moment on in which it was made.
pub struct Listener {
    pub(crate) correlation_id: String,
    /// Only Results that count for this step are heard.
    step_id: Option<String>,
    /// In what the last Result that was heard differs from the step that it names, where it is no Result of that step.
    claims: Option<Difference>,
    /// The service whose Result is awaited, where it was said.
    pub(crate) service: Option<String>,
    source: Source,
}

enum Source {
    /// The registry, and the identities of the Results that were there before.
    Registry {
        before: HashSet<String>,
        pause_ms: u64,
    },
    /// A queue of its own.
    Queue(Box<dyn ReplyQueue>),
}

impl Listener {
    /// Says whose Result is awaited: more can be said then where none comes.
    #[must_use]
    pub fn awaits(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    /// Looks into the registry, for Results other than those of `before`, by their identities: one that is new may be older by its
    /// own time than one that was there.
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

    /// Hears of one step alone: another sender may use its correlation id as well.
    pub(crate) fn only(mut self, step_id: &str) -> Self {
        self.step_id = Some(step_id.to_owned());
        self
    }

    /// Has a queue, which must be closed.
    pub(crate) fn queue(correlation_id: &str, queue: Box<dyn ReplyQueue>) -> Self {
        Self {
            correlation_id: correlation_id.to_owned(),
            step_id: None,
            claims: None,
            service: None,
            source: Source::Queue(queue),
        }
    }

    /// The Results that are new, the oldest first; waits a while for the first, and no longer than until `deadline_ms`.
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
                        "{error}; the command was sent, and its Result cannot be heard: `pudato trace {}` shows it where it can reach the registry",
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
                    // A filter takes a while until it filters (SNS's developer guide, "Amazon SNS subscription filter policies").
                    if result.correlation_id == self.correlation_id {
                        new.push(result);
                    }
                }
                Ok(new)
            }
        }
    }

    /// In what the last Result that was heard differs from the step that it names: it was not applied then. Only the registry tells.
    pub fn claims(&self) -> Option<Difference> {
        self.claims
    }

    /// Hears no more, and leaves nothing behind.
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

/// Deletes queues for replies that other callers left behind. Those that cannot be deleted are left to the next caller.
async fn sweep(pudato: &Installation) {
    let Some(replies) = &pudato.fabric.replies else {
        return;
    };
    match replies.sweep().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "deleted queues for replies that were left behind"),
        Err(error) => tracing::debug!(%error, "queues for replies could not be swept"),
    }
}
