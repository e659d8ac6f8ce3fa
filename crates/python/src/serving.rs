//! Runs the worker of a service, or the results consumer, until `drain` is called.

use crate::errors;
use crate::handler::OwnHandler;
use crate::settings::Settings;
use crate::waiting::wait;
use crate::worker::Pool;
use pudato_handler::Handler;
use pudato_runtime::{CancellationToken, Installation as Opened, Role};
use pyo3::prelude::*;
use std::sync::Arc;

/// The handlers, as an installation takes them.
pub(crate) fn own(handlers: Vec<PyRef<'_, OwnHandler>>) -> Vec<Arc<dyn Handler>> {
    let handlers = handlers.into_iter();
    handlers.map(|one| Arc::clone(&one.handler)).collect()
}

/// An installation whose services run in this process.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Serving {
    opened: Arc<Opened>,
    drain: CancellationToken,
}

#[pymethods]
impl Serving {
    /// Opens an installation with Python handlers in addition to the built-in ones. A handler in `pool` can ask it to drain.
    #[new]
    #[pyo3(signature = (settings, handlers, pool=None))]
    fn new(
        py: Python<'_>,
        settings: &Settings,
        handlers: Vec<PyRef<'_, OwnHandler>>,
        pool: Option<PyRef<'_, Pool>>,
    ) -> PyResult<Self> {
        let (settings, own) = (settings.loaded.clone(), own(handlers));
        let drain = pool.map_or_else(CancellationToken::new, |pool| pool.drain.clone());
        let opened = wait(py, Opened::open_with(settings, own))?;
        let opened = Arc::new(opened.map_err(errors::open)?);
        Ok(Self { opened, drain })
    }

    /// The services that have a handler here.
    fn services(&self) -> Vec<String> {
        let services = self.opened.services().into_iter();
        services.map(str::to_owned).collect()
    }

    /// The data folder.
    fn data_dir(&self) -> String {
        self.opened.data_dir.display().to_string()
    }

    /// Runs services, and the results consumer as `results`, until `drain` is called and the messages in flight are finished.
    fn run(&self, py: Python<'_>, services: Vec<String>) -> PyResult<()> {
        let roles = services.into_iter().map(|name| match name.as_str() {
            "results" => Role::Results,
            _ => Role::Worker(name),
        });
        let roles: Vec<Role> = roles.collect();
        let (opened, drain) = (Arc::clone(&self.opened), self.drain.clone());
        let ran = wait(py, async move { opened.run(&roles, drain).await })?;
        ran.map_err(errors::open)
    }

    /// Stops receiving, finishes the messages in flight within the drain time, and makes `run` return. `drain` itself returns immediately.
    fn drain(&self) {
        self.drain.cancel();
    }

    /// Whether `drain` was called, here or by a handler that asked the program to stop.
    fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// How many messages of a queue are visible, and how many are in flight.
    fn counts(&self, py: Python<'_>, queue: String) -> PyResult<(u64, u64)> {
        let operations = Arc::clone(&self.opened.fabric.operations);
        let counts = wait(py, async move { operations.counts(&queue).await })?;
        let counts = counts.map_err(|error| errors::port(&error))?;
        Ok((counts.visible, counts.in_flight))
    }

    /// The names of the commands in flight.
    fn in_hand(&self) -> Vec<String> {
        let in_hand = self.opened.board.in_hand();
        in_hand.iter().map(|entry| entry.called()).collect()
    }
}
