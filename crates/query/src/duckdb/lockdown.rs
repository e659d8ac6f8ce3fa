//! What SQL may reach: nothing but the warehouse and the scratch folder (docs/security.md).

use super::statements::literal;
use duckdb::{Config, Connection};
use std::path::PathBuf;

/// What the engine may use, and where it may read files.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Lockdown {
    /// The only folder that SQL may read.
    pub(super) scratch: PathBuf,
    /// Where DuckDB puts what does not fit into its memory.
    pub(super) spill: PathBuf,
    pub(super) memory_bytes: u64,
    pub(super) spill_bytes: u64,
    pub(super) threads: u32,
}

impl Lockdown {
    /// What must be said before the database is opened.
    pub(super) fn config(&self, config: Config) -> duckdb::Result<Config> {
        config
            .enable_autoload_extension(false)?
            .with("autoinstall_known_extensions", "false")?
            .with("allow_community_extensions", "false")?
            .with("allow_persistent_secrets", "false")?
            .with("threads", self.threads.to_string())?
            .with("memory_limit", bytes(self.memory_bytes))?
            .with("temp_directory", self.spill.display().to_string())?
            .with("max_temp_directory_size", bytes(self.spill_bytes))?
            // The plan before the optimizer tells what a statement reads.
            .with("explain_output", "all")
    }

    /// Closes every door. Two settings stay open: one that DuckDB changes by itself, in a PIVOT that finds its own values, and
    /// one that each connection must be told ([`session`](Self::session)). A list is made by name: a macro `list_value` in the
    /// warehouse would make what stands in brackets. Times are those of UTC, whatever zone the worker is in: the day of an instant must not
    /// depend on where a query runs. The last thing that is set is that nothing else can
    /// be set any more.
    pub(super) fn apply(&self, connection: &Connection) -> duckdb::Result<()> {
        let folder = literal(&self.scratch.display().to_string());
        connection.execute_batch(&format!(
            "SET allowed_directories = system.main.list_value({folder});
             SET allowed_configs = system.main.list_value('current_transaction_invalidation_policy', 'streaming_buffer_size');
             SET GLOBAL TimeZone = 'UTC';
             SET enable_external_access = false;
             SET lock_configuration = true;"
        ))
    }

    /// What each connection must be told.
    pub(super) fn session(connection: &Connection) -> duckdb::Result<()> {
        let set = format!("SET streaming_buffer_size = '{STREAM_BYTES}B'");
        connection.execute_batch(&set)
    }
}

/// How far DuckDB runs ahead of who takes the answer. It counts a text as 16 bytes, however long it is: with its own default of
/// 976 KiB thirty chunks of 2,048 long texts wait at once, 600 MB where each has 10,000 bytes (measured with 1.5.6).
const STREAM_BYTES: u64 = 65_536;

fn bytes(number: u64) -> String {
    format!("{number}B")
}
