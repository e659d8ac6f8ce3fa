//! Settings, as the command reads them.

use crate::errors;
use pudato_runtime::settings::{DatabasePlace, FILE, Replies, Sources};
use pudato_runtime::{Names, VARIABLES};
use pyo3::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Validated settings, each with its origin.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Settings {
    pub(crate) loaded: pudato_runtime::Settings,
}

/// One setting: its name as an attribute, its variable, its value, its origin, and whether it is secret.
type Entry = (String, &'static str, String, String, bool);

#[pymethods]
impl Settings {
    /// Reads settings: `given` by variable, then the environment `environment`, then `file` (`pudato.toml` in the working directory if it
    /// exists and no other is named), then defaults.
    #[new]
    #[pyo3(signature = (given, environment, file=None))]
    fn new(
        given: BTreeMap<String, String>,
        environment: BTreeMap<String, String>,
        file: Option<PathBuf>,
    ) -> PyResult<Self> {
        let known = |name: &str| VARIABLES.iter().find(|variable| variable.name == name);
        let flags = given.into_iter().filter_map(|(name, value)| {
            let variable = known(&name)?;
            Some((variable.name, value))
        });
        let file = file.or_else(|| Some(PathBuf::from(FILE)).filter(|file| file.exists()));
        let loaded = pudato_runtime::Settings::load(&Sources {
            flags: flags.collect(),
            environment: &|name| environment.get(name).cloned(),
            file: file.as_deref().map(Path::new),
        });
        let mut loaded = loaded.map_err(|error| errors::settings(&error))?;
        // A program may change its working directory after it has read its settings.
        make_absolute(&mut loaded);
        Ok(Self { loaded })
    }

    /// If these settings are for a program whose Results arrive on a queue, returns the same settings for a program that uses the registry.
    fn answered_by_registry(&self) -> Option<Self> {
        let mut loaded = self.loaded.clone();
        let is_needed = loaded.replies != Replies::Registry;
        loaded.replies = Replies::Registry;
        is_needed.then_some(Self { loaded })
    }

    /// Every setting. Topics and queues that are not set have the names of the embedded fabric.
    fn entries(&self) -> Vec<Entry> {
        let names = Names::new(&self.loaded.prefix);
        let entries = self.loaded.all.iter().map(|setting| {
            let variable = setting.variable;
            let mut value = setting.value.clone();
            if value.is_empty() {
                value = default_name(&names, variable.name).unwrap_or_default();
            }
            let attribute = attribute(variable.name);
            (
                attribute,
                variable.name,
                value,
                setting.origin.clone(),
                variable.is_secret,
            )
        });
        entries.collect()
    }
}

/// Resolves relative paths against the current folder, even if that changes later.
fn make_absolute(settings: &mut pudato_runtime::Settings) {
    let mut paths = vec![&mut settings.data_dir];
    let places = [Some(&mut settings.registry), settings.answers.as_mut()];
    paths.extend(
        places
            .into_iter()
            .flatten()
            .filter_map(|place| match place {
                DatabasePlace::File(path) => Some(path),
                _ => None,
            }),
    );
    paths.extend(&mut settings.query.file);
    for path in paths {
        if let Ok(whole) = std::path::absolute(&*path) {
            *path = whole;
        }
    }
}

/// The attribute of a variable: `PUDATO_STORAGE_TOPIC_ARN` is `storage_topic_arn`, `REGISTRY_DATABASE_URL` is `registry_database_url`.
fn attribute(variable: &str) -> String {
    let name = variable.strip_prefix("PUDATO_").unwrap_or(variable);
    name.to_ascii_lowercase().replace("__", "_")
}

/// The name of a topic or queue of the embedded fabric, which needs no setting.
fn default_name(names: &Names, variable: &str) -> Option<String> {
    let name = variable.strip_prefix("PUDATO_")?;
    if let Some(topic) = name.strip_suffix("_TOPIC_ARN") {
        return Some(match topic {
            "RESULTS" => names.results(),
            "EVENTS" => names.events(),
            service => names.commands(&service.to_ascii_lowercase()),
        });
    }
    let queue = name.strip_suffix("_QUEUE_URL")?;
    Some(names.queue(&queue.to_ascii_lowercase()))
}

/// The variable of each attribute of [`Settings`].
#[pyfunction]
pub(crate) fn variables() -> BTreeMap<String, &'static str> {
    let named = VARIABLES
        .iter()
        .map(|variable| (attribute(variable.name), variable.name));
    named.collect()
}

/// What to set instead of a setting that pudato does not have, by its variable or attribute; `None` if there is no advice.
#[pyfunction]
pub(crate) fn instead_of(name: &str) -> Option<&'static str> {
    pudato_runtime::settings::instead_of(name)
}
