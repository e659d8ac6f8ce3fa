//! Puts files into containers and gets them, each in one message.

use crate::client::{answered, read};
use crate::errors::{self, RefusedError};
use crate::installation::Installation;
use crate::task::{Task, made};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pudato_protocol::{Command, Result as Reply, Status, encode};
use pudato_runtime::{read_file, thousands};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to put: a file, or bytes.
#[derive(FromPyObject)]
enum Source {
    Bytes(Vec<u8>),
    File(PathBuf),
}

#[pymethods]
impl Installation {
    /// The maximum size of a message in bytes (`PUDATO_CLAIM_BYTES_MAX`).
    fn message_bytes_max(&self) -> u64 {
        self.opened.settings().claim_bytes_max
    }

    /// Like `call`, with a file or bytes as the data of the Command.
    fn put(&self, command: &[u8], source: Source, timeout_ms: u64) -> PyResult<Task> {
        let mut command = read(command)?;
        let opened = Arc::clone(&self.opened);
        Task::start_with(move |shared| async move {
            let max = opened.settings().claim_bytes_max;
            let filled = tokio::task::spawn_blocking(move || {
                fill(&mut command, source, max)?;
                Ok::<_, PyErr>(command)
            });
            let command = filled.await.map_err(errors::lost)??;
            let result = answered(&opened, &command, timeout_ms, &shared).await?;
            made(encode(&result))
        })
    }

    /// Like `call`, for an object: returns its bytes, if the Command succeeded, and the Result as JSON without them.
    fn get(&self, command: &[u8], timeout_ms: u64) -> PyResult<Task> {
        let command = read(command)?;
        let opened = Arc::clone(&self.opened);
        Task::start_with(move |shared| async move {
            let mut result = answered(&opened, &command, timeout_ms, &shared).await?;
            let bytes = match result.status {
                Status::Success => Some(pyo3_bytes(taken(&mut result)?)),
                _ => None,
            };
            made((bytes, encode(&result)))
        })
    }
}

/// Bytes that become `bytes` and not a list.
fn pyo3_bytes(bytes: Vec<u8>) -> std::borrow::Cow<'static, [u8]> {
    std::borrow::Cow::Owned(bytes)
}

/// Adds the data to the payload.
fn fill(command: &mut Command, source: Source, max: u64) -> PyResult<()> {
    let (name, bytes) = match source {
        Source::Bytes(bytes) => ("the data".to_owned(), bytes),
        Source::File(path) => (path.display().to_string(), file(&path, max)?),
    };
    let count = bytes.len() as u64;
    let (field, data) = match String::from_utf8(bytes) {
        Ok(text) => ("data", text),
        Err(error) => ("data_base64", STANDARD.encode(error.as_bytes())),
    };
    command.payload.insert(field.into(), data.into());
    match encode(command).len() as u64 {
        length if length > max => Err(too_large(&name, count, length, max)),
        _ => Ok(()),
    }
}

fn file(path: &Path, max: u64) -> PyResult<Vec<u8>> {
    read_file(path, max).map_err(|error| {
        let name = path.display().to_string();
        match (error.kind(), std::fs::metadata(path)) {
            (ErrorKind::FileTooLarge, Ok(found)) => too_large(&name, found.len(), found.len(), max),
            // Keep the error number, so that Python raises FileNotFoundError or a similar class.
            _ => match error.raw_os_error() {
                Some(number) => PyOSError::new_err((number, error.to_string(), name)),
                None => PyOSError::new_err(format!("{name}: {error}")),
            },
        }
    })
}

fn too_large(name: &str, count: u64, length: u64, max: u64) -> PyErr {
    let [count, length, max] = [count, length, max].map(thousands);
    RefusedError::new_err(format!(
        "{name}: {count} bytes, which need at least {length} in a message that can carry at most {max}: raise PUDATO_CLAIM_BYTES_MAX here and for \
         the workers, or copy the file to the container's location yourself"
    ))
}

/// Takes the bytes of the object out of the Result.
fn taken(result: &mut Reply) -> PyResult<Vec<u8>> {
    let data = result.data.as_mut();
    let take = |name: &str| data.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let bytes = match (take("data"), take("data_base64")) {
        (Some(text), _) => text.into_bytes(),
        (None, Some(text)) => STANDARD
            .decode(text)
            .map_err(|error| errors::field("data_base64", &format!("expected base64: {error}")))?,
        (None, None) => {
            return Err(errors::field(
                "data",
                "the Result does not contain the object's bytes",
            ));
        }
    };
    if let Some(data) = data {
        data.remove("data");
        data.remove("data_base64");
    }
    Ok(bytes)
}
