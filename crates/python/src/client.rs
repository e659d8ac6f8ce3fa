//! Calls: a Command is published, and its final Result is awaited.

use crate::errors;
use crate::installation::Installation;
use crate::waiting::wait;
use pudato_protocol::{Command, decode_claim, encode};
use pudato_runtime::Client;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

#[pymethods]
impl Installation {
    /// Publishes the Command with this text and waits up to `timeout_ms` milliseconds for its final Result. Returns the Result's text.
    fn call(&self, py: Python<'_>, command: &[u8], timeout_ms: u64) -> PyResult<String> {
        let command: Command = decode_claim(command).map_err(|error| errors::message(&error))?;
        let opened = Arc::clone(&self.opened);
        let timeout = Duration::from_millis(timeout_ms);
        let called = wait(py, async move {
            Client::new(&opened).call(&command, timeout).await
        })?;
        let result = called.map_err(errors::call)?;
        Ok(encode(&result))
    }
}
