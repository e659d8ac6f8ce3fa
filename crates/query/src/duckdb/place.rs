//! Checks whether DuckDB can commit to a file. DuckDB opens a file even if it cannot create the log, and then every write fails.

use crate::engine::EngineError;
use std::path::{Path, PathBuf};

/// The suffixes that DuckDB appends to the name of a warehouse, the longest last (DuckDB 1.5.6, `SingleFileStorageManager`).
const BESIDE: [&str; 3] = [".wal", ".wal.recovery", ".wal.checkpoint"];

/// The longest file name on common file systems, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// Refuses a file if DuckDB cannot keep its log next to it.
pub(super) fn check(file: &Path) -> Result<(), EngineError> {
    let name = file.file_name().unwrap_or_default();
    let longest = BESIDE.map(str::len).into_iter().max().unwrap_or_default();
    let (bytes, bytes_max) = (name.len(), NAME_BYTES_MAX - longest);
    if bytes > bytes_max {
        return Err(EngineError::Invalid(format!(
            "{}: the file name has {bytes} bytes; at most {bytes_max} are allowed, because DuckDB creates files with longer names next to it",
            file.display()
        )));
    }
    if file.is_dir() {
        return Err(EngineError::Invalid(format!(
            "{}: it is a folder; expected a DuckDB file",
            file.display()
        )));
    }
    for end in BESIDE {
        let mut beside = file.as_os_str().to_owned();
        beside.push(end);
        let beside = PathBuf::from(beside);
        let found = beside.symlink_metadata();
        if found.is_ok_and(|found| !found.is_file()) {
            return Err(EngineError::Invalid(format!(
                "{}: it is not a file, and DuckDB needs this path for its log; move it away or rename the warehouse",
                beside.display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use duckdb::Connection;

    /// Whether DuckDB can commit there.
    fn commits(file: &Path) -> bool {
        let connection = Connection::open(file).expect("DuckDB opens it");
        let sql = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1)";
        connection.execute_batch(sql).is_ok()
    }

    #[test]
    fn a_warehouse_that_nothing_can_be_committed_to_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name);
        let refused = |file: &Path| check(file).expect_err("refused").to_string();
        let long = file(&"w".repeat(252));
        assert!(!commits(&long), "DuckDB can do it now");
        let why = refused(&long);
        assert!(why.contains("252 bytes; at most 240"), "{why}");

        let blocked = file("w.duckdb");
        std::fs::create_dir(file("w.duckdb.wal")).expect("made");
        assert!(!commits(&blocked), "DuckDB can do it now");
        let why = refused(&blocked);
        assert!(why.contains("w.duckdb.wal: it is not a file"), "{why}");
        assert!(refused(folder.path()).contains("it is a folder"));

        let longest = file(&"v".repeat(240));
        check(&longest).expect("taken");
        assert!(commits(&longest));
        // The log of a warehouse that was not closed exists already.
        std::fs::write(file("u.duckdb.wal"), "").expect("written");
        check(&file("u.duckdb")).expect("taken");
    }
}
