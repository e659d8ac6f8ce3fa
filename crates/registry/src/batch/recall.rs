//! Statements that were written before, read back where their step has to be looked at anew.

use super::{Said, Standing, Uttered};
use crate::error::{Error, ErrorKind};
use crate::fold::StepStatus;
use crate::model::StepUpdate;
use crate::queries::Columns;
use crate::store::Incoming;
use pudato_protocol::{
    DataReference, ExecutionRecord, FieldError, Object, Result as Reply, Timestamp, decode_claim,
};
use serde_json::Value;
use std::sync::Arc;

/// A statement that has a row.
pub(crate) struct Recalled {
    pub(crate) row: i64,
    pub(crate) standing: Standing,
    what: What,
}

enum What {
    Result(Incoming),
    Update(Box<StepUpdate>, Said),
}

impl Recalled {
    /// Reads it from its row (id, standing, identity, time of recording) and its body.
    ///
    /// # Errors
    /// `Corrupt`: it cannot be read.
    pub(crate) fn read(row: &dyn Columns, body: &str) -> Result<Self, Error> {
        let (id, identity) = (row.number(0)?, row.text(2)?);
        let unreadable = |why: FieldError| {
            let context = format!("registry: the Result in row {id} cannot be read back: {why}");
            Error::new(ErrorKind::Corrupt, context).with_source(why)
        };
        let recorded_at = Timestamp::parse(&row.text(3)?).map_err(unreadable)?;
        let what = match decode_claim::<Reply>(body.as_bytes()) {
            Ok(mut result) => {
                // The answer is of no interest here and may be large.
                result.data = None;
                What::Result(Incoming {
                    identity,
                    body: Arc::from(""),
                    result: Arc::new(result),
                    recorded_at,
                })
            }
            Err(error) => {
                let said: Option<Object> = serde_json::from_str(body).ok();
                let update = said.and_then(|said| update(said, recorded_at));
                let update = update.ok_or_else(|| unreadable(error))?;
                What::Update(Box::new(update), Said::recalled(identity))
            }
        };
        Ok(Self {
            row: id,
            standing: Standing::of_number(row.number(1)?),
            what,
        })
    }

    pub(super) fn uttered(&self) -> Uttered<'_> {
        match &self.what {
            What::Result(incoming) => Uttered::Result(incoming),
            What::Update(update, said) => Uttered::Update(update, said),
        }
    }
}

/// An update as [`Said`] wrote it.
fn update(mut said: Object, recorded_at: Timestamp) -> Option<StepUpdate> {
    let text = |said: &Object, name: &str| {
        let text = said.get(name).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let at = |said: &Object, name: &str| {
        let text = said.get(name).and_then(Value::as_str);
        text.and_then(|text| Timestamp::parse(text).ok())
    };
    let items = |said: &mut Object, name: &str| match said.get_mut(name).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let references = |items: Vec<Value>| -> Vec<DataReference> {
        let read = |item| DataReference::read(item, String::new()).ok();
        items.into_iter().filter_map(read).collect()
    };
    let record = |item| ExecutionRecord::read(item, String::new()).ok();
    let executions = items(&mut said, "executions");
    Some(StepUpdate {
        step_id: text(&said, "step_id")?,
        job_id: None,
        correlation_id: None,
        status: text(&said, "status").and_then(|status| StepStatus::parse(&status)),
        inputs: references(items(&mut said, "inputs")),
        outputs: references(items(&mut said, "outputs")),
        executions: executions.into_iter().filter_map(record).collect(),
        duration_ms: said.get("duration_ms").and_then(Value::as_u64),
        error: text(&said, "error"),
        started_at: at(&said, "started_at"),
        completed_at: at(&said, "at"),
        timestamp: recorded_at,
    })
}
