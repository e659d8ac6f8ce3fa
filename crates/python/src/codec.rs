//! Parses messages into pydantic models. `reading.rs` parses well-formed messages in one pass. This module parses everything else in two
//! passes: `pudato_protocol` first decides whether the message is valid and words the error.

use crate::models::{Kind, Models, Values};
use crate::reading;
use pudato_protocol::{
    BODY_BYTES_MAX, CLAIM_KEYS_MAX, Command, Event, FieldError, KEYS_MAX, Message, Result as Reply,
    Timestamp, decode as decode_wire, decode_claim, envelopes, unwrapped,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyType};
use std::borrow::Cow;

/// Parses a message, with or without SNS envelopes, as an instance of `class`: Command, Result, Event or a subclass.
#[pyfunction]
pub(crate) fn decode<'py>(
    class: &Bound<'py, PyType>,
    body: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let models = Models::get(py)?;
    let exactly = Kind::exactly(class)?;
    let body = Body::of(class, body)?;
    if let (Some(kind), Some(text)) = (exactly, body.on_the_fast_path()) {
        let read = |text: &str| reading::message(py, kind, text, body.keys_max());
        if let Some(model) = unwrapped(text, read) {
            return Ok(model);
        }
    }
    let read = carefully(class, &body)?;
    match exactly {
        Some(kind) => filled(models, kind, &read),
        None => class.call_method1(intern!(py, "_of_fields"), (read,)),
    }
}

/// Returns the fields of a message as a dict, including those that `class` does not have.
#[pyfunction]
pub(crate) fn fields<'py>(
    class: &Bound<'py, PyType>,
    body: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyDict>> {
    carefully(class, &Body::of(class, body)?)
}

/// Validates a timestamp.
#[pyfunction]
pub(crate) fn timestamp<'py>(text: Bound<'py, PyString>) -> PyResult<Bound<'py, PyString>> {
    match Timestamp::parse(text.to_str()?) {
        Ok(_) => Ok(text),
        Err(error) => Err(PyValueError::new_err(error.reason)),
    }
}

/// A text and the limits that apply to it.
struct Body<'a> {
    bytes: Cow<'a, [u8]>,
    is_claim: bool,
}

impl<'a> Body<'a> {
    fn of(class: &Bound<'_, PyType>, body: &'a Bound<'_, PyAny>) -> PyResult<Self> {
        let is_claim = !(body.is_exact_instance_of::<PyString>()
            || body.is_exact_instance_of::<PyBytes>())
            && Models::get(class.py())?.is_claim(body)?;
        let bytes = if let Ok(text) = body.cast::<PyString>() {
            match text.to_str() {
                Ok(text) => Cow::Borrowed(text.as_bytes()),
                Err(error) => {
                    let reason = format!("expected a string that can be encoded as UTF-8: {error}");
                    return Err(refused(class, None, &FieldError::new("body", reason)));
                }
            }
        } else if let Ok(bytes) = body.cast::<PyBytes>() {
            Cow::Borrowed(bytes.as_bytes())
        } else if let Ok(bytes) = body.cast::<PyByteArray>() {
            Cow::Owned(bytes.to_vec())
        } else {
            let found = body.get_type().name()?;
            let reason = format!("expected str, bytes or bytearray, found {found}");
            return Err(refused(class, None, &FieldError::new("body", reason)));
        };
        Ok(Self { bytes, is_claim })
    }

    fn keys_max(&self) -> usize {
        match self.is_claim {
            true => CLAIM_KEYS_MAX,
            false => KEYS_MAX,
        }
    }

    fn on_the_fast_path(&self) -> Option<&str> {
        let fits = self.is_claim || self.bytes.len() <= BODY_BYTES_MAX;
        fits.then(|| std::str::from_utf8(&self.bytes).ok())?
    }

    fn check<M: Message>(&self) -> Result<(), FieldError> {
        match self.is_claim {
            true => decode_claim::<M>(&self.bytes).map(drop),
            false => decode_wire::<M>(&self.bytes).map(drop),
        }
    }

    /// The text of the message, without any envelope.
    fn message(&self) -> Cow<'_, str> {
        match envelopes(&self.bytes).pop() {
            Some(envelope) => Cow::Owned(envelope.message),
            None => String::from_utf8_lossy(&self.bytes),
        }
    }
}

/// Validates a message with `pudato_protocol`, and then parses its values with Python's `json`, which keeps integers of any size.
fn carefully<'py>(class: &Bound<'py, PyType>, body: &Body<'_>) -> PyResult<Bound<'py, PyDict>> {
    let py = class.py();
    let checked = match Kind::of(class)? {
        Some(Kind::Command) => body.check::<Command>(),
        Some(Kind::Result) => body.check::<Reply>(),
        Some(Kind::Event) => body.check::<Event>(),
        _ => {
            let name = class.name()?;
            let what = format!("{name}: expected Command, Result, Event or a subclass");
            return Err(PyTypeError::new_err(what));
        }
    };
    if let Err(error) = checked {
        return Err(refused(class, Some(&body.message()), &error));
    }
    Ok(loads(py, &body.message())?.cast_into::<PyDict>()?)
}

/// Parses JSON with Python's `json`.
pub(crate) fn loads<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import(intern!(py, "json"))?
        .call_method1(intern!(py, "loads"), (text,))
}

/// Makes an instance from the fields of `read`, which have been validated. Drops fields that the model does not have.
fn filled<'py>(
    models: &Models,
    kind: Kind,
    read: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = read.py();
    let mut values: Values<'py> = Values::default();
    let named = kind.fields().iter().zip(kind.names(py));
    for ((field, name), value) in named.zip(&mut values) {
        *value = match (read.get_item(name)?, field.rule) {
            (Some(items), crate::models::Rule::Parts(kind)) => {
                let parts = PyList::empty(py);
                for item in items.cast_into::<PyList>()? {
                    parts.append(filled(models, kind, item.cast::<PyDict>()?)?)?;
                }
                Some(parts.into_any())
            }
            (found, _) => found,
        };
    }
    let model = models.instance(py, kind, values)?;
    model.ok_or_else(|| PyValueError::new_err("a required field is missing"))
}

/// Makes a `pydantic.ValidationError` that names the field. If there is a `text`, pydantic finds further errors in it.
fn refused(class: &Bound<'_, PyType>, text: Option<&str>, error: &FieldError) -> PyErr {
    let py = class.py();
    let about = (text, &error.field, &error.reason);
    let made = class.call_method1(intern!(py, "_refused"), about);
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(error) => error,
    }
}
