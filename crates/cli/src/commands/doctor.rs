//! `pudato doctor`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use serde_json::json;

/// Check this installation for problems: damaged files, open permissions, programs that lost their locks on a database, dead letters,
/// queues without a reader, stuck workers, commands that wait for more than a minute or exceed their time limit, a missing dbt or one
/// whose DuckDB is too new, datasets that are named after another data folder. On AWS, also check the deployed resources, and whether a
/// test message passes through every topic.
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
