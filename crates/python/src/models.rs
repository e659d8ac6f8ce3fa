//! The pydantic models: their fields in the order of the contract, and how to make an instance without pydantic's validation.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PySet, PyString, PyType};

/// A model of `pudato.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Command,
    Result,
    Event,
    DataReference,
    ExecutionRecord,
}

/// The type of a field, and its default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// A non-empty string; required.
    Name,
    /// A string; required.
    Text,
    /// A string; a new id by default.
    Id,
    /// A string or null; null by default.
    OptionalText,
    /// An object; empty by default.
    Object,
    /// An object or null; null by default.
    OptionalObject,
    /// A list of strings; empty by default.
    Texts,
    /// An unsigned 64-bit integer; 0 by default.
    Count,
    /// An RFC 3339 time; now by default.
    Time,
    /// `success`, `error` or `pending`; required.
    Status,
    /// A list of other models; empty by default.
    Parts(Kind),
}

/// A field of a model.
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) rule: Rule,
}

const fn field(name: &'static str, rule: Rule) -> Field {
    Field { name, rule }
}

const COMMAND: [Field; 8] = [
    field("type", Rule::Name),
    field("action", Rule::Name),
    field("payload", Rule::Object),
    field("correlation_id", Rule::Id),
    field("job_id", Rule::OptionalText),
    field("step_id", Rule::OptionalText),
    field("metadata", Rule::Object),
    field("timestamp", Rule::Time),
];

const RESULT: [Field; FIELDS_MAX] = [
    field("status", Rule::Status),
    field("data", Rule::OptionalObject),
    field("errors", Rule::Texts),
    field("correlation_id", Rule::Text),
    field("job_id", Rule::OptionalText),
    field("step_id", Rule::OptionalText),
    field("duration_ms", Rule::Count),
    field("timestamp", Rule::Time),
    field("handler", Rule::OptionalText),
    field("inputs", Rule::Parts(Kind::DataReference)),
    field("outputs", Rule::Parts(Kind::DataReference)),
    field("executions", Rule::Parts(Kind::ExecutionRecord)),
];

const EVENT: [Field; 5] = [
    field("type", Rule::Name),
    field("payload", Rule::Object),
    field("correlation_id", Rule::Id),
    field("timestamp", Rule::Time),
    field("source", Rule::OptionalText),
];

const DATA_REFERENCE: [Field; 4] = [
    field("ref_type", Rule::Text),
    field("location", Rule::Text),
    field("format", Rule::OptionalText),
    field("metadata", Rule::Object),
];

const EXECUTION_RECORD: [Field; 2] = [
    field("execution_type", Rule::Text),
    field("details", Rule::Object),
];

/// The number of fields of the largest model.
pub(crate) const FIELDS_MAX: usize = 12;

/// The values of a model's fields, in the order of [`Kind::fields`]; `None` where the text does not have the field.
pub(crate) type Values<'py> = [Option<Bound<'py, PyAny>>; FIELDS_MAX];

const KINDS: [(Kind, &str); 5] = [
    (Kind::Command, "Command"),
    (Kind::Result, "Result"),
    (Kind::Event, "Event"),
    (Kind::DataReference, "DataReference"),
    (Kind::ExecutionRecord, "ExecutionRecord"),
];

impl Kind {
    /// Its fields, in the order in which they are written.
    pub(crate) fn fields(self) -> &'static [Field] {
        match self {
            Self::Command => &COMMAND,
            Self::Result => &RESULT,
            Self::Event => &EVENT,
            Self::DataReference => &DATA_REFERENCE,
            Self::ExecutionRecord => &EXECUTION_RECORD,
        }
    }

    /// The name of its class.
    pub(crate) fn name(self) -> &'static str {
        KINDS[self as usize].1
    }

    /// Whether the key of a dict is one of its fields.
    pub(crate) fn has(self, key: &Bound<'_, PyAny>) -> bool {
        let key = key.cast::<PyString>().ok();
        let key = key.and_then(|key| key.to_str().ok());
        key.is_some_and(|key| self.fields().iter().any(|field| field.name == key))
    }

    /// The names of its fields, interned.
    pub(crate) fn names(self, py: Python<'_>) -> &'static [Py<PyString>] {
        static NAMES: [PyOnceLock<Vec<Py<PyString>>>; KINDS.len()] =
            [const { PyOnceLock::new() }; KINDS.len()];
        NAMES[self as usize].get_or_init(py, || {
            let fields = self.fields().iter();
            fields
                .map(|field| PyString::intern(py, field.name).unbind())
                .collect()
        })
    }

    /// The model that `class` is or derives from.
    pub(crate) fn of(class: &Bound<'_, PyType>) -> PyResult<Option<Self>> {
        let py = class.py();
        let models = Models::get(py)?;
        for (kind, _) in KINDS {
            if class.is_subclass(models.class(py, kind))? {
                return Ok(Some(kind));
            }
        }
        Ok(None)
    }

    /// The model that `class` is, not counting subclasses.
    pub(crate) fn exactly(class: &Bound<'_, PyType>) -> PyResult<Option<Self>> {
        let py = class.py();
        let models = Models::get(py)?;
        let mut kinds = KINDS.iter();
        let found = kinds.find(|(kind, _)| class.is(models.class(py, *kind)));
        Ok(found.map(|(kind, _)| *kind))
    }
}

