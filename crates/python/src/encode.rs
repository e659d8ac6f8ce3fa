//! Serialises messages: pydantic models become JSON, with the fields in the order of the message format. This module converts common values
//! that JSON does not have; `pudato/_foreign.py` converts all others.

use crate::errors;
use crate::models::{Field, Kind, Models, Rule};
use crate::writing::{Refused, Step, Why, Writer, Written, deeper};
use crate::{codec, reading};
use pudato_protocol::{FieldError, Timestamp};
use pyo3::exceptions::{PyException, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyString};

/// Serialises a message, a DataReference or an ExecutionRecord.
#[pyfunction]
pub(crate) fn encode(model: &Bound<'_, PyAny>) -> PyResult<String> {
    let class = model.get_type();
    let kind = match Kind::exactly(&class)? {
        Some(kind) => Some(kind),
        None => Kind::of(&class)?,
    };
    let Some(kind) = kind else {
        let what = format!("{}: expected a model of pudato.protocol", class.name()?);
        return Err(PyTypeError::new_err(what));
    };
    text(model.py(), "", |writer| part(writer, kind, model, 0))
}

/// Serialises any value as JSON. Errors call it `path`.
#[pyfunction]
pub(crate) fn dumps(value: &Bound<'_, PyAny>, path: &str) -> PyResult<String> {
    text(value.py(), path, |writer| writer.value(value, 0))
}

/// Converts a value to what a reader receives: None, bool, int, float, str, list, dict, and tagged objects for values that JSON does not have.
#[pyfunction]
pub(crate) fn plain<'py>(value: &Bound<'py, PyAny>, path: &str) -> PyResult<Bound<'py, PyAny>> {
    let text = dumps(value, path)?;
    match reading::value(value.py(), &text) {
        Some(value) => Ok(value),
        None => codec::loads(value.py(), &text),
    }
}

/// Escapes the characters in a JSON text that SQS rejects.
#[pyfunction]
pub(crate) fn escaped(text: String) -> String {
    pudato_protocol::escaped(text)
}

/// Serialises with `write`. If that has to call Python code, starts again from a snapshot, because the code may change the value.
fn text<'py>(
    py: Python<'py>,
    path: &str,
    write: impl Fn(&mut Writer<'py>) -> Written,
) -> PyResult<String> {
    let mut writer = Writer::new(py);
    let mut written = write(&mut writer);
    if matches!(&written, Err(refused) if matches!(refused.why, Why::Again)) {
        writer = Writer::of_snapshots(py);
        written = write(&mut writer);
    }
    match written {
        Ok(()) => match String::from_utf8(writer.out) {
            Ok(text) => Ok(pudato_protocol::escaped(text)),
            Err(error) => Err(PyValueError::new_err(error.to_string())),
        },
        Err(refused) => Err(exception(py, path, *refused)),
    }
}

/// The exception for a value that cannot be serialised, with its path, e.g. `payload.a[3]`.
fn exception(py: Python<'_>, root: &str, refused: Refused) -> PyErr {
    let mut path = root.to_owned();
    for step in refused.steps.iter().rev() {
        match step {
            Step::Index(index) => path.push_str(&format!("[{index}]")),
            Step::Key(key) if path.is_empty() => path.push_str(key),
            Step::Key(key) => path.push_str(&format!(".{key}")),
        }
    }
    let (reason, cause) = match refused.why {
        Why::Rule(reason) => (reason, None),
        Why::Again => ("it changed while it was being serialised".to_owned(), None),
        Why::Raised(error) if error.is_instance_of::<PyException>(py) => {
            (format!("it cannot be serialised: {error}"), Some(error))
        }
        Why::Raised(error) => return error,
    };
    let made = errors::message(&FieldError::new(path, reason));
    made.set_cause(py, cause);
    made
}

