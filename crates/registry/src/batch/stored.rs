//! Reads stored statements back, so that their step can be rebuilt.

use super::{Observation, StoredUpdate, Verdict};
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

/// A statement that was stored before.
pub(crate) struct StoredStatement {
    pub(crate) row: i64,
    pub(crate) verdict: Verdict,
    what: Content,
}

enum Content {
    Result(Incoming),
    Update(Box<StepUpdate>, StoredUpdate),
}

impl StoredStatement {
    /// Reads it from the row (id, standing, identity, time of recording) and the body.
    ///
    /// # Errors
    /// `Corrupt`: the row or the body is unreadable.
    pub(crate) fn read(row: &dyn Columns, body: &str) -> Result<Self, Error> {
        let (id, identity) = (row.number(0)?, row.text(2)?);
        let unreadable = |why: FieldError| {
            let context = format!("registry: the Result in row {id} cannot be read back: {why}");
            Error::new(ErrorKind::Corrupt, context).with_source(why)
        };
        let recorded_at = Timestamp::parse(&row.text(3)?).map_err(unreadable)?;
        let what = match decode_claim::<Reply>(body.as_bytes()) {
            Ok(mut result) => {
                // The data is not needed here and may be large.
                result.data = None;
                Content::Result(Incoming {
                    identity,
                    body: Arc::from(""),
                    result: Arc::new(result),
                    recorded_at,
                })
            }
            Err(error) => {
                let fields: Option<Object> = serde_json::from_str(body).ok();
                let update = fields.and_then(|fields| update(fields, recorded_at));
                let update = update.ok_or_else(|| unreadable(error))?;
                Content::Update(Box::new(update), StoredUpdate::stored(identity))
            }
        };
        Ok(Self {
            row: id,
            verdict: Verdict::of_number(row.number(1)?),
            what,
        })
    }

    pub(super) fn observation(&self) -> Observation<'_> {
        match &self.what {
            Content::Result(incoming) => Observation::Result(incoming),
            Content::Update(update, stored) => Observation::Update(update, stored),
        }
    }
}

/// Parses the body of a [`StoredUpdate`].
fn update(mut fields: Object, recorded_at: Timestamp) -> Option<StepUpdate> {
    let text = |fields: &Object, name: &str| {
        let text = fields.get(name).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let at = |fields: &Object, name: &str| {
        let text = fields.get(name).and_then(Value::as_str);
        text.and_then(|text| Timestamp::parse(text).ok())
    };
    let items = |fields: &mut Object, name: &str| match fields.get_mut(name).map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    let references = |items: Vec<Value>| -> Vec<DataReference> {
        let read = |item| DataReference::read(item, String::new()).ok();
        items.into_iter().filter_map(read).collect()
    };
    let record = |item| ExecutionRecord::read(item, String::new()).ok();
    let executions = items(&mut fields, "executions");
    Some(StepUpdate {
        step_id: text(&fields, "step_id")?,
        job_id: None,
        correlation_id: None,
        status: text(&fields, "status").and_then(|status| StepStatus::parse(&status)),
        inputs: references(items(&mut fields, "inputs")),
        outputs: references(items(&mut fields, "outputs")),
        executions: executions.into_iter().filter_map(record).collect(),
        duration_ms: fields.get("duration_ms").and_then(Value::as_u64),
        error: text(&fields, "error"),
        started_at: at(&fields, "started_at"),
        completed_at: at(&fields, "at"),
        timestamp: recorded_at,
    })
}
