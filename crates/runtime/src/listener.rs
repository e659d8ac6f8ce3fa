//! Where a caller hears of its Results: in the registry, or through a queue of its own.

use crate::client::CallError;
use crate::wiring::Pudato;
use pudato_protocol::{Result as Reply, decode_claim};

/// Shortest and longest pause between two looks into the registry.
const LOOK_MS: (u64, u64) = (4, 100);

/// Hears what is said under one correlation id, from the moment on in which it was made.
pub struct Listener {
    pub(crate) correlation_id: String,
    source: Source,
}

enum Source {
    /// The registry, of whose Results the first were there before.
    Registry { before: usize, pause_ms: u64 },
    /// A queue of its own.
    #[cfg(feature = "aws")]
    Queue(pudato_messaging::aws::ReplyQueue),
}

impl Listener {
    /// Looks into the registry, for Results after the first `before`.
    pub(crate) fn registry(correlation_id: &str, before: usize) -> Self {
        Self {
            correlation_id: correlation_id.to_owned(),
            source: Source::Registry {
                before,
                pause_ms: LOOK_MS.0,
            },
        }
    }

    /// Has a queue, which must be closed.
    #[cfg(feature = "aws")]
    pub(crate) fn queue(correlation_id: &str, queue: pudato_messaging::aws::ReplyQueue) -> Self {
        Self {
            correlation_id: correlation_id.to_owned(),
            source: Source::Queue(queue),
        }
    }

    /// The Results that are new, the oldest first; waits a while for the first, and no longer than until `deadline_ms`.
    pub(crate) async fn next(
        &mut self,
        pudato: &Pudato,
        deadline_ms: u64,
    ) -> Result<Vec<Reply>, CallError> {
        let clock = &pudato.clock;
        match &mut self.source {
            Source::Registry { before, pause_ms } => {
                let results = pudato.registry.results_of(&self.correlation_id).await;
                let results = results.map_err(|error| CallError::Unavailable(error.to_string()))?;
                let new = results.iter().skip(*before);
                let new: Vec<Reply> = new
                    .filter_map(|stored| decode_claim(stored.body.as_bytes()).ok())
                    .collect();
                *before = results.len().max(*before);
                let now_ms = clock.now_ms();
                if new.is_empty() && now_ms < deadline_ms {
                    let until_ms = (now_ms + *pause_ms).min(deadline_ms);
                    clock.sleep_until(until_ms).await;
                    *pause_ms = (*pause_ms * 2).min(LOOK_MS.1);
                }
                Ok(new)
            }
            #[cfg(feature = "aws")]
            Source::Queue(queue) => {
                let left_ms = deadline_ms.saturating_sub(clock.now_ms());
                let wait = std::time::Duration::from_millis(left_ms);
                let unavailable = |error: &dyn std::fmt::Display| {
                    CallError::Unavailable(format!(
                        "{error}; the command was sent and is not lost: `pudato trace {}` shows where it is",
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

    /// Hears no more, and leaves nothing behind.
    pub async fn close(self, pudato: &Pudato) {
        match self.source {
            Source::Registry { .. } => {}
            #[cfg(feature = "aws")]
            Source::Queue(queue) => {
                queue.close().await;
                pudato.sweep_replies().await;
            }
        }
        #[cfg(not(feature = "aws"))]
        let _ = pudato;
    }
}
