use crate::{Wait, Waits};
use async_trait::async_trait;
use pudato_protocol::{
    Command, DataReference, Error, ErrorKind, ExecutionRecord, FieldError, Fields, Object, Retry,
};
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// The effect of running an action twice. It decides whether the fabric stores an idempotency record for the action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The action changes nothing.
    Read,
    /// The action writes by a key in the Command, so a second run leaves the same state.
    Keyed,
    /// A second run would repeat the effect, so the first answer is stored and returned again.
    Once,
}

/// An action of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// Its name (docs/commands.md).
    pub name: &'static str,
    /// Other accepted names of the action.
    pub aliases: &'static [&'static str],
    /// The effect of running it twice.
    pub effect: Effect,
    /// The longest time for which its lease is renewed. After that, the Command is delivered again.
    pub lease_max: Duration,
    /// The allowed fields of its payload; any other is refused. `None`: the handler checks the fields itself.
    pub fields: Option<&'static [&'static str]>,
}

/// The longest run of an action by default.
const LEASE_MAX_DEFAULT: Duration = Duration::from_secs(15 * 60);

impl Action {
    /// An action without aliases that may run for 15 minutes.
    pub const fn new(name: &'static str, effect: Effect) -> Self {
        Self {
            name,
            aliases: &[],
            effect,
            lease_max: LEASE_MAX_DEFAULT,
            fields: None,
        }
    }

    /// Sets the allowed fields of its payload. A misspelt field is then refused by name instead of being ignored.
    #[must_use]
    pub const fn fields(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = Some(fields);
        self
    }

    /// Sets the aliases.
    #[must_use]
    pub const fn aliases(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    /// Sets the longest run.
    #[must_use]
    pub const fn lease_max(mut self, lease_max: Duration) -> Self {
        self.lease_max = lease_max;
        self
    }

    /// Checks that a payload has only fields of the action.
    ///
    /// # Errors
    /// Names the unknown field and the most similar known one.
    pub fn check_fields(&self, payload: &Object) -> Result<(), FieldError> {
        let Some(known) = self.fields else {
            return Ok(());
        };
        check_fields(payload, known, "payload", self.name)
    }

    /// Whether a Command's `action` refers to this one.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// Checks that `object` at `path` has only fields that are `known` to `whose`.
///
/// # Errors
/// Names the unknown field and the most similar known one.
pub fn check_fields(
    object: &Object,
    known: &[&str],
    path: &str,
    whose: &str,
) -> Result<(), FieldError> {
    let Some(name) = object.keys().find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let near = nearest(name, known.iter().copied()).filter(|(likeness, _)| *likeness >= NEAR);
    let meant = near.map_or_else(String::new, |(_, known)| format!("did you mean {known}? "));
    let reason = format!(
        "{whose} has no such field; {meant}expected some of {}",
        known.join(", ")
    );
    Err(FieldError::new(format!("{path}.{name}"), reason))
}

/// The known name that is most similar to `unknown`, with the similarity: 1 means equal (Jaro-Winkler).
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<(f64, &'a str)> {
    known
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
}

/// The least similarity of a suggestion: `pipline` and `pipeline` have 0.98, `path` and `data` 0.5 (Jaro-Winkler).
const NEAR: f64 = 0.85;

/// Identifies a request, so that a backend applies its effect once.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The same for every delivery of a request.
    pub key: String,
    /// Distinguishes payloads that came with the same key.
    pub fingerprint: String,
}

/// A Command whose action was found.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The name of the action in the contract, even if the Command used an alias.
    pub action: &'static str,
    /// The Command.
    pub command: &'a Command,
    /// The identity of the request, if the action must not run twice and the fabric knows the identity.
    pub identity: Option<&'a Identity>,
    /// Receives the progress.
    pub progress: &'a dyn Progress,
}

/// Receives the progress of long actions.
pub trait Progress: Send + Sync {
    /// Reports the state of the action, as the `data` of a `pending` Result. It never waits, and may drop reports that come too fast.
    fn report(&self, command: &Command, data: Object);

    /// Receives what the Command waits for. The default discards it.
    fn waits(&self) -> Waits {
        Waits::default()
    }

    /// The number of the attempt, from 1. The default does not know it.
    fn attempt(&self) -> Option<u32> {
        None
    }
}

/// Discards the progress.
impl Progress for () {
    fn report(&self, _command: &Command, _data: Object) {}
}

impl fmt::Debug for dyn Progress + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl<'a> Request<'a> {
    /// A request whose progress is discarded, for tests.
    pub fn new(action: &'static str, command: &'a Command) -> Self {
        Self {
            action,
            command,
            identity: None,
            progress: &(),
        }
    }

    /// Reports the progress: publishes a `pending` Result with `data`.
    pub fn report(&self, data: Object) {
        self.progress.report(self.command, data);
    }

    /// Reports that the action waits for `what` until the returned value is dropped; see [`Waits::waits_for`].
    pub fn waits_for(&self, what: impl Into<String>) -> Wait {
        self.progress.waits().waits_for(what)
    }

    /// Reports waits from parts of the action that run elsewhere.
    pub fn waits(&self) -> Waits {
        self.progress.waits()
    }

    /// The number of this attempt, from 1; `None` if the fabric does not count.
    pub fn attempt(&self) -> Option<u32> {
        self.progress.attempt()
    }

