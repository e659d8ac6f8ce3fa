//! Runs services without a queue: each takes a Command and returns its Result.

use crate::errors;
use crate::lambda::applied;
use crate::settings::Settings;
use crate::waiting::wait;
use pudato_handler::{Handler, Later, dispatch};
use pudato_messaging::SystemClock;
use pudato_protocol::{Command, Result as Reply, Timestamp, decode_claim, encode};
use pudato_registry::{Error, PostgresRegistry, RegistryHandler, RegistryStore, SqliteRegistry};
use pudato_runtime::{Installation as Opened, lambda};
use pyo3::prelude::*;
use std::sync::Arc;

/// A store of jobs, steps, Results and lineage.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Registry {
    pub(crate) store: Arc<dyn RegistryStore>,
}

fn opened(store: Result<impl RegistryStore + 'static, Error>) -> PyResult<Registry> {
    let store = store.map_err(|error| errors::port(&error))?;
    Ok(Registry {
        store: Arc::new(store),
    })
}

#[pymethods]
impl Registry {
    /// The registry that the settings name.
    #[new]
    fn new(py: Python<'_>, settings: &Settings) -> PyResult<Self> {
        let opened = wait(py, Opened::open(settings.loaded.clone()))?;
        let opened = opened.map_err(errors::open)?;
        Ok(Self {
            store: opened.registry,
        })
    }

    /// A registry in memory.
    #[staticmethod]
    fn memory() -> PyResult<Self> {
        opened(SqliteRegistry::in_memory())
    }

    /// The registry in a PostgreSQL database. It connects on first use.
    #[staticmethod]
    fn postgres(url: &str) -> PyResult<Self> {
        opened(PostgresRegistry::new(url))
    }

    /// Writes a Result, given as JSON, as the results consumer does. Returns the outcome.
    fn apply(&self, py: Python<'_>, result: &[u8]) -> PyResult<&'static str> {
        let result: Reply = decode_claim(result).map_err(|error| errors::message(&error))?;
        let store = Arc::clone(&self.store);
        let done = wait(py, async move {
            lambda::record(&*store, vec![result], &SystemClock).await
        })?;
        let done = done.map_err(|error| errors::port(&error))?;
        Ok(done.into_iter().next().map_or("skipped", applied))
    }
}

/// The handler of one service.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Service {
    handler: Arc<dyn Handler>,
}

#[pymethods]
impl Service {
    /// The handler of a built-in service, from the settings.
    #[new]
    fn new(py: Python<'_>, settings: &Settings, name: &str) -> PyResult<Self> {
        let opened = wait(py, Opened::open(settings.loaded.clone()))?;
        let opened = opened.map_err(errors::open)?;
        let handler = Arc::clone(opened.handler(name).map_err(errors::open)?);
        Ok(Self { handler })
    }

    /// The registry's handler on a given store.
    #[staticmethod]
    fn registry(registry: &Registry) -> Self {
        let store = Arc::clone(&registry.store);
        Self {
            handler: Arc::new(RegistryHandler::new(store, Timestamp::now)),
        }
    }

    /// The names of its actions, with their aliases.
    fn actions(&self) -> Vec<&'static str> {
        let actions = self.handler.actions().iter();
        let names =
            actions.flat_map(|one| [one.name].into_iter().chain(one.aliases.iter().copied()));
        names.collect()
    }

    /// Runs a Command, given as JSON, and returns its Result as JSON.
    fn handle(&self, py: Python<'_>, command: &[u8]) -> PyResult<String> {
        let command: Command = decode_claim(command).map_err(|error| errors::message(&error))?;
        let handler = Arc::clone(&self.handler);
        let handled = wait(py, async move {
            dispatch(&*handler, &command, None, &(), &Timestamp::now).await
        })?;
        match handled {
            Ok(handled) => Ok(encode(&handled.result)),
            Err(Later::Retry { why, .. } | Later::Unavailable { why }) => {
                Err(errors::UnavailableError::new_err(why))
            }
        }
    }
}
