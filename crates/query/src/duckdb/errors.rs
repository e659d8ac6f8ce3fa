//! What DuckDB's errors mean. The one place that reads their texts.

use crate::engine::EngineError;
use duckdb::Error;

/// Beginnings of DuckDB's messages that tell of bad luck: two transactions changed the same rows or tables.
const COLLISIONS: [&str; 2] = ["TransactionContext Error", "Transaction conflict"];

/// Parts of those that tell of a query that would write.
const READ_ONLY: [&str; 2] = [
    "transaction is launched in read-only mode",
    "attached in read-only mode",
];

/// DuckDB's text of an error.
pub(super) fn text(error: &Error) -> String {
    match error {
        Error::DuckDBFailure(_, Some(text)) => text.clone(),
        other => other.to_string(),
    }
}

/// The error as the port tells it.
pub(super) fn engine_error(error: Error) -> EngineError {
    let text = text(&error);
    if READ_ONLY.iter().any(|part| text.contains(part)) {
        return EngineError::Invalid(format!(
            "payload.sql: a query changes nothing; write with a statement of its own, e.g. INSERT: {text}"
        ));
    }
    if COLLISIONS.iter().any(|begin| text.contains(begin)) {
        return EngineError::Retry(format!("another statement changed the same data: {text}"));
    }
    if text.contains("Could not set lock on file") {
        return EngineError::Unavailable(format!(
            "the warehouse is open in another process: {text}"
        ));
    }
    if text.starts_with("IO Error")
        && (text.contains("No space left") || text.contains("Input/output error"))
    {
        return EngineError::Unavailable(format!("the warehouse cannot be written: {text}"));
    }
    if text.starts_with("INTERNAL Error") || text.starts_with("FATAL Error") {
        return EngineError::Unavailable(format!("DuckDB failed: {text}"));
    }
    if text.contains("disabled by configuration") || text.contains("disabled through configuration")
    {
        return EngineError::Invalid(format!(
            "payload.sql: SQL reads the warehouse and the Command's `sources` only: {text}"
        ));
    }
    EngineError::Invalid(format!("payload.sql: {text}"))
}
