//! Settings: flags before environment before `pudato.toml` before defaults, each with its origin.

mod aws;
mod database;
mod file;
mod load;
mod query;
mod reader;
pub mod services;
#[cfg(feature = "dbt")]
mod transform;
pub(crate) mod variables;

pub use aws::{AwsSettings, SignaturePolicy};
pub use database::{DatabasePlace, SecretName};
pub use query::QuerySettings;
pub use variables::{VARIABLES, Variable};

use crate::installation::OpenError;
use crate::openlineage::TransportSettings;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the settings file in the working directory.
pub const FILE: &str = "pudato.toml";

/// Which fabric messages travel over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fabric {
    /// The data folder of this machine.
    Embedded,
    /// SNS and SQS.
    Aws,
}

/// Where a caller hears of the Result of its Command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replies {
    /// In the registry.
    Registry,
    /// Through a queue of its own, for who cannot reach the registry; on AWS alone.
    Queue,
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// What is set.
    pub variable: Variable,
    /// Its value; empty where there is none.
    pub value: String,
    /// Who says so.
    pub origin: String,
}

/// All settings of a process, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Every value with its origin, in the order of [`VARIABLES`].
    pub all: Vec<Setting>,
    /// Which fabric.
    pub fabric: Fabric,
    /// The data folder.
    pub data_dir: PathBuf,
    /// What names begin with.
    pub prefix: String,
    /// Container names and where they lie; empty: any valid name is a folder of the data folder.
    pub containers: BTreeMap<String, String>,
    /// Container of claims.
    pub claims_container: String,
    /// Most bytes of a claim.
    pub claim_bytes_max: u64,
    /// Where the registry is.
    pub registry: DatabasePlace,
    /// Whether a setting names the registry's database.
    pub registry_is_set: bool,
    /// Where topics and queues are on AWS.
    pub aws: AwsSettings,
    /// The function that a Lambda runs: a service, `results` or `migrate`.
    pub function: Option<String>,
    /// Connections to a PostgreSQL that this program keeps at most.
    pub database_connections: usize,
    /// Where answers are kept on AWS; `None`: in the registry's database.
    pub answers: Option<DatabasePlace>,
    /// Where callers hear of Results.
    pub replies: Replies,
    /// An emulator instead of AWS.
    pub endpoint: Option<String>,
    /// Messages in hand at once.
    pub concurrency: usize,
    /// How long a received message is hidden from others.
    pub visibility: Duration,
    /// How long a drain waits.
    pub drain: Duration,
    /// The query service.
    pub query: QuerySettings,
    /// The transform service; its folder and warehouse are set where it is opened.
    #[cfg(feature = "dbt")]
    pub transform: pudato_transform::Settings,
    /// Where OpenLineage events go; `None`: nobody is told.
    pub openlineage: Option<TransportSettings>,
    /// Port of `/livez` and `/readyz`.
    pub health_port: Option<u16>,
    /// What is logged.
    pub log: String,
    /// `Some(true)`: JSON lines; `None`: what suits stderr.
    pub log_json: Option<bool>,
}

/// Everything that is wrong with the settings, at once.
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

/// Where settings come from.
pub struct Sources<'a> {
    /// Flags of the command line, by the variable's name.
    pub flags: BTreeMap<&'static str, String>,
    /// Reads the environment.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The settings file: where it was named it must be there.
    pub file: Option<&'a Path>,
}

impl Settings {
    /// The transform service's settings in a program whose data folder is `data_dir`.
    #[cfg(feature = "dbt")]
    pub fn transform_in(&self, data_dir: &Path) -> pudato_transform::Settings {
        transform::in_folder(self, data_dir)
    }

    /// Whether the settings name a dbt project: its worker reads the queue of the transform service.
    #[cfg(feature = "dbt")]
    pub fn has_dbt_project(&self) -> bool {
        self.transform.project.is_some() || self.transform.logic.is_some()
    }

    /// A build without dbt has no worker for a project.
    #[cfg(not(feature = "dbt"))]
    pub fn has_dbt_project(&self) -> bool {
        false
    }

    /// Refuses to start on AWS if any of the settings `needed` is missing.
    ///
    /// # Errors
    /// Every missing setting, and why the fabric is AWS.
    pub fn require(&self, needed: &[String]) -> Result<(), SettingsError> {
        let missing: Vec<&str> = needed
            .iter()
            .map(String::as_str)
            .filter(|name| value(&self.all, name).is_empty())
            .collect();
        if self.fabric == Fabric::Embedded || missing.is_empty() {
            return Ok(());
        }
        let fabric = self
            .all
            .iter()
            .find(|setting| setting.variable.name == "PUDATO_FABRIC");
        let origin = fabric.map_or("", |setting| setting.origin.as_str());
        Err(SettingsError(vec![format!(
            "PUDATO_FABRIC is aws ({origin}), and these are not set: {}; `pudato topology apply` prints those of an emulator",
            missing.join(", ")
        )]))
    }
}

fn value<'a>(all: &'a [Setting], name: &str) -> &'a str {
    let setting = all.iter().find(|setting| setting.variable.name == name);
    setting.map_or("", |setting| setting.value.as_str())
}