/// Serialises a model, or a dict with its fields. A subclass is dumped by pydantic, so that its own fields and serializers apply.
fn part<'py>(
    writer: &mut Writer<'py>,
    kind: Kind,
    value: &Bound<'py, PyAny>,
    depth: usize,
) -> Written {
    let py = writer.py;
    let depth = deeper(depth)?;
    let (class, models) = (value.get_type(), Models::get(py)?);
    let fields = if class.is(models.class(py, kind)) {
        value.getattr(intern!(py, "__dict__"))?
    } else if value.is_exact_instance_of::<PyDict>() {
        value.clone()
    } else if Kind::of(&class)? == Some(kind) {
        writer.is_about_to_call()?;
        let how = PyDict::new(py);
        how.set_item("mode", "json")?;
        value.call_method(intern!(py, "model_dump"), (), Some(&how))?
    } else {
        value.clone()
    };
    let Ok(fields) = fields.cast::<PyDict>() else {
        return Err(wrong(kind.name(), value));
    };
    let mut written = 0;
    for (index, (field, name)) in kind.fields().iter().zip(kind.names(py)).enumerate() {
        writer.out.push(if index == 0 { b'{' } else { b',' });
        writer.name(field.name);
        match fields.get_item(name)? {
            Some(value) => {
                written += 1;
                slot(writer, field, &value, depth).map_err(|refused| refused.within(field.name))?;
            }
            None => default(writer, field)?,
        }
    }
    if fields.len() > written {
        for item in fields.items() {
            let (key, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
            if !kind.has(&key) {
                writer.out.push(b',');
                writer.member(&key, &value, depth)?;
            }
        }
    }
    writer.out.push(b'}');
    Ok(())
}

/// Writes the default of a field that a dict does not have.
fn default(writer: &mut Writer<'_>, field: &Field) -> Written {
    let text = match field.rule {
        Rule::OptionalText | Rule::OptionalObject => "null",
        Rule::Object => "{}",
        Rule::Texts | Rule::Parts(_) => "[]",
        Rule::Count => "0",
        Rule::Name | Rule::Text | Rule::Id | Rule::Time | Rule::Status => {
            let refused = Refused::rule("required; it is missing");
            return Err(refused.within(field.name));
        }
    };
    writer.out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Writes the value of a field, if readers would accept it.
fn slot<'py>(
    writer: &mut Writer<'py>,
    field: &Field,
    value: &Bound<'py, PyAny>,
    depth: usize,
) -> Written {
    match field.rule {
        Rule::OptionalText | Rule::OptionalObject if value.is_none() => writer.value(value, depth),
        Rule::Name | Rule::Text | Rule::Id | Rule::OptionalText | Rule::Time | Rule::Status => {
            let expected = match field.rule {
                Rule::OptionalText => "str or None",
                _ => "str",
            };
            let text = value.cast::<PyString>();
            let text = text.map_err(|_| wrong(expected, value))?;
            let text = writer.text_of(text)?;
            match field.rule {
                Rule::Name if text.is_empty() => {
                    return Err(Refused::rule("expected a text, found \"\""));
                }
                Rule::Time => {
                    Timestamp::parse(text).map_err(|error| Refused::rule(error.reason))?;
                }
                Rule::Status if !["success", "error", "pending"].contains(&text) => {
                    let reason = format!("expected success, error or pending, found {text:?}");
                    return Err(Refused::rule(reason));
                }
                _ => {}
            }
            writer.text(text)
        }
        Rule::Object => dict(writer, value, depth, "dict"),
        Rule::OptionalObject => dict(writer, value, depth, "dict or None"),
        Rule::Count => {
            let number = value.cast_exact::<PyInt>();
            let number = number.ok().and_then(|number| number.extract::<u64>().ok());
            let expected = || wrong("a whole number from 0 to 18446744073709551615", value);
            writer.json(&number.ok_or_else(expected)?)
        }
        Rule::Texts => list(writer, value, |writer, item| {
            let text = item.cast::<PyString>().map_err(|_| wrong("str", item))?;
            let text = writer.text_of(text)?;
            writer.text(text)
        }),
        Rule::Parts(kind) => list(writer, value, |writer, item| {
            part(writer, kind, item, depth + 1)
        }),
    }
}

fn dict<'py>(
    writer: &mut Writer<'py>,
    value: &Bound<'py, PyAny>,
    depth: usize,
    expected: &str,
) -> Written {
    match value.is_instance_of::<PyDict>() {
        true => writer.value(value, depth),
        false => Err(wrong(expected, value)),
    }
}

fn list<'py>(
    writer: &mut Writer<'py>,
    value: &Bound<'py, PyAny>,
    write: impl Fn(&mut Writer<'py>, &Bound<'py, PyAny>) -> Written,
) -> Written {
    let items = value.cast::<PyList>().map_err(|_| wrong("list", value))?;
    writer.out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            writer.out.push(b',');
        }
        write(writer, &item).map_err(|refused| refused.at(index))?;
    }
    writer.out.push(b']');
    Ok(())
}

fn wrong(expected: &str, found: &Bound<'_, PyAny>) -> Box<Refused> {
    let name = found.get_type().name();
    let name = name.map_or_else(|_| "?".to_owned(), |name| name.to_string());
    let shown = match found.cast::<PyInt>() {
        Ok(number) => format!("{name} {number}"),
        Err(_) => name,
    };
    Refused::rule(format!("expected {expected}, found {shown}"))
}
