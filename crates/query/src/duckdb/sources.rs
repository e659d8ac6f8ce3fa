//! Prepares the objects that a statement reads by name.
//!
//! A source is a temporary view over its file. While a statement is bound to find out what it reads, the view selects from an empty table
//! with the same columns instead. The plan then shows the source by name, and a file that the statement reads in any other way is noticed.

use super::control::Control;
use super::errors::engine_error;
use super::statements::{literal, quote};
use super::{csv, depth, json_source};
use crate::engine::{EngineError, Source};
use crate::format::Format;
use crate::lineage::SourceRead;
use duckdb::Connection;
use std::collections::BTreeMap;
use std::path::Path;

/// Limits for inspecting sources.
pub(super) struct Bounds<'a> {
    /// Reports when the work is stopped.
    pub(super) control: &'a Control,
    /// The most bytes of a copy of a source.
    pub(super) copy_bytes_max: u64,
}

/// A source that is ready to be read.
pub(super) struct PreparedSource {
    pub(super) name: String,
    /// The query that reads its file.
    query: String,
    /// The empty table in its place, in the catalog of temporary objects.
    pub(super) stand_in: String,
    pub(super) file: String,
    pub(super) row_count: Option<u64>,
}

impl PreparedSource {
    /// Whether SQL refers to the source with this name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The query that reads it, without the file and the column names.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn how(&self) -> &str {
        let how = self.query.split_once(", ").map_or("", |(_, how)| how);
        how.split_once(", columns =").map_or(how, |(how, _)| how)
    }

    /// The source in the lineage of a statement that read it.
    pub(super) fn read(&self) -> SourceRead {
        SourceRead {
            name: self.name.clone(),
            row_count: self.row_count,
        }
    }
}

/// The largest text whose rows are counted; counting a larger one would delay its Command. Parquet stores its row count.
const COUNT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// DuckDB treats a file name with one of these characters as a pattern, which could match another file.
const PATTERNS: [char; 3] = ['*', '?', '['];

/// A path as a literal in SQL.
fn path(file: &Path) -> Result<String, EngineError> {
    let text = file.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        EngineError::Unavailable(format!(
            "the folder of the sources, {}, is not in UTF-8; choose another data folder (PUDATO_DATA_DIR)",
            file.display()
        ))
    })
}

/// In SQL, names that differ only in the case of ASCII letters are the same. The later source would hide the earlier.
fn check_names(sources: &[Source]) -> Result<(), EngineError> {
    let mut seen = BTreeMap::new();
    for Source { name, .. } in sources {
        if let Some(other) = seen.insert(name.to_ascii_lowercase(), name) {
            return Err(EngineError::Invalid(format!(
                "payload.sources: {other:?} and {name:?} are the same name in SQL; rename one"
            )));
        }
    }
    Ok(())
}

/// Creates the views and their empty tables.
pub(super) fn prepare(
    connection: &Connection,
    sources: &[Source],
    bounds: &Bounds<'_>,
) -> Result<Vec<PreparedSource>, EngineError> {
    check_names(sources)?;
    // Unique names, in the order of the sources, which is also that of lineage.
    let own = uuid::Uuid::new_v4().simple();
    let prepared = sources.iter().enumerate().map(|(n, source)| {
        let file = path(&source.file)?;
        let wrong = |error: EngineError| match error {
            EngineError::Invalid(text) => {
                // The line in DuckDB's message is not from the user's SQL.
                let text = text.split("\n\nLINE ").next().unwrap_or_default();
                let text = text.trim_start_matches("payload.sql: ");
                EngineError::Invalid(format!(
                    "payload.sources.{}: {}",
                    source.name,
                    text.replace(&file, "the object")
                ))
            }
            other => other,
        };
        depth::check(&source.file, source.format).map_err(wrong)?;
        let Text { query, rows } = reader(connection, source, &file, bounds).map_err(wrong)?;
        let is_small =
            std::fs::metadata(&source.file).is_ok_and(|file| file.len() <= COUNT_BYTES_MAX);
        let row_count = if is_small || source.format == Format::Parquet {
            let count = format!("SELECT system.main.count(*) FROM ({query})");
            let count = connection
                .query_row(&count, [], |row| row.get(0))
                .map_err(engine_error);
            Some(count.map_err(wrong)?)
        } else {
            rows
        };
        if let (Some(rows), Some(counted)) = (rows, row_count)
            && rows != counted
        {
            return Err(wrong(EngineError::Invalid(format!(
                "it has {rows} rows, of which DuckDB reads {counted}; describe the file with `options`, and report this"
            ))));
        }
        let prepared = PreparedSource {
            name: source.name.clone(),
            query,
            stand_in: format!("pudato_source_{own}_{n:04}"),
            file: file.clone(),
            row_count,
        };
        let table = format!(
            "CREATE TEMP TABLE {} AS SELECT * FROM ({}) LIMIT 0",
            quote(&prepared.stand_in),
            prepared.query
        );
        connection
            .execute_batch(&table)
            .map_err(engine_error)
            .map_err(wrong)?;
        Ok(prepared)
    });
    prepared.collect()
}

/// Points every view to its empty table.
pub(super) fn stand_in(
    connection: &Connection,
    sources: &[PreparedSource],
) -> Result<(), EngineError> {
    views(connection, sources, |source| {
        format!("SELECT * FROM temp.main.{}", quote(&source.stand_in))
    })
}

/// Points every view to its file.
pub(super) fn reveal(
    connection: &Connection,
    sources: &[PreparedSource],
) -> Result<(), EngineError> {
    views(connection, sources, |source| source.query.clone())
}

fn views(
    connection: &Connection,
    sources: &[PreparedSource],
    query: impl Fn(&PreparedSource) -> String,
) -> Result<(), EngineError> {
    let views = sources.iter();
    let views = views.map(|source| {
        format!(
            "CREATE OR REPLACE TEMP VIEW {} AS {};",
            quote(&source.name),
            query(source)
        )
    });
    let views: String = views.collect();
    if views.is_empty() {
        return Ok(());
    }
    connection.execute_batch(&views).map_err(engine_error)
}

/// How a file is read, and its row count if pudato counted it.
struct Text {
    query: String,
    rows: Option<u64>,
}

fn reader(
    connection: &Connection,
    source: &Source,
    file: &str,
    bounds: &Bounds<'_>,
) -> Result<Text, EngineError> {
    if let Some(pattern) = file.find(PATTERNS) {
        return Err(EngineError::Unavailable(format!(
            "the folder of the sources has the character {:?} in its path, which DuckDB reads as a pattern; choose another \
             data folder (PUDATO_DATA_DIR)",
            &file[pattern..=pattern]
        )));
    }
    let name = literal(file);
    let query = match source.format {
        Format::Csv | Format::Tsv => {
            let delimiter = (source.format == Format::Tsv).then_some(b'\t');
            let read = csv::reader(
                connection,
                &source.file,
                file,
                &source.options,
                delimiter,
                bounds,
            )?;
            return Ok(Text {
                query: read.query,
                rows: Some(read.rows),
            });
        }
        Format::Parquet => {
            format!("SELECT * FROM system.main.read_parquet({name}, hive_partitioning = false)")
        }
        Format::Json | Format::Jsonl => {
            json_source::query(connection, &source.file, &name, source.format, bounds)?
        }
    };
    Ok(Text { query, rows: None })
}
