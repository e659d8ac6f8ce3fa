//! Uses DuckDB's own parser through the C interface. The Rust crate runs all but the last statement of a text while it prepares it, and
//! does not report how many there were, so all SQL of users goes through [`prepare`].

#![expect(unsafe_code, reason = "calls DuckDB's C interface")]

use super::errors::engine_error;
use crate::engine::EngineError;
use duckdb::{Connection, Statement, ffi};
use std::ffi::{CStr, CString};
use std::sync::{LazyLock, Mutex, PoisonError};

/// An empty database in memory, which only parses.
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
        let mut config: ffi::duckdb_config = std::ptr::null_mut();
        // SAFETY: a null path opens a database in memory; every handle is checked before it is used, and the config is
        // destroyed in every case.
        unsafe {
            if ffi::duckdb_create_config(&raw mut config) != ffi::DuckDBSuccess {
                return None;
            }
            let options = [
                // DuckDB reads the files of an IMPORT while it parses it.
                (c"enable_external_access", c"false"),
                // Each statement would wake all threads, and parsing needs none.
                (c"threads", c"1"),
            ];
            let is_set = options.iter().all(|(name, value)| {
                ffi::duckdb_set_config(config, name.as_ptr(), value.as_ptr()) == ffi::DuckDBSuccess
            });
            let opened = ffi::duckdb_open_ext(
                std::ptr::null(),
                &raw mut database,
                config,
                std::ptr::null_mut(),
            );
            ffi::duckdb_destroy_config(&raw mut config);
            if !is_set || opened != ffi::DuckDBSuccess {
                ffi::duckdb_close(&raw mut database);
                return None;
            }
            if ffi::duckdb_connect(database, &raw mut connection) != ffi::DuckDBSuccess {
                ffi::duckdb_close(&raw mut database);
                return None;
            }
        }
        let parser = Self {
            database,
            connection,
        };
        // As in a work: outside of a transaction, DuckDB adds one to some statements.
        parser.run(c"BEGIN TRANSACTION");
        Some(parser)
    }

    fn count(&self, sql: &CStr) -> Result<u64, String> {
        let mut extracted: ffi::duckdb_extracted_statements = std::ptr::null_mut();
        // SAFETY: the connection is open and `sql` ends with NUL; what was extracted is destroyed in every case.
        let counted = unsafe {
            let count =
                ffi::duckdb_extract_statements(self.connection, sql.as_ptr(), &raw mut extracted);
            let error = ffi::duckdb_extract_statements_error(extracted);
            let error = (count == 0 && !error.is_null())
                .then(|| CStr::from_ptr(error).to_string_lossy().into_owned())
                .filter(|error| !error.is_empty());
            ffi::duckdb_destroy_extracted(&raw mut extracted);
            error.map_or(Ok(count), Err)
        };
        if counted.is_err() {
            // The next call is in a transaction, whatever became of this one.
            self.run(c"ROLLBACK");
            self.run(c"BEGIN TRANSACTION");
        }
        counted
    }

    /// Runs a statement without an answer.
    fn run(&self, sql: &CStr) {
        // SAFETY: the connection is open, `sql` ends with NUL, and no result is asked for.
        unsafe {
            ffi::duckdb_query(self.connection, sql.as_ptr(), std::ptr::null_mut());
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

/// Counts the statements of `sql`, within a transaction.
///
/// # Errors
/// DuckDB's error if the text cannot be parsed.
pub(super) fn count(sql: &str) -> Result<u64, String> {
    with(sql, |parser, sql| parser.count(sql))?
}

/// Whether `sql` is one query as written: DuckDB makes several statements of a PIVOT without a list of values. A complete query cannot
/// close the parenthesis in front of it, and within parentheses a semicolon is a syntax error, as is anything but a query.
pub(super) fn is_one_query(sql: &str) -> bool {
    count(sql).is_ok() && count(&format!("SELECT * FROM ({sql}\n)")).is_ok()
}

/// Prepares `sql`, which must be one statement. It may be several only if `expands` says that it contains a query that DuckDB expands
/// ([`is_one_query`]), because all but the last of them run now.
///
/// # Errors
/// `Invalid`: it is not one statement, or DuckDB cannot prepare it.
pub(super) fn prepare<'c>(
    connection: &'c Connection,
    sql: &str,
    expands: bool,
) -> Result<Statement<'c>, EngineError> {
    let count =
        count(sql).map_err(|error| EngineError::Invalid(format!("payload.sql: {error}")))?;
    if count != 1 && !expands {
        return Err(EngineError::Invalid(format!(
            "payload.sql: expected one statement, found {count}"
        )));
    }
    connection.prepare(sql).map_err(engine_error)
}

