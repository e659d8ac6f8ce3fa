use crate::fields::{Fields, text_item};
use crate::{FieldError, Object, Timestamp};
use serde::Serialize;
use serde_json::Value;

type Outcome<T> = std::result::Result<T, FieldError>;

/// A new correlation id.
pub fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// A request to a handler.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Command {
    /// The service that shall act: `storage`, `query`, `transform`, `registry` or one of the user's own.
    pub r#type: String,
    /// What it shall do.
    pub action: String,
    /// The action's arguments.
    pub payload: Object,
    /// Ties every message of one request together.
    pub correlation_id: String,
    /// The registry job it belongs to.
    pub job_id: Option<String>,
    /// The registry step it is.
    pub step_id: Option<String>,
    /// Context: `idempotency_key`, `source`, `user` and whatever the sender adds.
    pub metadata: Object,
    /// When it was made.
    pub timestamp: Timestamp,
}

impl Command {
    /// A command for `action` of the service `r#type`, with a new correlation id.
    pub fn new(r#type: impl Into<String>, action: impl Into<String>, payload: Object) -> Self {
        Self {
            r#type: r#type.into(),
            action: action.into(),
            payload,
            correlation_id: new_id(),
            job_id: None,
            step_id: None,
            metadata: Object::new(),
            timestamp: Timestamp::now(),
        }
    }

    pub(crate) fn read(value: Value) -> Outcome<Self> {
        let mut fields = Fields::of(value, String::new())?;
        Ok(Self {
            r#type: fields.name_text("type")?,
            action: fields.name_text("action")?,
            payload: fields.object("payload")?,
            correlation_id: fields.text_or("correlation_id", new_id)?,
            job_id: fields.optional_text("job_id")?,
            step_id: fields.optional_text("step_id")?,
            metadata: fields.object("metadata")?,
            timestamp: fields.timestamp()?,
        })
    }
}

/// How a Result ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The action was done.
    Success,
    /// The action failed for good.
    Error,
    /// The action goes on; another Result will follow.
    Pending,
}

/// A dataset that was read or written.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DataReference {
    /// What it is: `file`, `table`, `model`, ...
    pub ref_type: String,
    /// Where it is, e.g. `s3://bucket/key`.
    pub location: String,
    /// How it is stored, e.g. `csv`.
    pub format: Option<String>,
    /// Statistics and the like, e.g. `row_count`.
    pub metadata: Object,
}

impl DataReference {
    /// A reference to what stands at `location`.
    pub fn new(ref_type: impl Into<String>, location: impl Into<String>) -> Self {
        Self {
            ref_type: ref_type.into(),
            location: location.into(),
            format: None,
            metadata: Object::new(),
        }
    }

    /// Says how it is stored, e.g. `csv`.
    #[must_use]
    pub fn format(mut self, format: impl Into<String>) -> Self {
        self.format = Some(format.into());
        self
    }

    /// Adds a statistic or the like, e.g. `row_count`.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Reads a reference that stands at `path` of a message.
    ///
    /// # Errors
    /// The field that is missing or of another type.
    pub fn read(value: Value, path: String) -> Outcome<Self> {
        let mut fields = Fields::of(value, path)?;
        Ok(Self {
            ref_type: fields.text("ref_type")?,
            location: fields.text("location")?,
            format: fields.optional_text("format")?,
            metadata: fields.object("metadata")?,
        })
    }
}

/// What was executed on the way, e.g. a SQL statement.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecutionRecord {
    /// What kind: `sql`, `dbt`, ...
    pub execution_type: String,
    /// The particulars.
    pub details: Object,
}

impl ExecutionRecord {
    /// A record of one execution.
    pub fn new(execution_type: impl Into<String>, details: Object) -> Self {
        Self {
            execution_type: execution_type.into(),
            details,
        }
    }

    /// Reads a record that stands at `path` of a message.
    ///
    /// # Errors
    /// The field that is missing or of another type.
    pub fn read(value: Value, path: String) -> Outcome<Self> {
        let mut fields = Fields::of(value, path)?;
        Ok(Self {
            execution_type: fields.text("execution_type")?,
            details: fields.object("details")?,
        })
    }
}

