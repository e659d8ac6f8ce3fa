//! Settings of the query service.

use super::reader::Reader;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The resources of the query service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuerySettings {
    /// The warehouse; `None` for one in memory.
    pub file: Option<PathBuf>,
    /// Whether a setting names the warehouse's file.
    pub file_is_set: bool,
    /// The time limit for the SQL of one Command.
    pub deadline: Duration,
    /// The most memory.
    pub memory_bytes: u64,
    /// The most bytes that DuckDB spills to disk.
    pub spill_bytes: u64,
    /// The number of threads.
    pub threads: u32,
    /// The most bytes of a Command's sources.
    pub source_bytes_max: u64,
    /// The most bytes of the rows in a Result.
    pub answer_bytes_max: usize,
    /// Whether scripts are allowed.
    pub scripts: bool,
    /// Whether DuckDB runs in a separate process.
    pub has_own_process: bool,
}

impl QuerySettings {
    pub(super) fn read(reader: &mut Reader<'_>, data_dir: &Path) -> Self {
        let path = reader.optional("DUCKDB_PATH").map(PathBuf::from);
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let threads = match reader.optional("PUDATO_QUERY_THREADS") {
            None => cores,
            Some(_) => reader.number("PUDATO_QUERY_THREADS", 1, 1_024),
        };
        let answer_bytes_max = reader.number("PUDATO_QUERY_ANSWER_BYTES_MAX", 1, 1 << 40);
        Self {
            file_is_set: path.is_some(),
            file: Some(path.unwrap_or_else(|| data_dir.join("warehouse.duckdb"))),
            deadline: Duration::from_secs(reader.number("PUDATO_QUERY_SECONDS", 1, 43_200)),
            memory_bytes: reader.number("PUDATO_QUERY_MEMORY_BYTES", 1 << 20, 1 << 50),
            spill_bytes: reader.number("PUDATO_QUERY_SPILL_BYTES", 1 << 20, 1 << 50),
            threads: u32::try_from(threads).unwrap_or(1),
            source_bytes_max: reader.number("PUDATO_QUERY_SOURCE_BYTES_MAX", 1, 1 << 50),
            answer_bytes_max: usize::try_from(answer_bytes_max).unwrap_or(usize::MAX),
            scripts: reader.flag("PUDATO_QUERY_SCRIPTS"),
            has_own_process: reader.choice(
                "PUDATO_QUERY_ISOLATION",
                &[("process", true), ("none", false)],
            ),
        }
    }
}
