//! Messages between their text and Python's values.

use crate::errors;
use pudato_protocol::{Command, Event, FieldError, Result as Reply, decode_claim};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde::Serialize;
use serde_json::Value;

/// Reads a message of one kind (`command`, `result` or `event`) from its text, raw or in an SNS notification.
#[pyfunction]
pub(crate) fn decode<'py>(py: Python<'py>, kind: &str, body: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let value = match kind {
        "command" => decode_claim::<Command>(body).map(|message| plain(&message)),
        "result" => decode_claim::<Reply>(body).map(|message| plain(&message)),
        "event" => decode_claim::<Event>(body).map(|message| plain(&message)),
        other => {
            let what = format!("kind: expected command, result or event, found {other:?}");
            return Err(PyValueError::new_err(what));
        }
    };
    let value = value.and_then(|value| value.map_err(|error| FieldError::new("body", error)));
    to_python(py, &value.map_err(|error| errors::message(&error))?)
}

fn plain(message: &impl Serialize) -> Result<Value, String> {
    serde_json::to_value(message).map_err(|error| error.to_string())
}

fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(number), _, _) => number.into_pyobject(py)?.into_any(),
            (_, Some(number), _) => number.into_pyobject(py)?.into_any(),
            (_, _, number) => number.unwrap_or(f64::NAN).into_pyobject(py)?.into_any(),
        },
        Value::String(text) => text.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(to_python(py, item)?)?;
            }
            list.into_any()
        }
        Value::Object(object) => {
            let dict = PyDict::new(py);
            for (key, value) in object {
                dict.set_item(key, to_python(py, value)?)?;
            }
            dict.into_any()
        }
    })
}

/// Writes the fields of a message as its text.
#[pyfunction]
pub(crate) fn encode(fields: &Bound<'_, PyDict>) -> PyResult<String> {
    let json = fields.py().import("json")?;
    json.call_method1("dumps", (fields,))?.extract()
}