    /// The payload's fields; an error about one is named `payload.<field>`.
    ///
    /// # Errors
    /// Never: a payload is always an object. The type lets the caller use `?` throughout.
    pub fn payload(&self) -> Result<Fields, FieldError> {
        Fields::of(Value::Object(self.command.payload.clone()), "payload")
    }
}

/// The answer of an action.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// `Result.data`.
    pub data: Object,
    /// The datasets that the action read.
    pub inputs: Vec<DataReference>,
    /// The datasets that the action wrote.
    pub outputs: Vec<DataReference>,
    /// The work that was executed.
    pub executions: Vec<ExecutionRecord>,
    /// Events to publish, each with its type and payload.
    pub events: Vec<(String, Object)>,
    /// Set if the work continues elsewhere: the Result is `pending`, and this Command is sent later.
    pub follow_up: Option<FollowUp>,
    /// Whether the work continues elsewhere, and somebody else publishes its Result: this one is `pending`, and nothing is sent later.
    pub pending: bool,
}

/// A Command that checks again for work that continues elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowUp {
    /// The delay, at most 900 s.
    pub after: Duration,
    /// The Command to handle then.
    pub command: Command,
}

impl Answer {
    /// An answer without datasets.
    pub fn new(data: Object) -> Self {
        Self {
            data,
            ..Self::default()
        }
    }

    /// Adds an input dataset.
    #[must_use]
    pub fn input(mut self, reference: DataReference) -> Self {
        self.inputs.push(reference);
        self
    }

    /// Adds an output dataset.
    #[must_use]
    pub fn output(mut self, reference: DataReference) -> Self {
        self.outputs.push(reference);
        self
    }

    /// Adds an Event.
    #[must_use]
    pub fn event(mut self, r#type: impl Into<String>, payload: Object) -> Self {
        self.events.push((r#type.into(), payload));
        self
    }
}

/// Why an action failed.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// Running the action again would fail again. `done` holds what it did before it failed.
    Final {
        /// One text for each problem.
        errors: Vec<String>,
        /// Lineage, Events and data of the part that was done.
        done: Box<Answer>,
    },
    /// A transient failure. The Command is tried again.
    Retry {
        /// The reason.
        why: String,
        /// The earliest time of the next try; `None` uses the worker's backoff.
        after: Option<Duration>,
    },
    /// A backend is down or a lock is held. The Command waits without using up an attempt.
    Unavailable {
        /// The backend, and how its failure shows.
        why: String,
    },
}

impl Failure {
    /// A final failure with one text, before anything was done.
    pub fn bad(error: impl Into<String>) -> Self {
        Self::Final {
            errors: vec![error.into()],
            done: Box::default(),
        }
    }
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Self {
        Self::bad(error.to_string())
    }
}

/// What a Command becomes whose store failed.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let why = error.context;
        match error.kind {
            ErrorKind::Corrupt | ErrorKind::Unavailable => Self::Unavailable { why },
            ErrorKind::Denied | ErrorKind::Failed if error.retry != Retry::Never => {
                Self::Retry { why, after: None }
            }
            _ => Self::bad(why),
        }
    }
}

/// A service: a set of actions.
#[async_trait]
pub trait Handler: Send + Sync {
    /// The `type` of the Commands for this service, e.g. `storage`.
    fn service(&self) -> &str;

    /// The actions of the service.
    fn actions(&self) -> &[Action];

    /// Runs one action. The same Command may come again, even while it is still running elsewhere: make an action that must not run twice
    /// [`Effect::Once`], or make its effect idempotent in the backend. The effect must be durable when this returns. Dropping the future
    /// cancels the action.
    ///
    /// # Errors
    /// See [`Failure`]; a panic counts as `Retry`.
    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a handler's store says decides what becomes of the Command.
    #[test]
    fn an_error_of_a_store_is_final_tried_again_or_waited_for_by_its_kind() {
        #[derive(Debug, PartialEq)]
        enum Becomes {
            Final,
            Retry,
            Wait,
        }
        let becomes = |error: Error| match Failure::from(error) {
            Failure::Final { errors, .. } => (Becomes::Final, errors.concat()),
            Failure::Retry { why, after: None } => (Becomes::Retry, why),
            Failure::Unavailable { why } => (Becomes::Wait, why),
            other => panic!("{other:?}"),
        };
        for (kind, expected) in [
            (ErrorKind::Invalid, Becomes::Final),
            (ErrorKind::NotFound, Becomes::Final),
            (ErrorKind::AlreadyExists, Becomes::Final),
            (ErrorKind::TooLarge, Becomes::Final),
            (ErrorKind::Denied, Becomes::Retry),
            (ErrorKind::Failed, Becomes::Retry),
            (ErrorKind::Corrupt, Becomes::Wait),
            (ErrorKind::Unavailable, Becomes::Wait),
        ] {
            let found = becomes(Error::new(kind, "lake/a.csv: why").with_source("below"));
            assert_eq!(found, (expected, "lake/a.csv: why".into()), "{kind:?}");
        }
        // A row that cannot be read stays so, however often it is asked for.
        let lost = Error::new(ErrorKind::Failed, "row 7").with_retry(Retry::Never);
        assert_eq!(becomes(lost).0, Becomes::Final);
    }
}