/// DuckDB's classification of a statement.
#[cfg(any(test, feature = "fuzzing"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Select,
    Explain,
    Other,
    /// The statement cannot be prepared, e.g. because its tables do not exist.
    NotKnown,
}

/// The classification of each statement of `sql`, with tables `t` and `u` that have the columns `a` and `b`.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn does(sql: &str) -> Vec<Does> {
    static WITH_TABLES: LazyLock<Mutex<Option<Parser>>> = LazyLock::new(|| {
        let parser = Parser::open();
        if let Some(parser) = &parser {
            parser.run(c"CREATE TABLE t (a INTEGER, b VARCHAR); CREATE TABLE u (a INTEGER, b VARCHAR); CREATE SEQUENCE s; COMMIT");
        }
        Mutex::new(parser)
    });
    let parser = WITH_TABLES.lock().unwrap_or_else(PoisonError::into_inner);
    match (&*parser, CString::new(sql)) {
        (Some(parser), Ok(sql)) => parser.does(&sql),
        _ => Vec::new(),
    }
}

#[cfg(any(test, feature = "fuzzing"))]
impl Parser {
    fn does(&self, sql: &CStr) -> Vec<Does> {
        self.run(c"BEGIN TRANSACTION");
        let mut extracted: ffi::duckdb_extracted_statements = std::ptr::null_mut();
        // SAFETY: the connection is open, `sql` ends with NUL, the index is below the count, and whatever was made is destroyed.
        let does = unsafe {
            let count =
                ffi::duckdb_extract_statements(self.connection, sql.as_ptr(), &raw mut extracted);
            let does = (0..count).map(|n| {
                let mut prepared: ffi::duckdb_prepared_statement = std::ptr::null_mut();
                let state = ffi::duckdb_prepare_extracted_statement(
                    self.connection,
                    extracted,
                    n,
                    &raw mut prepared,
                );
                // Asking for the type of a statement that could not be prepared makes DuckDB throw.
                let does = if state != ffi::DuckDBSuccess {
                    Does::NotKnown
                } else {
                    match ffi::duckdb_prepared_statement_type(prepared) {
                        ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_SELECT => Does::Select,
                        ffi::duckdb_statement_type_DUCKDB_STATEMENT_TYPE_EXPLAIN => Does::Explain,
                        _ => Does::Other,
                    }
                };
                ffi::duckdb_destroy_prepare(&raw mut prepared);
                does
            });
            let does = does.collect();
            ffi::duckdb_destroy_extracted(&raw mut extracted);
            does
        };
        self.run(c"ROLLBACK");
        does
    }
}

#[cfg(test)]
mod tests {
    use super::{Does, count, does, is_one_query};

    #[test]
    fn duckdb_tells_what_a_statement_does() {
        assert_eq!(
            does("FROM t; EXPLAIN FROM t; DELETE FROM t; FROM nowhere"),
            [Does::Select, Does::Explain, Does::Other, Does::NotKnown]
        );
        assert!(does("selec").is_empty());
    }

    #[test]
    fn statements_are_counted_as_duckdb_reads_them() {
        assert_eq!(count("select 1"), Ok(1));
        assert_eq!(count("select 1; drop table t"), Ok(2));
        assert_eq!(count("select ';' -- ; drop table t"), Ok(1));
        assert_eq!(count("-- nothing"), Ok(0));
        assert!(count("selec 1").unwrap_err().contains("syntax error"));
    }

    #[test]
    fn only_what_duckdb_expands_is_one_query_and_more_than_one_statement() {
        for query in [
            "PIVOT t ON a USING sum(b)",
            "SELECT * FROM (PIVOT t ON a) -- the end",
        ] {
            assert!(count(query).is_ok_and(|count| count > 1), "{query}");
            assert!(is_one_query(query), "{query}");
        }
        for several in [
            "SELECT 1; SELECT 2 AS pivot",
            "SELECT 1 AS pivot -- x\r; SELECT 2",
            "SELECT 1 AS \"PIVOT\"; DROP TABLE t",
            "SELECT 1); SELECT (2",
            "INSERT INTO t SELECT 1",
        ] {
            assert!(!is_one_query(several), "{several}");
        }
    }
}
