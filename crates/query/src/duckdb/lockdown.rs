//! Restricts SQL to the warehouse and the scratch folder.

use super::statements::literal;
use duckdb::{Config, Connection};
use std::path::PathBuf;

/// The limits of the engine, and the folder it may read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Lockdown {
    /// The only folder that SQL may read.
    pub(super) scratch: PathBuf,
    /// The folder for data that does not fit into memory.
    pub(super) spill: PathBuf,
    pub(super) memory_bytes: u64,
    pub(super) spill_bytes: u64,
    pub(super) threads: u32,
}

impl Lockdown {
    /// Settings that must be made before the database is opened.
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
            // The plan before the optimizer shows what a statement reads.
            .with("explain_output", "all")
    }

    /// Locks the configuration. Two settings stay open: one that DuckDB changes itself, in a PIVOT that finds its own values, and one that
    /// each connection sets ([`session`](Self::session)). Lists are written with the function's full name, because a macro `list_value` in
    /// the warehouse would replace the bracket syntax. Times are in UTC, whatever the worker's zone, so that the day of an instant does not
    /// depend on the machine. The last setting forbids all further ones.
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

    /// Settings of each connection.
    pub(super) fn session(connection: &Connection) -> duckdb::Result<()> {
        let set = format!("SET streaming_buffer_size = '{STREAM_BYTES}B'");
        connection.execute_batch(&set)
    }
}

/// How far DuckDB runs ahead of the consumer of an answer. It counts a text as 16 bytes, whatever its length: with its default of 976 KiB,
/// thirty chunks of 2,048 long texts are buffered, which is 600 MB if each has 10,000 bytes (measured with 1.5.6).
const STREAM_BYTES: u64 = 65_536;

fn bytes(number: u64) -> String {
    format!("{number}B")
}
