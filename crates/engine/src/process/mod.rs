//! Takes one message and returns one decision. The worker, the Lambda function and the simulation carry the decision out and decide nothing
//! themselves.

mod decision;
mod reject;

pub use decision::{Decision, Incoming, Outcome};
pub(crate) use reject::{at_last_unread, reject};

use crate::envelope::EnvelopePolicy;
use crate::identity;
use futures_util::FutureExt;
use pudato_handler::redact;
use pudato_handler::{
    Action, Effect, Handled, Handler, Identity, Later, Progress, Waits, dispatch,
};
use pudato_messaging::claims::{self, ClaimStore};
use pudato_messaging::{BeginOutcome, Clock, ErrorKind, IdempotencyRecord, IdempotencyStore, Key};
use pudato_protocol::{Command, Object, Result as Reply, Timestamp};
use reject::{gave_up, panic_text, record};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The ports and settings that decide about the messages of one service.
pub struct Processor {
    /// The service.
    pub handler: Arc<dyn Handler>,
    /// The envelopes that are accepted.
    pub envelopes: EnvelopePolicy,
    /// The store of large messages.
    pub claims: Arc<dyn ClaimStore>,
    /// The store of answered requests.
    pub idempotency: Arc<dyn IdempotencyStore>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The receiver of progress reports of long actions.
    pub progress: Arc<dyn Progress>,
    /// The name of this worker among the owners of running requests.
    pub owner: String,
    /// How long a running request belongs to this worker, unless it is renewed.
    pub lease: Duration,
    /// Whether settling is one transaction. If it is not, a crash may publish an answer and leave its message on the queue, so every answer
    /// with an effect is stored before it is published, and given again.
    pub settles_at_once: bool,
    /// The number of deliveries so far, of all workers of this program.
    pub deliveries: Arc<AtomicU64>,
}

/// A Command that was read, with what is known about its action.
pub struct Read {
    pub(crate) command: Command,
    pub(crate) action: Option<Action>,
    pub(crate) key: Option<Key>,
    /// Whether its request must be begun before the action runs. A keyed write without a key of its caller may run twice, so at its first
    /// attempt it is begun and answered in one write instead of two. If two deliveries run, one of them is answered and the other is
    /// redelivered.
    pub(crate) begins: bool,
    /// The name of this delivery among the owners of running requests: the same worker may hold the same message twice if its first lease
    /// was lost.
    pub(crate) owner: String,
    /// Reports what the Command is waiting for.
    pub(crate) waits: Waits,
}

/// The reports of an action while it runs: its progress and its waits.
struct Telling<'a> {
    progress: &'a dyn Progress,
    waits: &'a Waits,
    attempt: Option<u32>,
}

impl Progress for Telling<'_> {
    fn report(&self, command: &Command, data: Object) {
        self.progress.report(command, data);
    }

    fn waits(&self) -> Waits {
        self.waits.clone()
    }

    fn attempt(&self) -> Option<u32> {
        self.attempt
    }
}

