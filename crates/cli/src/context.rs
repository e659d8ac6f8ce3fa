//! The settings of a command, and the installation that it opens.

use crate::exit::Failure;
use pudato_runtime::settings::{FILE, Sources};
use pudato_runtime::{Installation, Settings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Options of every command.
#[derive(clap::Args)]
pub struct Global {
    /// Data folder: the embedded fabric, the registry and objects [default: .pudato]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<String>,
    /// Settings file [default: pudato.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// Log filter for stderr, e.g. debug [default: info for up, runner and results, otherwise warn]
    #[arg(long, global = true, value_name = "FILTER")]
    pub log: Option<String>,
}

/// The settings and the output format, which every command needs.
pub struct Context {
    pub settings: Settings,
    pub json: bool,
}

impl Context {
    /// Loads the settings.
    ///
    /// # Errors
    /// A setting cannot be used.
    pub fn load(global: &Global, serves: bool) -> Result<Self, Failure> {
        Ok(Self {
            settings: settings(global, serves)?,
            json: global.json,
        })
    }

    pub async fn open(&self) -> Result<Installation, Failure> {
        Ok(Installation::open(self.settings.clone()).await?)
    }

    /// Opens an installation that sends commands. It needs no registry if Results arrive on a queue.
    pub async fn open_to_call(&self) -> Result<Installation, Failure> {
        Ok(Installation::open_to_call(self.settings.clone()).await?)
    }
}

/// Loads the settings. Programs that do not serve log only warnings, unless a setting or a flag says otherwise.
fn settings(global: &Global, serves: bool) -> Result<Settings, Failure> {
    let mut flags = BTreeMap::new();
    if let Some(data_dir) = &global.data_dir {
        flags.insert("PUDATO_DATA_DIR", data_dir.clone());
    }
    let environment = |name: &str| std::env::var(name).ok();
    match &global.log {
        Some(log) => {
            flags.insert("PUDATO_LOG", log.clone());
        }
        None if !serves && environment("PUDATO_LOG").is_none() => {
            flags.insert("PUDATO_LOG", "warn".into());
        }
        None => {}
    }
    let named = global.config.as_deref();
    let file = named.or_else(|| Some(Path::new(FILE)).filter(|file| file.exists()));
    let loaded = Settings::load(&Sources {
        flags,
        environment: &environment,
        file,
    });
    loaded.map_err(|error| Failure::configuration(error.to_string()))
}
