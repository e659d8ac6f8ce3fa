//! What a Result, an update or a declaration says about a step.

use super::{ADDED, READ, REPLACED, no_nul};
use crate::error::Error;
use crate::fold::StepStatus;
use crate::hash::sha256_hex;
use crate::micros;
use crate::model::StepUpdate;
use crate::store::Incoming;
use pudato_protocol::{DataReference, Timestamp};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::HashSet;

/// Operations of an output that leave what was there before (docs/lineage.md). One that changes rows in place names its own table
/// among its inputs and needs no such mark.
const ADDING: [&str; 2] = ["insert", "append"];

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
        at: &'a Timestamp,
    },
}

/// An update as it is kept.
pub(crate) struct Said {
    identity: String,
    body: String,
}

impl Said {
    pub(crate) fn of(update: &StepUpdate) -> Self {
        let at = update.completed_at.as_ref().unwrap_or(&update.timestamp);
        let body = json!({
            "step_id": update.step_id, "status": update.status, "inputs": update.inputs,
            "outputs": update.outputs, "executions": update.executions, "duration_ms": update.duration_ms,
            "error": update.error, "at": at.as_str(),
            "started_at": update.started_at.as_ref().map(Timestamp::as_str),
        })
        .to_string();
        let identity = sha256_hex(&[body.as_bytes()]);
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

/// A dataset that a statement names.
pub(crate) struct Named<'a> {
    /// Where it stands in the locations of the batch.
    pub(crate) location: usize,
    /// [`READ`], [`REPLACED`] or [`ADDED`].
    pub(crate) kind: i64,
    pub(crate) position: i64,
    pub(crate) reference: &'a DataReference,
}

/// What one output was made from.
pub(crate) struct Pair {
    pub(crate) output: usize,
    pub(crate) input: usize,
    /// The step made the input itself.
    pub(crate) is_own: bool,
}

/// One statement, taken apart.
pub(crate) struct Statement<'a> {
    /// `None`: it is a declaration, of which nothing is kept.
    pub(crate) said: Option<Kept<'a>>,
    pub(crate) step_id: Option<&'a str>,
    pub(crate) job_id: Option<&'a str>,
    /// `None`: it says nothing about the state.
    pub(crate) status: Option<StepStatus>,
    pub(crate) at: &'a Timestamp,
    pub(crate) at_us: i64,
    /// `None`: it says nothing about when the step began.
    pub(crate) started_us: Option<i64>,
    pub(crate) duration_ms: Option<i64>,
    pub(crate) error: Option<Cow<'a, str>>,
    pub(crate) handler: Option<Cow<'a, str>>,
    pub(crate) action: Option<Cow<'a, str>>,
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
                at,
            } => Self::of_declaration(step_id, job_id, at),
        };
        no_nul("step_id", statement.step_id.unwrap_or_default())?;
        no_nul("job_id", statement.job_id.unwrap_or_default())?;
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
        let at_us = micros(&result.timestamp);
        no_nul("correlation_id", &result.correlation_id)?;
        let has_step = result.step_id.is_some();
        let (inputs, outputs) = if has_step {
            (&result.inputs[..], &result.outputs[..])
        } else {
            (&[][..], &[][..])
        };
        let (datasets, pairs) = lineage(inputs, outputs, place)?;
        let action = result.executions.iter().find_map(|execution| {
            let action = execution.details.get("action");
            action.and_then(Value::as_str)
        });
        Ok(Self {
            said: Some(Kept {
                identity: &incoming.identity,
                correlation_id: &result.correlation_id,
                status: status.as_str(),
                recorded_at: incoming.recorded_at.as_str(),
                body: &incoming.body,
            }),
            step_id: result.step_id.as_deref(),
            // What has no step changes no job.
            job_id: result.job_id.as_deref().filter(|_| has_step),
            status: Some(status),
            at: &result.timestamp,
            at_us,
            started_us: Some(started_us(at_us, result.duration_ms)),
            duration_ms: Some(i64::try_from(result.duration_ms).unwrap_or(i64::MAX)),
            error: result.errors.first().map(|text| clean(text)),
            handler: result.handler.as_deref().map(clean),
            action: action.map(clean),
            correlation_id: Some(&result.correlation_id),
            datasets,
            pairs,
        })
    }

    fn of_update(
        update: &'a StepUpdate,
        said: &'a Said,
        place: &mut impl FnMut(&'a str) -> usize,
    ) -> Result<Self, Error> {
        let at = update.completed_at.as_ref().unwrap_or(&update.timestamp);
        let at_us = micros(at);
        let (datasets, pairs) = lineage(&update.inputs, &update.outputs, place)?;
        let has_begun = update
            .status
            .is_some_and(|status| status != StepStatus::Pending)
            || !datasets.is_empty()
            || update.started_at.is_some();
        let started = match &update.started_at {
            Some(at) => micros(at),
            None => started_us(at_us, update.duration_ms.unwrap_or(0)),
        };
        Ok(Self {
            said: Some(Kept {
                identity: &said.identity,
                correlation_id: "",
                status: update.status.map_or("pending", StepStatus::as_str),
                recorded_at: update.timestamp.as_str(),
                body: &said.body,
            }),
            step_id: Some(&update.step_id),
            job_id: None,
            status: update.status,
            at,
            at_us,
            started_us: has_begun.then_some(started),
            duration_ms: update
                .duration_ms
                .map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)),
            error: update.error.as_deref().map(clean),
            handler: None,
            action: None,
            correlation_id: None,
            datasets,
            pairs,
        })
    }

    fn of_declaration(step_id: &'a str, job_id: &'a str, at: &'a Timestamp) -> Self {
        Self {
            said: None,
            step_id: Some(step_id),
            job_id: Some(job_id),
            status: None,
            at,
            at_us: micros(at),
            started_us: None,
            duration_ms: None,
            error: None,
            handler: None,
            action: None,
            correlation_id: None,
            datasets: Vec::new(),
            pairs: Vec::new(),
        }
    }
}

fn lineage<'a>(
    inputs: &'a [DataReference],
    outputs: &'a [DataReference],
    place: &mut impl FnMut(&'a str) -> usize,
) -> Result<(Vec<Named<'a>>, Vec<Pair>), Error> {
    let mut datasets = Vec::with_capacity(inputs.len() + outputs.len());
    for (references, is_output) in [(inputs, false), (outputs, true)] {
        for (position, reference) in (0..).zip(references) {
            no_nul("location", &reference.location)?;
            let operation = reference.metadata.get("operation").and_then(Value::as_str);
            let adds = operation.is_some_and(|operation| ADDING.contains(&operation));
            datasets.push(Named {
                location: place(&reference.location),
                kind: match (is_output, adds) {
                    (false, _) => READ,
                    (true, false) => REPLACED,
                    (true, true) => ADDED,
                },
                position,
                reference,
            });
        }
    }
    let read: HashSet<&str> = inputs.iter().map(|input| &*input.location).collect();
    let mut pairs = Vec::new();
    for output in outputs {
        let Some(Value::Array(from)) = output.metadata.get("from") else {
            continue;
        };
        for location in from.iter().filter_map(Value::as_str) {
            no_nul("location", location)?;
            pairs.push(Pair {
                output: place(&output.location),
                input: place(location),
                is_own: !read.contains(location),
            });
        }
    }
    Ok((datasets, pairs))
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
