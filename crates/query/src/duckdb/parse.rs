//! DuckDB's own parser, by the C interface: the Rust crate runs all but the last statement of a text while it prepares it, and
//! does not say how many there were.

#![expect(unsafe_code, reason = "calls DuckDB's C interface")]

use duckdb::ffi;
use std::ffi::{CStr, CString};
use std::sync::{LazyLock, Mutex, PoisonError};

/// A database in memory that never holds anything: it only parses.
struct Parser {
    database: ffi::duckdb_database,
    connection: ffi::duckdb_connection,
}

// SAFETY: the two handles are used under the mutex below only, by one thread at a time, which DuckDB asks for.
unsafe impl Send for Parser {}

static PARSER: LazyLock<Mutex<Option<Parser>>> = LazyLock::new(|| Mutex::new(Parser::open()));

impl Parser {
    fn open() -> Option<Self> {
        let mut database: ffi::duckdb_database = std::ptr::null_mut();
        let mut connection: ffi::duckdb_connection = std::ptr::null_mut();
        // SAFETY: a null path opens a database in memory; both handles are checked before they are used.
        unsafe {
            if ffi::duckdb_open(std::ptr::null(), &raw mut database) != ffi::DuckDBSuccess {
                return None;
            }
            if ffi::duckdb_connect(database, &raw mut connection) != ffi::DuckDBSuccess {
                ffi::duckdb_close(&raw mut database);
                return None;
            }
        }
        Some(Self {
            database,
            connection,
        })
    }

    fn count(&self, sql: &CStr) -> Result<u64, String> {
        let mut extracted: ffi::duckdb_extracted_statements = std::ptr::null_mut();
        // SAFETY: the connection is open and `sql` ends with NUL; what was extracted is destroyed in every case.
        unsafe {
            let count =
                ffi::duckdb_extract_statements(self.connection, sql.as_ptr(), &raw mut extracted);
            let error = ffi::duckdb_extract_statements_error(extracted);
            let error = (count == 0 && !error.is_null())
                .then(|| CStr::from_ptr(error).to_string_lossy().into_owned())
                .filter(|error| !error.is_empty());
            ffi::duckdb_destroy_extracted(&raw mut extracted);
            error.map_or(Ok(count), Err)
        }
    }
}

impl Drop for Parser {
    fn drop(&mut self) {
        // SAFETY: both handles were opened together and nothing else has them.
        unsafe {
            ffi::duckdb_disconnect(&raw mut self.connection);
            ffi::duckdb_close(&raw mut self.database);
        }
    }
}

fn with<T>(sql: &str, use_it: impl FnOnce(&Parser, &CStr) -> T) -> Result<T, String> {
    let sql = CString::new(sql).map_err(|_| "expected SQL without the character NUL".to_owned())?;
    let parser = PARSER.lock().unwrap_or_else(PoisonError::into_inner);
    match &*parser {
        Some(parser) => Ok(use_it(parser, &sql)),
        None => Err("DuckDB's parser cannot be started".into()),
    }
}

/// How many statements `sql` is.
///
/// # Errors
/// DuckDB's own text: it cannot be parsed.
pub(super) fn count(sql: &str) -> Result<u64, String> {
    with(sql, |parser, sql| parser.count(sql))?
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn statements_are_counted_as_duckdb_reads_them() {
        assert_eq!(count("select 1"), Ok(1));
        assert_eq!(count("select 1; drop table t"), Ok(2));
        assert_eq!(count("select ';' -- ; drop table t"), Ok(1));
        assert_eq!(count("-- nothing"), Ok(0));
        assert!(count("selec 1").unwrap_err().contains("syntax error"));
    }
}
