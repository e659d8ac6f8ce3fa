//! An installation, opened once for each set of settings.

use crate::errors;
use crate::session::Session;
use crate::settings::Settings;
use crate::waiting::{Own, wait};
use pudato_runtime::Installation as Opened;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// Everything that the settings name, opened and ready to use.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Installation {
    pub(crate) opened: Own<Opened>,
}

#[pymethods]
impl Installation {
    /// Opens an installation for a program that publishes, receives and calls, or, if `calls` is false, does not call. On AWS it acts as
    /// `session`, if there is one.
    #[new]
    #[pyo3(signature = (settings, session=None, calls=true))]
    fn new(
        py: Python<'_>,
        settings: &Settings,
        session: Option<&Session>,
        calls: bool,
    ) -> PyResult<Self> {
        let mut loaded = settings.loaded.clone();
        loaded.session = session.map(Session::of_runtime);
        let opened = wait(py, async move {
            match calls {
                true => Opened::open_to_call(loaded).await,
                false => Opened::open_to_publish(loaded).await,
            }
        })?;
        let opened = Arc::new(opened.map_err(errors::open)?);
        Ok(Self {
            opened: Own::new(opened),
        })
    }

    /// Copies the databases of the data folder into the new or empty folder `to`.
    fn backup(&self, py: Python<'_>, to: PathBuf) -> PyResult<()> {
        let opened = Arc::clone(&self.opened);
        let copied = wait(py, async move { opened.backup(&to).await })?;
        copied.map_err(errors::open)
    }

    /// The databases in the data folder that the installation keeps open.
    fn databases(&self) -> Vec<PathBuf> {
        self.opened.databases()
    }
}
