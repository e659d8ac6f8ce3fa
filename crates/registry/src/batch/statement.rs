//! Turns a Result, an update or a declaration into a statement about a step.

use super::lineage::{DatasetRef, Pair, lineage};
use super::{KnownStep, Verdict, indexed, no_nul};
use crate::error::Error;
use crate::fold::StepStatus;
use crate::hash::sha256_hex;
use crate::micros;
use crate::model::StepUpdate;
use crate::store::Incoming;
use pudato_protocol::{Result as Reply, Timestamp};
use serde_json::{Value, json};
use std::borrow::Cow;

/// How far a sender's clock may be ahead of the registry's. Clocks that are set over the network differ by much less than a second;
/// protocols that depend on clocks (Kerberos, AWS signatures) tolerate five minutes. A later timestamp counts as recording time plus five
/// minutes, so that it cannot decide a step, or which data was read, for ever.
const CLOCK_AHEAD_MAX_US: i64 = 5 * 60 * 1_000_000;

/// An input of a batch, before it is parsed.
#[derive(Clone, Copy)]
pub(crate) enum Observation<'a> {
    /// A Result that arrived.
    Result(&'a Incoming),
    /// An update of a step. It counts like a Result.
    Update(&'a StepUpdate, &'a StoredUpdate),
    /// Declares a step and its job, which are added if they are new. It says nothing about their status.
    Declaration {
        step_id: &'a str,
        job_id: &'a str,
        handler: &'a str,
        action: &'a str,
        correlation_id: Option<&'a str>,
        at: &'a Timestamp,
    },
}

/// Declared values that the Results of a step must match.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declares<'a> {
    /// The service and the action; `None` if the declaration only adds a correlation id.
    pub(crate) work: Option<(&'a str, &'a str)>,
    pub(crate) correlation_id: Option<&'a str>,
}

impl Declares<'_> {
    /// Whether it changes what is known about the step.
    pub(super) fn changes(&self, step: &KnownStep) -> bool {
        let is_new_id = |id: &str| !step.ids.iter().any(|known| known == id);
        let is_new_work = |work| !step.is_declared || !step.does(work);
        self.work.is_some_and(is_new_work) || self.correlation_id.is_some_and(is_new_id)
    }
}

/// An update in the form in which it is stored.
pub(crate) struct StoredUpdate {
    identity: String,
    body: String,
}

impl StoredUpdate {
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

    /// An update that was read from its row. Its body is not needed again.
    pub(super) fn stored(identity: String) -> Self {
        let body = String::new();
        Self { identity, body }
    }
}

/// The columns of a statement in the table `result`.
#[derive(Clone, Copy)]
pub(crate) struct ResultRow<'a> {
    pub(crate) identity: &'a str,
    pub(crate) correlation_id: &'a str,
    pub(crate) status: &'static str,
    pub(crate) recorded_at: &'a str,
    pub(crate) body: &'a str,
}

/// One parsed statement.
pub(crate) struct Statement<'a> {
    /// Its row and its verdict, if it was stored before.
    pub(crate) row: Option<(i64, Verdict)>,
    /// The verdict, if it does not depend on the step.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) declares: Option<Declares<'a>>,
    /// The job that the step must belong to.
    pub(crate) expected_job: Option<&'a str>,
    /// `None` for a declaration, which is not stored.
    pub(crate) record: Option<ResultRow<'a>>,
    pub(crate) step_id: Option<&'a str>,
    pub(crate) job_id: Option<&'a str>,
    /// `None` if it says nothing about the status.
    pub(crate) status: Option<StepStatus>,
    /// When it happened, limited to what the registry believes.
    pub(crate) at: Cow<'a, str>,
    pub(crate) at_us: i64,
    /// When it happened according to the sender, if the registry does not believe it.
    pub(crate) stated_at: Option<&'a str>,
    /// `None` if it does not say when the step began.
    pub(crate) started_us: Option<i64>,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) error: Option<Cow<'a, str>>,
    pub(crate) handler: Option<Cow<'a, str>>,
    pub(crate) action: Option<Cow<'a, str>>,
    /// Other names of the action.
    pub(crate) action_names: Vec<&'a str>,
    pub(crate) correlation_id: Option<&'a str>,
    pub(crate) datasets: Vec<DatasetRef<'a>>,
    pub(crate) pairs: Vec<Pair>,
}

