//! How JSON is read: no number is rounded, and no date is guessed.

use super::errors::engine_error;
use super::sources::Bounds;
use super::statements::{literal, quote};
use super::{depth, numbers, types};
use crate::engine::EngineError;
use crate::format::Format;
use duckdb::Connection;
use duckdb::core::LogicalTypeId;
use std::path::Path;

/// The query that reads `file`, whose path in SQL is the literal `name`.
///
/// # Errors
/// `Invalid`: DuckDB would change a number, or cannot read it.
pub(super) fn query(
    connection: &Connection,
    file: &Path,
    name: &str,
    format: Format,
    bounds: &Bounds<'_>,
) -> Result<String, EngineError> {
    let lines = match format {
        Format::Jsonl => "format = 'newline_delimited', ",
        _ => "",
    };
    // Without a format DuckDB 1.5.6 tries six, and takes `01-02-2026` for a day in February.
    let read = |columns: &str| {
        format!(
            "SELECT * FROM system.main.read_json({name}, {lines}sample_size = -1, maximum_depth = {}, hive_partitioning = false, \
             dateformat = '%Y-%m-%d'{columns})",
            depth::DEPTH_MAX
        )
    };
    let query = read("");
    let looked_at = numbers::look(file, bounds.control)?;
    looked_at.check(|| {
        let columns = columns(connection, &query, false)?.into_iter();
        Ok(columns
            .map(|(_, r#type)| r#type)
            .collect::<Vec<_>>()
            .join(", "))
    })?;
    if !looked_at.has_odd_moment {
        return Ok(query);
    }
    let columns = columns(connection, &query, true)?.into_iter();
    let columns = columns.map(|(name, r#type)| format!("{} := {}", quote(&name), literal(&r#type)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    Ok(read(&format!(
        ", columns = system.main.struct_pack({columns})"
    )))
}

/// The columns of a query with their types, with VARCHAR in the place of DATE, TIME and TIMESTAMP where `moments_are_texts`.
fn columns(
    connection: &Connection,
    query: &str,
    moments_are_texts: bool,
) -> Result<Vec<(String, String)>, EngineError> {
    let mut prepared = connection
        .prepare(&format!("{query} LIMIT 0"))
        .map_err(engine_error)?;
    // The columns are known once it has run.
    drop(prepared.query([]).map_err(engine_error)?);
    let is_moment = |id| {
        matches!(
            id,
            LogicalTypeId::Date | LogicalTypeId::Time | LogicalTypeId::Timestamp
        )
    };
    let instead = |id| (moments_are_texts && is_moment(id)).then_some("VARCHAR");
    let names = prepared.column_names().into_iter().enumerate();
    let columns = names.map(|(n, name)| {
        let r#type = prepared.column_logical_type(n);
        (name, types::with_others(&r#type, &instead))
    });
    Ok(columns.collect())
}
