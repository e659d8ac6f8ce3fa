//! `pudato backup`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use serde_json::json;
use std::path::PathBuf;

/// Copy the fabric and the registry into a new folder while programs use them. Copy objects and the warehouse yourself: they are files.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato backup /backup/monday")]
pub struct Backup {
    /// A new or empty folder
    folder: PathBuf,
}

impl Backup {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        pudato.backup(&self.folder).await?;
        let folder = self.folder.display().to_string();
        if context.json {
            return output::json(&json!({"backup": folder}));
        }
        output::line(&format!(
            "copied fabric.db and registry.db to {folder}; objects and the warehouse are not copied"
        ))
    }
}
