//! `pudato doctor` and `pudato backup`.

use crate::Context;
use crate::exit::Failure;
use crate::output;
use serde_json::json;
use std::path::PathBuf;

/// Check this installation for problems: damaged files, open permissions, dead letters, queues without a reader, stuck workers,
/// commands that wait for more than a minute or run over their time, a missing dbt or one whose DuckDB is too new, datasets
/// that are named after another data folder. On AWS, also check the deployed resources, and whether a canary passes through
/// every topic.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato doctor && echo fine")]
pub struct Doctor {}

impl Doctor {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let wrong = context.open().await?.doctor().await?;
        if context.json {
            output::json(&json!({"findings": wrong}))?;
        } else {
            for finding in &wrong {
                output::line(&format!("- {finding}"))?;
            }
            if wrong.is_empty() {
                output::line("no problems found")?;
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Failure::silent(crate::exit::FAILED))
    }
}

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
