//! What a Result, an update or a declaration says about a step.

use super::lineage::{Named, Pair, lineage};
use super::{KnownStep, Standing, indexed, no_nul};
use crate::error::Error;
use crate::fold::StepStatus;
use crate::hash::sha256_hex;
use crate::micros;
use crate::model::StepUpdate;
use crate::store::Incoming;
use pudato_protocol::{Result as Reply, Timestamp};
use serde_json::{Value, json};
use std::borrow::Cow;

/// How far a clock may be ahead of that of the registry. Clocks that are set over the network differ by much less than a second; five
/// minutes are what protocols that depend on clocks (Kerberos, signatures of AWS) put up with before they refuse one. What is said to have
/// happened later than this after it was recorded counts as of then, so that it cannot decide a step, or what data was read, for ever.
const CLOCK_AHEAD_MAX_US: i64 = 5 * 60 * 1_000_000;

/// Something that is said, before it is taken apart.
#[derive(Clone, Copy)]
pub(crate) enum Uttered<'a> {
    /// A Result that arrived.
    Result(&'a Incoming),
    /// An update of a step, which counts like a Result.
    Update(&'a StepUpdate, &'a Said),
    /// A step and its job are made where they are not there; nothing is said about their state.
    Declaration {
        step_id: &'a str,
        job_id: &'a str,
        handler: &'a str,
        action: &'a str,
        correlation_id: Option<&'a str>,
        at: &'a Timestamp,
    },
}

/// What the Results of a step must agree with, as somebody declares it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declares<'a> {
    /// The service and the action; `None` where only a correlation id is added.
    pub(crate) work: Option<(&'a str, &'a str)>,
    pub(crate) correlation_id: Option<&'a str>,
}

impl Declares<'_> {
    /// Whether it says anything new about a step that is there.
    pub(super) fn changes(&self, step: &KnownStep) -> bool {
        let is_new_id = |id: &str| !step.ids.iter().any(|known| known == id);
        let is_new_work = |work| !step.is_declared || !step.does(work);
        self.work.is_some_and(is_new_work) || self.correlation_id.is_some_and(is_new_id)
    }
}

/// An update as it is kept.
pub(crate) struct Said {
    identity: String,
    body: String,
}

impl Said {
    pub(crate) fn of(update: &StepUpdate) -> Self {
        let at = update.completed_at.as_ref().unwrap_or(&update.timestamp);
        let mut body = json!({
            "step_id": update.step_id, "status": update.status, "inputs": update.inputs,
            "outputs": update.outputs, "executions": update.executions, "duration_ms": update.duration_ms,
            "error": update.error, "at": at.as_str(),
            "started_at": update.started_at.as_ref().map(Timestamp::as_str),
        });
        if let Some(id) = &update.correlation_id {
            body["correlation_id_added"] = id.as_str().into();
        }
        let body = body.to_string();
        let identity = sha256_hex(&[body.as_bytes()]);
        Self { identity, body }
    }

    /// One that was kept before.
    pub(super) fn recalled(identity: String) -> Self {
        let body = String::new();
        Self { identity, body }
    }
}

/// What is kept of a statement.
#[derive(Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) identity: &'a str,
    pub(crate) correlation_id: &'a str,
    pub(crate) status: &'static str,
    pub(crate) recorded_at: &'a str,
    pub(crate) body: &'a str,
}