/// A handler's answer to a [`Command`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Result {
    /// How it ended.
    pub status: Status,
    /// The answer.
    pub data: Option<Object>,
    /// What went wrong, one text each.
    pub errors: Vec<String>,
    /// The Command's.
    pub correlation_id: String,
    /// The Command's.
    pub job_id: Option<String>,
    /// The Command's.
    pub step_id: Option<String>,
    /// How long the handler took, in milliseconds.
    pub duration_ms: u64,
    /// When it was made.
    pub timestamp: Timestamp,
    /// The service that answered.
    pub handler: Option<String>,
    /// What was read.
    pub inputs: Vec<DataReference>,
    /// What was written.
    pub outputs: Vec<DataReference>,
    /// What was executed.
    pub executions: Vec<ExecutionRecord>,
}

impl Result {
    fn of(status: Status, correlation_id: String, data: Option<Object>) -> Self {
        Self {
            status,
            data,
            errors: Vec::new(),
            correlation_id,
            job_id: None,
            step_id: None,
            duration_ms: 0,
            timestamp: Timestamp::now(),
            handler: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            executions: Vec::new(),
        }
    }

    /// The action was done.
    pub fn success(correlation_id: impl Into<String>, data: Object) -> Self {
        Self::of(Status::Success, correlation_id.into(), Some(data))
    }

    /// The action failed; inputs, outputs and executions may still be set for what was done before.
    pub fn error(
        correlation_id: impl Into<String>,
        errors: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            errors: errors.into_iter().map(Into::into).collect(),
            ..Self::of(Status::Error, correlation_id.into(), None)
        }
    }

    /// The action goes on.
    pub fn pending(correlation_id: impl Into<String>, data: Object) -> Self {
        Self::of(Status::Pending, correlation_id.into(), Some(data))
    }

    pub(crate) fn read(value: Value) -> Outcome<Self> {
        let mut fields = Fields::of(value, String::new())?;
        let status = match fields.text("status")?.as_str() {
            "success" => Status::Success,
            "error" => Status::Error,
            "pending" => Status::Pending,
            other => {
                let reason = format!("expected success, error or pending, found {other:?}");
                return Err(FieldError::new("status", reason));
            }
        };
        Ok(Self {
            status,
            data: fields.optional_object("data")?,
            errors: fields.list("errors", text_item)?,
            correlation_id: fields.text("correlation_id")?,
            job_id: fields.optional_text("job_id")?,
            step_id: fields.optional_text("step_id")?,
            duration_ms: fields.count("duration_ms")?,
            timestamp: fields.timestamp()?,
            handler: fields.optional_text("handler")?,
            inputs: fields.list("inputs", DataReference::read)?,
            outputs: fields.list("outputs", DataReference::read)?,
            executions: fields.list("executions", ExecutionRecord::read)?,
        })
    }
}

/// Something that happened and that others may care about.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// `service.what_happened`.
    pub r#type: String,
    /// The particulars.
    pub payload: Object,
    /// That of the Command that caused it.
    pub correlation_id: String,
    /// When it happened.
    pub timestamp: Timestamp,
    /// Who says so, e.g. `storage-handler`.
    pub source: Option<String>,
}

impl Event {
    /// Something that happened now, with a new correlation id.
    pub fn new(r#type: impl Into<String>, payload: Object) -> Self {
        Self {
            r#type: r#type.into(),
            payload,
            correlation_id: new_id(),
            timestamp: Timestamp::now(),
            source: None,
        }
    }

    pub(crate) fn read(value: Value) -> Outcome<Self> {
        let mut fields = Fields::of(value, String::new())?;
        Ok(Self {
            r#type: fields.name_text("type")?,
            payload: fields.object("payload")?,
            correlation_id: fields.text_or("correlation_id", new_id)?,
            timestamp: fields.timestamp()?,
            source: fields.optional_text("source")?,
        })
    }
}