/// The Python objects that this module needs, looked up once.
pub(crate) struct Models {
    classes: Vec<Py<PyType>>,
    claim: Py<PyType>,
    new: Py<PyAny>,
    set: Py<PyAny>,
}

impl Models {
    pub(crate) fn get(py: Python<'_>) -> PyResult<&'static Self> {
        static MODELS: PyOnceLock<Models> = PyOnceLock::new();
        MODELS.get_or_try_init(py, || {
            let module = py.import("pudato.protocol.messages")?;
            let class = |module: &Bound<'_, PyModule>, name: &str| -> PyResult<Py<PyType>> {
                Ok(module.getattr(name)?.cast_into::<PyType>()?.unbind())
            };
            let object = py.import("builtins")?.getattr("object")?;
            Ok(Self {
                classes: KINDS
                    .iter()
                    .map(|(_, name)| class(&module, name))
                    .collect::<PyResult<_>>()?,
                claim: class(&py.import("pudato._claim")?, "ClaimBody")?,
                new: object.getattr("__new__")?.unbind(),
                set: object.getattr("__setattr__")?.unbind(),
            })
        })
    }

    /// The class of a model.
    pub(crate) fn class<'py>(&self, py: Python<'py>, kind: Kind) -> &Bound<'py, PyType> {
        self.classes[kind as usize].bind(py)
    }

    /// Whether `body` was stored as a claim, so that the limits for claims apply.
    pub(crate) fn is_claim(&self, body: &Bound<'_, PyAny>) -> PyResult<bool> {
        body.is_instance(self.claim.bind(body.py()))
    }

    /// Makes an instance of `kind` as pydantic would; `None` if a required field is missing.
    pub(crate) fn instance<'py>(
        &self,
        py: Python<'py>,
        kind: Kind,
        values: Values<'py>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let (fields, given) = (PyDict::new(py), PySet::empty(py)?);
        let named = kind.fields().iter().zip(kind.names(py));
        for ((field, name), value) in named.zip(values) {
            let value = match value {
                Some(value) => {
                    given.add(name)?;
                    value
                }
                None => match field.rule.default(py)? {
                    Some(default) => default,
                    None => return Ok(None),
                },
            };
            fields.set_item(name, value)?;
        }
        let model = self.new.bind(py).call1((self.class(py, kind),))?;
        let set = self.set.bind(py);
        set.call1((&model, intern!(py, "__dict__"), fields))?;
        set.call1((&model, intern!(py, "__pydantic_fields_set__"), given))?;
        set.call1((&model, intern!(py, "__pydantic_extra__"), py.None()))?;
        set.call1((&model, intern!(py, "__pydantic_private__"), py.None()))?;
        Ok(Some(model))
    }
}

impl Rule {
    /// The default of a field; `None` if the field is required.
    fn default(self, py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
        Ok(Some(match self {
            Self::Name | Self::Text | Self::Status => return Ok(None),
            Self::Id => new_id().into_pyobject(py)?.into_any(),
            Self::OptionalText | Self::OptionalObject => py.None().into_bound(py),
            Self::Object => PyDict::new(py).into_any(),
            Self::Texts | Self::Parts(_) => PyList::empty(py).into_any(),
            Self::Count => 0_u8.into_pyobject(py)?.into_any(),
            Self::Time => now().into_pyobject(py)?.into_any(),
        }))
    }
}

/// A new correlation id.
#[pyfunction]
pub(crate) fn new_id() -> String {
    pudato_protocol::new_id()
}

/// The current time as the timestamp of a message.
#[pyfunction]
pub(crate) fn now() -> String {
    pudato_protocol::Timestamp::now().as_str().to_owned()
}
