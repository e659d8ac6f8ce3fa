//! The objects that a statement reads by name.
//!
//! A source is a temporary view over its file. While a statement is bound to learn what it reads, the view stands for an empty
//! table of the same columns instead: the plan then names the source, and a file that it reads in another way shows.

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

/// What looking at sources may take.
pub(super) struct Bounds<'a> {
    /// Says when it is stopped.
    pub(super) control: &'a Control,
    /// Most bytes of a copy that is made of a source.
    pub(super) copy_bytes_max: u64,
}

/// A source that is ready to be read.
pub(super) struct Ready {
    pub(super) name: String,
    /// The query that reads its file.
    query: String,
    /// The table that stands for it, in the catalog of temporary objects.
    pub(super) stand_in: String,
    pub(super) file: String,
    pub(super) row_count: Option<u64>,
}

impl Ready {
    /// Whether SQL means it with this name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The query that reads it, without the file and the names of its columns.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn how(&self) -> &str {
        let how = self.query.split_once(", ").map_or("", |(_, how)| how);
        how.split_once(", columns =").map_or(how, |(how, _)| how)
    }

    /// How it stands in the lineage of a statement that read it.
    pub(super) fn read(&self) -> SourceRead {
        SourceRead {
            name: self.name.clone(),
            row_count: self.row_count,
        }
    }
}

/// A text up to this size is counted row by row; a larger one would hold up its Command. Parquet knows its rows.
const COUNT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// DuckDB reads the name of a file as a pattern where it has one of these: it could find the file of another.
const PATTERNS: [char; 3] = ['*', '?', '['];

/// A path as it stands in SQL.
fn path(file: &Path) -> Result<String, EngineError> {
    let text = file.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        EngineError::Unavailable(format!(
            "the folder of the sources, {}, is not in UTF-8; choose another data folder (PUDATO_DATA_DIR)",
            file.display()
        ))
    })
}

/// Two names that are the same but for the case of ASCII letters are one name in SQL: the later would stand for both.
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

/// Makes the stand-ins.
pub(super) fn prepare(
    connection: &Connection,
    sources: &[Source],
    bounds: &Bounds<'_>,
) -> Result<Vec<Ready>, EngineError> {
    check_names(sources)?;
    // Nobody else can have a table of such a name. In the order of the sources, as lineage tells them.
    let own = uuid::Uuid::new_v4().simple();
    let ready = sources.iter().enumerate().map(|(n, source)| {
        let file = path(&source.file)?;
        let wrong = |error: EngineError| match error {
            EngineError::Invalid(text) => {
                // The line that DuckDB shows is not the user's.
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
        let ready = Ready {
            name: source.name.clone(),
            query,
            stand_in: format!("pudato_source_{own}_{n:04}"),
            file: file.clone(),
            row_count,
        };
        let table = format!(
            "CREATE TEMP TABLE {} AS SELECT * FROM ({}) LIMIT 0",
            quote(&ready.stand_in),
            ready.query
        );
        connection
            .execute_batch(&table)
            .map_err(engine_error)
            .map_err(wrong)?;
        Ok(ready)
    });
    ready.collect()
}

/// Lets every name stand for its empty table.
pub(super) fn stand_in(connection: &Connection, sources: &[Ready]) -> Result<(), EngineError> {
    views(connection, sources, |source| {
        format!("SELECT * FROM temp.main.{}", quote(&source.stand_in))
    })
}

/// Lets every name stand for its file.
pub(super) fn reveal(connection: &Connection, sources: &[Ready]) -> Result<(), EngineError> {
    views(connection, sources, |source| source.query.clone())
}

fn views(
    connection: &Connection,
    sources: &[Ready],
    query: impl Fn(&Ready) -> String,
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

/// How a file is read, and its rows, where pudato has counted them.
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
