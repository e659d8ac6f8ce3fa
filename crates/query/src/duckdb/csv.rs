//! How a text in columns is read.
//!
//! DuckDB's sniffer looks at the whole file and tells what it found. It also proposes a statement (`Prompt`), in which the
//! file's own words stand unquoted: that one is never run. The query is made here, and each word of the file is quoted.

use super::errors::engine_error;
use super::statements::{literal, quote};
use crate::engine::EngineError;
use duckdb::Connection;
use duckdb::types::Value;

/// What the sniffer found in a file.
pub(super) struct Found {
    pub(super) delimiter: String,
    pub(super) quote: String,
    pub(super) escape: String,
    pub(super) new_line: String,
    pub(super) comment: String,
    pub(super) skip: u32,
    pub(super) has_header: bool,
    pub(super) columns: Vec<(String, String)>,
    date_format: Option<String>,
    timestamp_format: Option<String>,
}

/// How the sniffer writes "there is none".
const NONE: &str = "(empty)";

/// How it writes that lines end in more than one way, which cannot be said to the reader.
const MIXED: &str = "mix";

/// The query that reads `file`, with `delimiter` where it is known. Every row is looked at to learn the columns' types: the
/// first 20,480, which is DuckDB's default, do not tell what comes later.
pub(super) fn reader(
    connection: &Connection,
    file: &str,
    delimiter: Option<&str>,
) -> Result<String, EngineError> {
    let found = sniff(connection, file, delimiter)?;
    let columns = found.columns.iter();
    let columns = columns.map(|(name, r#type)| format!("{} := {}", quote(name), literal(r#type)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let mut options = vec![
        "auto_detect = false".to_owned(),
        "hive_partitioning = false".to_owned(),
        format!("delim = {}", literal(&found.delimiter)),
        format!("quote = {}", literal(&found.quote)),
        format!("escape = {}", literal(&found.escape)),
        format!("comment = {}", literal(&found.comment)),
        format!("skip = {}", found.skip),
        format!("header = {}", found.has_header),
        format!("columns = system.main.struct_pack({columns})"),
    ];
    if found.new_line != MIXED {
        options.push(format!("new_line = {}", literal(&found.new_line)));
    }
    let formats = [
        ("dateformat", found.date_format),
        ("timestampformat", found.timestamp_format),
    ];
    for (option, format) in formats {
        options.extend(format.map(|format| format!("{option} = {}", literal(&format))));
    }
    let (file, options) = (literal(file), options.join(", "));
    Ok(format!(
        "SELECT * FROM system.main.read_csv({file}, {options})"
    ))
}

pub(super) fn sniff(
    connection: &Connection,
    file: &str,
    delimiter: Option<&str>,
) -> Result<Found, EngineError> {
    let delimiter = delimiter.map(|delimiter| format!(", delim = {}", literal(delimiter)));
    let sql = format!(
        "SELECT Delimiter, Quote, Escape, NewLineDelimiter, Comment, SkipRows, HasHeader, Columns, DateFormat, TimestampFormat \
         FROM system.main.sniff_csv({}, sample_size = -1, header = true, hive_partitioning = false{})",
        literal(file),
        delimiter.unwrap_or_default()
    );
    let character = |text: String| if text == NONE { String::new() } else { text };
    let found = connection.query_row(&sql, [], |row| {
        Ok((
            Found {
                delimiter: character(row.get(0)?),
                quote: character(row.get(1)?),
                escape: character(row.get(2)?),
                new_line: row.get(3)?,
                comment: character(row.get(4)?),
                skip: row.get(5)?,
                has_header: row.get(6)?,
                columns: Vec::new(),
                date_format: row.get(8)?,
                timestamp_format: row.get(9)?,
            },
            row.get::<_, Value>(7)?,
        ))
    });
    let (mut found, listed) = found.map_err(engine_error)?;
    found.columns = columns(&listed).ok_or_else(|| {
        EngineError::Invalid("payload.sql: the columns of the file cannot be told".into())
    })?;
    Ok(found)
}

/// Names and types out of the sniffer's list.
fn columns(listed: &Value) -> Option<Vec<(String, String)>> {
    let Value::List(listed) = listed else {
        return None;
    };
    let text = |value: &Value| match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let column = |column: &Value| {
        let Value::Struct(column) = column else {
            return None;
        };
        let mut values = column.values();
        Some((text(values.next()?)?, text(values.next()?)?))
    };
    listed.iter().map(column).collect()
}