impl Processor {
    /// Reads a message: checks its envelope, fetches its claim, decodes the Command and finds its action.
    ///
    /// # Errors
    /// The decision about a message that cannot be read, now or at all.
    pub async fn read(&self, message: &Incoming) -> Result<Read, Decision> {
        let trusted = self
            .envelopes
            .check(&message.body, self.clock.now_ms())
            .await;
        if let Err(error) = trusted {
            let why = error.to_string();
            return Err(match error.kind {
                ErrorKind::Unavailable => Decision::Unavailable { why },
                // Its sender is unknown and cannot be notified.
                _ => Decision::Reject { why, result: None },
            });
        }
        let resolved = claims::resolve(&message.body, &message.attributes, &*self.claims).await;
        let resolved = resolved.map_err(|error| match error.kind {
            ErrorKind::Unavailable => Decision::Unavailable {
                why: error.to_string(),
            },
            // One unreadable claim is no reason to stop for all other messages.
            ErrorKind::Denied | ErrorKind::Failed if message.last_attempt().is_none() => {
                Decision::Retry {
                    why: error.to_string(),
                    after: None,
                }
            }
            _ => reject(error.to_string(), &message.attributes, None),
        })?;
        let decoded = if resolved.is_claim {
            pudato_protocol::decode_claim::<Command>(&resolved.body)
        } else {
            pudato_protocol::decode::<Command>(&resolved.body)
        };
        let command = decoded.map_err(|error| {
            reject(error.to_string(), &message.attributes, Some(&resolved.body))
        })?;
        let service = self.handler.service();
        let action = (command.r#type == service)
            .then(|| self.handler.actions().iter())
            .and_then(|mut actions| actions.find(|action| action.is_named(&command.action)))
            .copied();
        let is_once = action.is_some_and(|action| action.effect == Effect::Once);
        let has_key = command.metadata.contains_key("idempotency_key");
        let is_keyed = action.is_some_and(|action| action.effect == Effect::Keyed)
            && (!self.settles_at_once || has_key);
        let key = (is_once || is_keyed).then(|| Key {
            service: service.to_owned(),
            key: identity::key(&command, &resolved.body, &message.message_id),
        });
        Ok(Read {
            command,
            action,
            key,
            begins: is_once || has_key || message.attempt != Some(1),
            owner: format!(
                "{}-{}",
                self.owner,
                self.deliveries.fetch_add(1, Ordering::Relaxed)
            ),
            waits: Waits::default(),
        })
    }

    /// Decides about a message that was read. Runs its action unless it was answered before.
    pub async fn decide(&self, message: &Incoming, read: &Read) -> Decision {
        let Read {
            command,
            action,
            key,
            begins,
            owner,
            waits,
        } = read;
        let identity = key
            .as_ref()
            .zip(action.as_ref())
            .map(|(key, action)| Identity {
                key: key.key.clone(),
                fingerprint: identity::fingerprint(command, action.name),
            });
        if let Some(decision) = self.failed_before(message, read).await {
            return decision;
        }
        if let (Some(key), Some(identity), true) = (key, &identity, *begins) {
            let begun = self
                .idempotency
                .begin(key, &identity.fingerprint, owner, self.lease)
                .await;
            match begun {
                Ok(BeginOutcome::New) => {}
                Ok(BeginOutcome::Done { answer }) => {
                    return self.at_last(self.again(command, &answer), message, command);
                }
                Ok(BeginOutcome::Busy { until_ms }) => return Decision::Busy { until_ms },
                Ok(BeginOutcome::Mismatch) => return self.done(self.mismatch(command), None),
                Err(error) => {
                    let why = error.to_string();
                    return Decision::Unavailable { why };
                }
            }
        }
        let now = || self.now();
        let telling = Telling {
            progress: &*self.progress,
            waits,
            attempt: message.attempt,
        };
        let handling = dispatch(&*self.handler, command, identity.as_ref(), &telling, &now);
        let handled = AssertUnwindSafe(handling).catch_unwind().await;
        let handled = handled.unwrap_or_else(|panic| {
            Err(Later::Retry {
                why: format!("the handler panicked: {}", redact(panic_text(&*panic))),
                after: None,
            })
        });
        match handled {
            Ok(handled) => self.handled(message, read, handled).await,
            Err(later) => {
                self.abandon(key.as_ref(), owner).await;
                self.at_last(later_decision(later), message, command)
            }
        }
    }

    /// After the last allowed attempt a message is given up, and its sender is notified.
    pub(crate) fn at_last(
        &self,
        decision: Decision,
        message: &Incoming,
        command: &Command,
    ) -> Decision {
        match (decision, message.last_attempt()) {
            (Decision::Retry { why, .. }, Some(attempt)) => {
                let why = gave_up(attempt, &why);
                let result = self.error_result(command, &why);
                Decision::Reject {
                    why,
                    result: Some(Box::new(result)),
                }
            }
            (decision, _) => decision,
        }
    }

    async fn handled(&self, message: &Incoming, read: &Read, handled: Handled) -> Decision {
        let Handled {
            mut result,
            events,
            follow_up,
        } = handled;
        let record = record(message, &read.command, read.action.as_ref());
        result.executions.push(record);
        let outcome = Handled {
            result,
            events,
            follow_up,
        };
        let is_final_error = outcome.result.status == pudato_protocol::Status::Error;
        if is_final_error {
            // A Command that is sent again must run again; this delivery is settled with its answer.
            self.abandon(read.key.as_ref(), &read.owner).await;
            let answered = self.keep_failure(message, read, &outcome).await;
            return self.done(outcome, answered);
        }
        let fingerprint = || {
            let action = read.action.as_ref().map_or("", |action| action.name);
            identity::fingerprint(&read.command, action)
        };
        let answered = read.key.as_ref().map(|key| IdempotencyRecord {
            key: key.clone(),
            owner: read.owner.clone(),
            fingerprint: (!read.begins).then(fingerprint),
            answer: identity::keep(&outcome.result, &outcome.events, outcome.follow_up.as_ref()),
        });
        self.done(outcome, answered)
    }

    /// The key of a final error. It belongs to this message alone, since the same Command must run again if it is sent again.
    fn failure_key(&self, message: &Incoming) -> Key {
        Key {
            service: self.handler.service().to_owned(),
            key: format!("failed:{}", message.message_id),
        }
    }

    /// Stores a final error if settling is not a transaction. If that fails, the error is published nevertheless.
    async fn keep_failure(
        &self,
        message: &Incoming,
        read: &Read,
        outcome: &Handled,
    ) -> Option<IdempotencyRecord> {
        if self.settles_at_once {
            return None;
        }
        let key = self.failure_key(message);
        let fingerprint = identity::fingerprint(&read.command, &read.command.action);
        let begun = self
            .idempotency
            .begin(&key, &fingerprint, &read.owner, self.lease)
            .await;
        matches!(begun, Ok(BeginOutcome::New)).then(|| IdempotencyRecord {
            key,
            owner: read.owner.clone(),
            fingerprint: None,
            answer: identity::keep(&outcome.result, &outcome.events, None),
        })
    }

    /// The final error that this message got before, if it was redelivered.
    async fn failed_before(&self, message: &Incoming, read: &Read) -> Option<Decision> {
        if self.settles_at_once || message.attempt == Some(1) {
            return None;
        }
        let key = self.failure_key(message);
        let command = &read.command;
        let fingerprint = identity::fingerprint(command, &command.action);
        let begun = self
            .idempotency
            .begin(&key, &fingerprint, &read.owner, self.lease)
            .await;
        match begun {
            Ok(BeginOutcome::Done { answer }) => {
                Some(self.at_last(self.again(command, &answer), message, command))
            }
            Ok(BeginOutcome::New) => {
                self.abandon(Some(&key), &read.owner).await;
                None
            }
            Ok(_) => None,
            Err(error) => Some(Decision::Unavailable {
                why: error.to_string(),
            }),
        }
    }

    fn done(&self, handled: Handled, answered: Option<IdempotencyRecord>) -> Decision {
        let outcome = Box::new(Outcome {
            result: handled.result,
            events: handled.events,
            answered,
        });
        match handled.follow_up {
            Some(follow_up) => Decision::Pending(outcome, Box::new(follow_up)),
            None => Decision::Done(outcome),
        }
    }

    /// The answer that was given before. Another Command with the same key gets the same answer under its own ids. It did nothing itself,
    /// so it has no lineage and no Events.
    fn again(&self, command: &Command, answer: &str) -> Decision {
        let Some((mut result, mut events, mut follow_up)) = identity::kept(answer) else {
            let why = "the stored answer of this request cannot be read".into();
            // One damaged answer is no reason to stop for all other messages.
            return Decision::Retry { why, after: None };
        };
        let ids = |r: &Reply| {
            (
                r.correlation_id.clone(),
                r.job_id.clone(),
                r.step_id.clone(),
            )
        };
        let own = (
            command.correlation_id.clone(),
            command.job_id.clone(),
            command.step_id.clone(),
        );
        if ids(&result) != own {
            (result.correlation_id, result.job_id, result.step_id) = own;
            result.timestamp = self.now();
            result.duration_ms = 0;
            result.inputs.clear();
            result.outputs.clear();
            events.clear();
            follow_up = None;
        }
        tracing::info!("the request was answered before; the stored answer is given again");
        let handled = Handled {
            result,
            events,
            follow_up,
        };
        self.done(handled, None)
    }

    fn mismatch(&self, command: &Command) -> Handled {
        let error = "metadata.idempotency_key: it was used before with another payload; \
                     send the same payload, or another key";
        Handled {
            result: self.error_result(command, error),
            events: Vec::new(),
            follow_up: None,
        }
    }

    fn error_result(&self, command: &Command, error: &str) -> Reply {
        let mut result = Reply::error(command.correlation_id.as_str(), [error]);
        result.job_id.clone_from(&command.job_id);
        result.step_id.clone_from(&command.step_id);
        result.handler = Some(self.handler.service().to_owned());
        result.timestamp = self.now();
        result
    }

    async fn abandon(&self, key: Option<&Key>, owner: &str) {
        if let Some(key) = key
            && let Err(error) = self.idempotency.abandon(key, owner).await
        {
            // The request is free again when its lease ends.
            tracing::warn!(%error, "the request stays marked as running");
        }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.clock.now_ms())
    }
}

fn later_decision(later: Later) -> Decision {
    match later {
        Later::Retry { why, after } => Decision::Retry { why, after },
        Later::Unavailable { why } => Decision::Unavailable { why },
    }
}
