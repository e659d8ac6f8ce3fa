use crate::{Wait, Waits};
use async_trait::async_trait;
use pudato_protocol::{
    Command, DataReference, Error, ErrorKind, ExecutionRecord, FieldError, Fields, Object, Retry,
};
use serde_json::Value;
use std::fmt;
use std::time::Duration;

/// What running an action twice would do; decides whether the fabric keeps an idempotency record for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Writes by a key that the Command names: a second run leaves the same state.
    Keyed,
    /// A second run would repeat the effect: its first answer is kept and given again.
    Once,
}

/// An action of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Action {
    /// Its name (docs/commands.md).
    pub name: &'static str,
    /// Names that are accepted for the same action.
    pub aliases: &'static [&'static str],
    /// What running it twice would do.
    pub effect: Effect,
    /// Longest time a lease is renewed for it; after that it is given up and delivered again.
    pub lease_max: Duration,
    /// The fields that its payload may have; a payload with another is refused. `None`: the handler looks after that itself.
    pub fields: Option<&'static [&'static str]>,
}

/// Longest run of an action that says nothing else.
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

    /// Says which fields its payload may have: what is misspelt is refused by name, and not ignored.
    #[must_use]
    pub const fn fields(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = Some(fields);
        self
    }

    /// Adds other names.
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

    /// Checks that a payload has no field but those of the action.
    ///
    /// # Errors
    /// Names the field and the nearest that is known.
    pub fn check_fields(&self, payload: &Object) -> Result<(), FieldError> {
        let Some(known) = self.fields else {
            return Ok(());
        };
        check_fields(payload, known, "payload", self.name)
    }

    /// Whether a Command's `action` means this one.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// Checks that `object`, which stands at `path`, has only fields that are `known` to `whose`.
///
/// # Errors
/// Names the field and the nearest that is known.
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

/// The name that is spelt most like `unknown`, and how much: 1 is the same (Jaro-Winkler).
pub fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<(f64, &'a str)> {
    known
        .map(|known| (strsim::jaro_winkler(unknown, known), known))
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
}

/// Two names are near from this likeness on: `pipline` and `pipeline` have 0.98, `path` and `data` 0.5 (Jaro-Winkler).
const NEAR: f64 = 0.85;

/// What tells a request from every other, so that a backend can make its effect once.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// The same for every delivery of the same request (docs/design/idempotency.md).
    pub key: String,
    /// Tells payloads apart that came with the same key.
    pub fingerprint: String,
}

/// A Command that was found to be meant for the handler.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The action's own name, also where the Command used an alias.
    pub action: &'static str,
    /// The Command.
    pub command: &'a Command,
    /// Its identity, where the action has an effect that must not be repeated and the fabric knows one.
    pub identity: Option<&'a Identity>,
    /// Who is told how far it is.
    pub progress: &'a dyn Progress,
}

/// Is told how far a long action is.
pub trait Progress: Send + Sync {
    /// The action's state, as the `data` of a `pending` Result. It never waits, and may leave out what comes too fast.
    fn report(&self, command: &Command, data: Object);

    /// Where the Command says what it waits for; nobody hears it, unless this is overridden.
    fn waits(&self) -> Waits {
        Waits::default()
    }
}

/// Tells nobody.
impl Progress for () {
    fn report(&self, _command: &Command, _data: Object) {}
}

impl fmt::Debug for dyn Progress + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

impl<'a> Request<'a> {
    /// Of a Command whose progress nobody is told, as tests need it.
    pub fn new(action: &'static str, command: &'a Command) -> Self {
        Self {
            action,
            command,
            identity: None,
            progress: &(),
        }
    }

    /// Says how far the action is: a `pending` Result with `data` is published.
    pub fn report(&self, data: Object) {
        self.progress.report(self.command, data);
    }

    /// Says that the action waits for `what` until the answer is dropped; see [`Waits::waits_for`].
    pub fn waits_for(&self, what: impl Into<String>) -> Wait {
        self.progress.waits().waits_for(what)
    }

    /// Where the action says what it waits for, for parts of it that run elsewhere.
    pub fn waits(&self) -> Waits {
        self.progress.waits()
    }

    /// The payload's fields; an error about one is named `payload.<field>`.
    ///
    /// # Errors
    /// None: a payload is always an object. The type lets the caller use `?` throughout.
    pub fn payload(&self) -> Result<Fields, FieldError> {
        Fields::of(Value::Object(self.command.payload.clone()), "payload")
    }
}

/// What an action answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// `Result.data`.
    pub data: Object,
    /// What was read.
    pub inputs: Vec<DataReference>,
    /// What was written.
    pub outputs: Vec<DataReference>,
    /// What was executed.
    pub executions: Vec<ExecutionRecord>,
    /// What others may want to know: the Event's type and payload.
    pub events: Vec<(String, Object)>,
    /// Set where the work goes on elsewhere: the Result is `pending`, and the Command is sent again later.
    pub follow_up: Option<FollowUp>,
}

/// A Command that asks again for work that goes on elsewhere.
#[derive(Debug, Clone, PartialEq)]
pub struct FollowUp {
    /// How long to wait, at most 900 s.
    pub after: Duration,
    /// The Command to be handled then.
    pub command: Command,
}

impl Answer {
    /// An answer that read and wrote nothing.
    pub fn new(data: Object) -> Self {
        Self {
            data,
            ..Self::default()
        }
    }

    /// Adds a dataset that was read.
    #[must_use]
    pub fn input(mut self, reference: DataReference) -> Self {
        self.inputs.push(reference);
        self
    }

    /// Adds a dataset that was written.
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

/// Why an action gave no answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// Running it again would fail again. What was done before it failed stands in `done`.
    Final {
        /// One text per thing that is wrong.
        errors: Vec<String>,
        /// Lineage, Events and data of what was done all the same.
        done: Box<Answer>,
    },
    /// This Command had bad luck; it is tried again.
    Retry {
        /// What happened.
        why: String,
        /// No sooner than this; the worker's backoff where it is `None`.
        after: Option<Duration>,
    },
    /// A backend is down or a lock is held; the Command waits and spends no attempt.
    Unavailable {
        /// Which, and how it is known.
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
    /// The `type` of the Commands it takes, e.g. `storage`.
    fn service(&self) -> &str;

    /// The actions it knows.
    fn actions(&self) -> &[Action];

    /// Runs one action. The same Command may come again, also while it still runs elsewhere: what must not happen
    /// twice is an [`Effect::Once`] action, or is made once by the backend. An effect is durable when this returns. Dropping the
    /// future cancels the action.
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
