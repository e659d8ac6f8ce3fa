//! Settings: flags override the environment, which overrides `pudato.toml`, which overrides defaults. Each value has its origin.

mod aws;
mod database;
mod file;
mod load;
mod query;
mod reader;
pub mod services;
mod session;
#[cfg(feature = "dbt")]
mod transform;
pub(crate) mod variables;

pub use aws::{AwsSettings, SignaturePolicy};
pub use database::{DatabasePlace, SecretName};
pub use query::QuerySettings;
pub use session::{AwsCredentials, AwsSession, CredentialsSource};
pub use variables::{VARIABLES, Variable, instead_of};

use crate::installation::{Backend, OpenError};
use crate::openlineage::TransportSettings;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the settings file in the working directory.
pub const FILE: &str = "pudato.toml";

/// The place where a caller waits for the Result of its Command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// In the registry.
    Registry,
    /// On a queue of its own, for callers that cannot reach the registry; not on every fabric.
    Queue,
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub variable: Variable,
    /// The value; empty if it has none.
    pub value: String,
    /// The source of the value: flag, environment, file or default.
    pub origin: String,
}

/// All settings of a process, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Every value with its origin, in the order of [`VARIABLES`].
    pub all: Vec<Setting>,
    /// The backend of the fabric.
    pub fabric: &'static Backend,
    /// The data folder.
    pub data_dir: PathBuf,
    /// The prefix of all names.
    pub prefix: String,
    /// The containers by name, with their locations. If there are none, any valid name is a folder of the data folder.
    pub containers: BTreeMap<String, String>,
    /// The container of claims.
    pub claims_container: String,
    /// The most bytes of a claim.
    pub claim_bytes_max: u64,
    /// The place of the registry.
    pub registry: DatabasePlace,
    /// Whether a setting names the registry's database.
    pub registry_is_set: bool,
    /// The topics and queues on AWS.
    pub aws: AwsSettings,
    /// The function that a Lambda runs: a service, `results` or `migrate`.
    pub function: Option<String>,
    /// The most connections to PostgreSQL that this program keeps.
    pub database_connections: usize,
    /// The store of answers on AWS; `None` for the registry's database.
    pub answers: Option<DatabasePlace>,
    /// Where callers wait for Results.
    pub replies: Replies,
    /// The endpoint of an emulator instead of AWS.
    pub endpoint: Option<String>,
    /// Who this program is on AWS, if it says so itself; no variable sets it.
    pub session: Option<AwsSession>,
    /// The most messages that a worker handles at once.
    pub concurrency: usize,
    /// How long a received message is hidden from other consumers.
    pub visibility: Duration,
    /// The grace time of a drain.
    pub drain: Duration,
    /// The settings of the query service.
    pub query: QuerySettings,
    /// The settings of the transform service. Its folder and warehouse are set when it is opened.
    #[cfg(feature = "dbt")]
    pub transform: pudato_transform::Settings,
    /// The receiver of OpenLineage events; `None` if there is none.
    pub openlineage: Option<TransportSettings>,
    /// The port of `/livez` and `/readyz`.
    pub health_port: Option<u16>,
    /// The log filter.
    pub log: String,
    /// `Some(true)` for JSON lines, `None` to choose by the kind of stderr.
    pub log_json: Option<bool>,
}

/// All errors in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(pub Vec<String>);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsError {}

impl From<SettingsError> for OpenError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error.to_string())
    }
}

/// The sources of settings.
pub struct Sources<'a> {
    /// Flags of the command line, by the variable's name.
    pub flags: BTreeMap<&'static str, String>,
    /// Reads the environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The settings file. If the caller named it, it must exist.
    pub file: Option<&'a Path>,
}

impl Settings {
    /// The transform service's settings for the data folder `data_dir`.
    #[cfg(feature = "dbt")]
    pub fn transform_in(&self, data_dir: &Path) -> pudato_transform::Settings {
        transform::in_folder(self, data_dir)
    }

    /// Whether the settings name a dbt project, so that a worker reads the queue of the transform service.
    #[cfg(feature = "dbt")]
    pub fn has_dbt_project(&self) -> bool {
        self.transform.project.is_some() || self.transform.logic.is_some()
    }

    /// A build without dbt has no worker for a project.
    #[cfg(not(feature = "dbt"))]
    pub fn has_dbt_project(&self) -> bool {
        false
    }

    /// Refuses to start if one of the settings `needed` is missing.
    ///
    /// # Errors
    /// All missing settings, and why this fabric was chosen.
    pub fn require(&self, needed: &[String]) -> Result<(), SettingsError> {
        let missing: Vec<&str> = needed
            .iter()
            .map(String::as_str)
            .filter(|name| value(&self.all, name).is_empty())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let fabric = self
            .all
            .iter()
            .find(|setting| setting.variable.name == "PUDATO_FABRIC");
        let origin = fabric.map_or("", |setting| setting.origin.as_str());
        let (name, advice) = (self.fabric.name, self.fabric.requires_advice);
        Err(SettingsError(vec![format!(
            "PUDATO_FABRIC is {name} ({origin}), and these are not set: {}; {advice}",
            missing.join(", ")
        )]))
    }
}

fn value<'a>(all: &'a [Setting], name: &str) -> &'a str {
    let setting = all.iter().find(|setting| setting.variable.name == name);
    setting.map_or("", |setting| setting.value.as_str())
}