impl<'a> Statement<'a> {
    pub(super) fn new(
        observations: Observation<'a>,
        place: &mut impl FnMut(&'a str) -> usize,
    ) -> Result<Self, Error> {
        let statement = match observations {
            Observation::Result(incoming) => Self::of_result(incoming, place)?,
            Observation::Update(update, stored) => Self::of_update(update, stored, place)?,
            Observation::Declaration {
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
                ..Self::empty(Moment::of(at, at))
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
        let asked = CommandRecord::of(result);
        Ok(Self {
            record: Some(ResultRow {
                identity: &incoming.identity,
                correlation_id: &result.correlation_id,
                status: status.as_str(),
                recorded_at: incoming.recorded_at.as_str(),
                body: &incoming.body,
            }),
            // A Result without a step cannot mismatch.
            verdict: (!has_step).then_some(Verdict::Matches),
            step_id: result.step_id.as_deref(),
            // A Result without a step changes no job.
            job_id: result.job_id.as_deref().filter(|_| has_step),
            status: Some(status),
            started_us: Some(started_us(at_us, result.duration_ms)),
            duration_ms: Some(i64::try_from(result.duration_ms).unwrap_or(i64::MAX)),
            error: errors(&result.errors),
            handler: result.handler.as_deref().map(clean),
            action: asked.action.map(clean),
            action_names: asked.names,
            correlation_id: Some(&result.correlation_id),
            datasets,
            pairs,
            ..Self::empty(at)
        })
    }

    fn of_update(
        update: &'a StepUpdate,
        stored: &'a StoredUpdate,
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
            record: Some(ResultRow {
                identity: &stored.identity,
                correlation_id: "",
                status: update.status.map_or("pending", StepStatus::as_str),
                recorded_at: recorded_at.as_str(),
                body: &stored.body,
            }),
            verdict: Some(Verdict::Accepted),
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
            ..Self::empty(at)
        })
    }

    /// A statement of which only the time is known.
    fn empty(at: Moment<'a>) -> Self {
        Self {
            row: None,
            verdict: None,
            declares: None,
            expected_job: None,
            record: None,
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

    /// Its place in the order of all statements about a step, which does not depend on the order of arrival.
    pub(super) fn place(&self) -> Option<(i64, &'a str)> {
        self.record.map(|record| (self.at_us, record.identity))
    }
}

/// When something happened.
struct Moment<'a> {
    us: i64,
    text: Cow<'a, str>,
    stated: Option<&'a str>,
}

impl<'a> Moment<'a> {
    /// The stated time, limited to what the registry believes.
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

/// The service and action that the Command asked for, from the execution record that the runtime adds. The registry does not store the
/// Command itself.
struct CommandRecord<'a> {
    action: Option<&'a str>,
    /// All names of the action, if it has several.
    names: Vec<&'a str>,
}

impl<'a> CommandRecord<'a> {
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

/// When the work began, according to the Result's duration.
fn started_us(at_us: i64, duration_ms: u64) -> i64 {
    let duration_us = i64::try_from(duration_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    at_us.saturating_sub(duration_us)
}

/// All errors of a Result as one text; `None` if there are none.
fn errors(errors: &[String]) -> Option<Cow<'_, str>> {
    match errors {
        [] => None,
        [only] => Some(clean(only)),
        all => Some(Cow::Owned(clean(&all.join("; ")).into_owned())),
    }
}

/// A text for people. PostgreSQL cannot store NULs, so they are replaced.
fn clean(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}
