//! The exceptions of the package, and the conversions to them.

use pudato_messaging::{Error, ErrorKind};
use pudato_protocol::FieldError;
use pudato_runtime::{CallError, OpenError, SettingsError};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyTimeoutError};
use pyo3::intern;
use pyo3::prelude::*;

create_exception!(
    pudato,
    PudatoError,
    PyException,
    "The base class of pudato's errors."
);
create_exception!(
    pudato,
    ConfigurationError,
    PudatoError,
    "A setting is invalid or missing. The error text names every such setting."
);
create_exception!(
    pudato,
    MessageError,
    PudatoError,
    "A message breaks a rule. The attributes `field` and `reason` say where and why."
);
create_exception!(
    pudato,
    RefusedError,
    PudatoError,
    "The request was refused. Retrying will not help."
);
create_exception!(
    pudato,
    UnavailableError,
    PudatoError,
    "The fabric, a store or an engine cannot be reached. The same call may succeed later."
);
create_exception!(
    pudato,
    CallTimeout,
    PyTimeoutError,
    "No final Result arrived in time. The Command was published; the error text says where it is."
);

/// An exception for a message that breaks a rule.
pub(crate) fn message(error: &FieldError) -> PyErr {
    let made = MessageError::new_err(error.to_string());
    Python::attach(|py| {
        let value = made.value(py);
        let set = value.setattr(intern!(py, "field"), &error.field);
        match set.and_then(|()| value.setattr(intern!(py, "reason"), &error.reason)) {
            Ok(()) => made,
            Err(error) => error,
        }
    })
}

/// An exception for settings that cannot be used.
pub(crate) fn settings(error: &SettingsError) -> PyErr {
    ConfigurationError::new_err(error.to_string())
}

/// An exception for an installation that cannot be opened, or a role that cannot run.
pub(crate) fn open(error: OpenError) -> PyErr {
    match error {
        OpenError::Settings(text) => ConfigurationError::new_err(text),
        other => UnavailableError::new_err(other.to_string()),
    }
}

/// An exception for a port or a store.
pub(crate) fn port(error: &Error) -> PyErr {
    let text = error.to_string();
    match error.kind {
        _ if error.is_retryable() => UnavailableError::new_err(text),
        ErrorKind::Unavailable | ErrorKind::Corrupt => UnavailableError::new_err(text),
        _ => RefusedError::new_err(text),
    }
}

/// The same exception as a value, for one outcome among several.
pub(crate) fn value<'py>(py: Python<'py>, error: &Error) -> Bound<'py, PyAny> {
    port(error).into_value(py).into_bound(py).into_any()
}

/// An exception for an argument that the installation does not accept.
pub(crate) fn refused(text: String) -> PyErr {
    RefusedError::new_err(text)
}

/// An exception for a call without a Result.
pub(crate) fn call(error: CallError) -> PyErr {
    match error {
        CallError::Refused(text) => RefusedError::new_err(text),
        CallError::Unavailable(text) => UnavailableError::new_err(text),
        CallError::TimedOut(text) => CallTimeout::new_err(text),
    }
}

/// An exception for an argument, with its name.
pub(crate) fn field(name: &str, reason: &str) -> PyErr {
    MessageError::new_err((name.to_owned(), reason.to_owned()))
}

/// An exception for work in this process that failed unexpectedly.
pub(crate) fn lost(error: tokio::task::JoinError) -> PyErr {
    PudatoError::new_err(format!("pudato: {error}"))
}
