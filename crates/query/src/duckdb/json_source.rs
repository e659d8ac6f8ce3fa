//! Reads JSON sources without rounding numbers or guessing dates.

use super::errors::engine_error;
use super::sources::Bounds;
use super::statements::{literal, quote};
use super::{depth, numbers, types};
use crate::engine::EngineError;
use crate::format::Format;
use duckdb::Connection;
use duckdb::core::LogicalTypeId;
use std::collections::BTreeSet;
use std::path::Path;

/// The query that reads `file`, whose path in SQL is the literal `name`.
///
/// # Errors
/// `Invalid`: DuckDB would change a number, or cannot read the file.
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
    // Without a format, DuckDB 1.5.6 tries six, and reads `01-02-2026` as a day in February.
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
        let columns = columns(connection, &query, &BTreeSet::new())?.into_iter();
        Ok(columns
            .map(|(_, r#type)| r#type)
            .collect::<Vec<_>>()
            .join(", "))
    })?;
    if looked_at.odd_moments.is_empty() {
        return Ok(query);
    }
    let columns = columns(connection, &query, &looked_at.odd_moments)?.into_iter();
    let columns = columns.map(|(name, r#type)| format!("{} := {}", quote(&name), literal(&r#type)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    Ok(read(&format!(
        ", columns = system.main.struct_pack({columns})"
    )))
}

/// The columns of a query with their types, with VARCHAR in place of DATE, TIME and TIMESTAMP for the columns in `odd`; for all columns, if
/// one in `odd` is not the plain name of a column.
fn columns(
    connection: &Connection,
    query: &str,
    odd: &BTreeSet<Vec<u8>>,
) -> Result<Vec<(String, String)>, EngineError> {
    let mut prepared = connection
        .prepare(&format!("{query} LIMIT 0"))
        .map_err(engine_error)?;
    // The columns are known after it has run.
    drop(prepared.query([]).map_err(engine_error)?);
    let is_moment = |id| {
        matches!(
            id,
            LogicalTypeId::Date | LogicalTypeId::Time | LogicalTypeId::Timestamp
        )
    };
    let instead = |id| is_moment(id).then_some("VARCHAR");
    let names = prepared.column_names();
    let is_name = |key: &Vec<u8>| names.iter().any(|name| name.as_bytes() == key);
    let are_all = !odd.iter().all(is_name);
    let columns = names.iter().enumerate().map(|(n, name)| {
        let r#type = prepared.column_logical_type(n);
        let is_odd = are_all || odd.contains(name.as_bytes());
        let r#type = types::with_others(&r#type, &|id| instead(id).filter(|_| is_odd));
        (name.clone(), r#type)
    });
    Ok(columns.collect())
}