/// One statement, taken apart.
pub(crate) struct Statement<'a> {
    /// Where it is kept and how it stood, where it was written before.
    pub(crate) row: Option<(i64, Standing)>,
    /// How it stands, where that is certain.
    pub(crate) standing: Option<Standing>,
    pub(crate) declares: Option<Declares<'a>>,
    /// The job that its step must belong to.
    pub(crate) expected_job: Option<&'a str>,
    /// `None`: it is a declaration, of which nothing is kept.
    pub(crate) said: Option<Kept<'a>>,
    pub(crate) step_id: Option<&'a str>,
    pub(crate) job_id: Option<&'a str>,
    /// `None`: it says nothing about the state.
    pub(crate) status: Option<StepStatus>,
    /// When it happened, as far as that can be believed.
    pub(crate) at: Cow<'a, str>,
    pub(crate) at_us: i64,
    /// When it happened as it was said, where that cannot be believed.
    pub(crate) stated_at: Option<&'a str>,
    /// `None`: it says nothing about when the step began.
    pub(crate) started_us: Option<i64>,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) error: Option<Cow<'a, str>>,
    pub(crate) handler: Option<Cow<'a, str>>,
    pub(crate) action: Option<Cow<'a, str>>,
    /// Other names of the action.
    pub(crate) action_names: Vec<&'a str>,
    pub(crate) correlation_id: Option<&'a str>,
    pub(crate) datasets: Vec<Named<'a>>,
    pub(crate) pairs: Vec<Pair>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(
        uttered: Uttered<'a>,
        place: &mut impl FnMut(&'a str) -> usize,
    ) -> Result<Self, Error> {
        let statement = match uttered {
            Uttered::Result(incoming) => Self::of_result(incoming, place)?,
            Uttered::Update(update, said) => Self::of_update(update, said, place)?,
            Uttered::Declaration {
                step_id,
                job_id,
                handler,
                action,
                correlation_id,
                at,
            } => Self {
                step_id: Some(step_id),
                job_id: Some(job_id),
                declares: Some(Declares {
                    work: Some((handler, action)),
                    correlation_id,
                }),
                ..Self::silent(Moment::of(at, at))
            },
        };
        indexed("step_id", statement.step_id.unwrap_or_default())?;
        indexed("job_id", statement.job_id.unwrap_or_default())?;
        no_nul("step_id", statement.step_id.unwrap_or_default())?;
        no_nul("job_id", statement.job_id.unwrap_or_default())?;
        no_nul("job_id", statement.expected_job.unwrap_or_default())?;
        no_nul(
            "correlation_id",
            statement.correlation_id.unwrap_or_default(),
        )?;
        Ok(statement)
    }

    fn of_result(
        incoming: &'a Incoming,
        place: &mut impl FnMut(&'a str) -> usize,
    ) -> Result<Self, Error> {
        let result = &*incoming.result;
        let status = StepStatus::from(result.status);
        let at = Moment::of(&result.timestamp, &incoming.recorded_at);
        let at_us = at.us;
        no_nul("correlation_id", &result.correlation_id)?;
        let has_step = result.step_id.is_some();
        let (inputs, outputs) = if has_step {
            (&result.inputs[..], &result.outputs[..])
        } else {
            (&[][..], &[][..])
        };
        let (datasets, pairs) = lineage(inputs, outputs, place)?;
        let asked = Asked::of(result);
        Ok(Self {
            said: Some(Kept {
                identity: &incoming.identity,
                correlation_id: &result.correlation_id,
                status: status.as_str(),
                recorded_at: incoming.recorded_at.as_str(),
                body: &incoming.body,
            }),
            // What has no step is no claim about one.
            standing: (!has_step).then_some(Standing::Counts),
            step_id: result.step_id.as_deref(),
            // What has no step changes no job.
            job_id: result.job_id.as_deref().filter(|_| has_step),
            status: Some(status),
            started_us: Some(started_us(at_us, result.duration_ms)),
            duration_ms: Some(i64::try_from(result.duration_ms).unwrap_or(i64::MAX)),
            error: result.errors.first().map(|text| clean(text)),
            handler: result.handler.as_deref().map(clean),
            action: asked.action.map(clean),
            action_names: asked.names,
            correlation_id: Some(&result.correlation_id),
            datasets,
            pairs,
            ..Self::silent(at)
        })
    }

    fn of_update(
        update: &'a StepUpdate,
        said: &'a Said,
        place: &mut impl FnMut(&'a str) -> usize,
    ) -> Result<Self, Error> {
        let recorded_at = &update.timestamp;
        let at = Moment::of(
            update.completed_at.as_ref().unwrap_or(recorded_at),
            recorded_at,
        );
        let (datasets, pairs) = lineage(&update.inputs, &update.outputs, place)?;
        let has_begun = update
            .status
            .is_some_and(|status| status != StepStatus::Pending)
            || !datasets.is_empty()
            || update.started_at.is_some();
        let started = match &update.started_at {
            Some(at) => Moment::of(at, recorded_at).us,
            None => started_us(at.us, update.duration_ms.unwrap_or(0)),
        };
        let declares = update.correlation_id.as_deref().map(|id| Declares {
            work: None,
            correlation_id: Some(id),
        });
        Ok(Self {
            said: Some(Kept {
                identity: &said.identity,
                correlation_id: "",
                status: update.status.map_or("pending", StepStatus::as_str),
                recorded_at: recorded_at.as_str(),
                body: &said.body,
            }),
            standing: Some(Standing::Accepted),
            declares,
            expected_job: update.job_id.as_deref(),
            step_id: Some(&update.step_id),
            status: update.status,
            started_us: has_begun.then_some(started),
            duration_ms: update
                .duration_ms
                .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            error: update.error.as_deref().map(clean),
            datasets,
            pairs,
            ..Self::silent(at)
        })
    }

    /// Something of which nothing is known but when it happened.
    fn silent(at: Moment<'a>) -> Self {
        Self {
            row: None,
            standing: None,
            declares: None,
            expected_job: None,
            said: None,
            step_id: None,
            job_id: None,
            status: None,
            at: at.text,
            at_us: at.us,
            stated_at: at.stated,
            started_us: None,
            duration_ms: None,
            error: None,
            handler: None,
            action: None,
            action_names: Vec::new(),
            correlation_id: None,
            datasets: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// Where it stands among all that is said of its step, whatever came first.
    pub(super) fn place(&self) -> Option<(i64, &'a str)> {
        self.said.map(|said| (self.at_us, said.identity))
    }
}

/// When something happened.
struct Moment<'a> {
    us: i64,
    text: Cow<'a, str>,
    stated: Option<&'a str>,
}

impl<'a> Moment<'a> {
    /// As it was said, but no later than the registry can believe.
    fn of(stated: &'a Timestamp, recorded_at: &Timestamp) -> Self {
        let (us, last) = (micros(stated), micros(recorded_at));
        let last = last.saturating_add(CLOCK_AHEAD_MAX_US);
        if us <= last {
            return Self {
                us,
                text: Cow::Borrowed(stated.as_str()),
                stated: None,
            };
        }
        Self {
            us: last,
            text: Cow::Owned(Timestamp::from_unix_us(last).as_str().to_owned()),
            stated: Some(stated.as_str()),
        }
    }
}

/// What the Command asked for, as the runtime's record of it says: the Command itself is not kept.
struct Asked<'a> {
    action: Option<&'a str>,
    /// All names of the action, where it has several.
    names: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(result: &'a Reply) -> Self {
        let mut records = result.executions.iter();
        let mut others = records.clone();
        let record = records
            .find(|record| record.execution_type == "command")
            .or_else(|| others.find(|record| record.details.contains_key("action")));
        let field = |name| record.and_then(|record| record.details.get(name));
        let names = field("action_names").and_then(Value::as_array);
        Self {
            action: field("action").and_then(Value::as_str),
            names: names
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect(),
        }
    }
}

/// When the work began, as far as a Result tells.
fn started_us(at_us: i64, duration_ms: u64) -> i64 {
    let duration_us = i64::try_from(duration_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    at_us.saturating_sub(duration_us)
}

/// A text for people, without NULs, which Postgres cannot keep.
fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
