//! Runs one statement and fetches its answer.

use super::bind;
use super::control::Control;
use super::errors::engine_error;
use super::json::{self, Shape};
use super::rows::Rows;
use super::statements::{Kind, literal, quote};
use super::types;
use super::written::FileRows;
use super::{parquet, parse};
use crate::engine::{Answer, Column, EngineError};
use crate::format::Format;
use crate::parameters::Parameters;
use duckdb::arrow::array::Array;
use duckdb::core::LogicalTypeHandle;
use duckdb::types::Type;
use duckdb::{Connection, Error, Statement, params_from_iter};
use std::collections::BTreeSet;
use std::path::Path;

/// The outcome of a statement.
pub(super) struct Fetched {
    pub(super) answer: Answer,
    /// The number of rows that it changed, or returned with RETURNING.
    pub(super) changed: u64,
}

/// A statement to run.
pub(super) struct Fetch<'a, 'r> {
    pub(super) connection: &'a Connection,
    pub(super) parameters: &'a Parameters,
    pub(super) used: &'r mut BTreeSet<String>,
    pub(super) control: &'a Control,
    pub(super) rows_max: usize,
    /// Receives the rows; `None` if they are not wanted.
    pub(super) taken_by: Option<&'r mut (dyn Rows + 'a)>,
}

impl<'a> Fetch<'a, '_> {
    /// Runs the statement and fetches its rows.
    pub(super) fn rows(
        &mut self,
        sql: &str,
        kind: Kind,
        expands: bool,
    ) -> Result<Fetched, EngineError> {
        let mut prepared = self.start(sql, expands)?;
        let schema = prepared.schema();
        let fields = schema.fields().iter().enumerate();
        let logical: Vec<_> = fields
            .map(|(n, field)| (field, prepared.column_logical_type(n)))
            .collect();
        let columns = logical.iter().map(|(field, logical)| Column {
            name: field.name().clone(),
            r#type: types::text(logical, Some(field.data_type()), false),
        });
        let columns: Vec<Column> = columns.collect();
        let casts: Vec<Option<String>> = logical
            .iter()
            .map(|(_, logical)| types::cast(logical))
            .collect();
        let logical = logical.into_iter().map(|(_, logical)| logical);
        let mut shapes = shapes(&columns, logical)?;
        if let Some(n) = casts.iter().position(Option::is_some) {
            if kind != Kind::Query {
                let Column { name, r#type } = &columns[n];
                return Err(EngineError::Invalid(format!(
                    "payload.sql: the column {name} has the type {type}, which only a query can return; cast it to VARCHAR"
                )));
            }
            drop(prepared);
            prepared = self.start(&readable(sql, &casts), expands)?;
            let logical = (0..columns.len()).map(|n| prepared.column_logical_type(n));
            shapes = self::shapes(&columns, logical)?;
        }
        self.take(&prepared, columns, shapes, kind)
    }

    fn start(&mut self, sql: &str, expands: bool) -> Result<Statement<'a>, EngineError> {
        let mut prepared = parse::prepare(self.connection, sql, expands)?;
        let values = bind::values(&prepared, self.parameters, self.used)?;
        // Rows are produced while they are fetched, so a huge answer is never complete in memory.
        let started = prepared.stream_arrow(params_from_iter(values)).map(|_| ());
        started.map_err(|error| match is_variant(&error) {
            true => EngineError::Invalid(
                "payload.sql: a column of the type VARIANT cannot be returned; cast it to JSON"
                    .into(),
            ),
            false => engine_error(error),
        })?;
        Ok(prepared)
    }

    fn take(
        &mut self,
        prepared: &Statement<'_>,
        columns: Vec<Column>,
        shapes: Vec<Shape>,
        kind: Kind,
    ) -> Result<Fetched, EngineError> {
        let is_count =
            !kind.is_read() && matches!(&columns[..], [column] if column.name == "Count");
        let count_shape = shapes.first().cloned();
        if let Some(taken_by) = &mut self.taken_by {
            taken_by.columns(columns, shapes)?;
        }
        let (mut taken, mut seen, mut truncated) = (0, 0_u64, false);
        let must_drain = !kind.is_read();
        let mut count = None;
        while let Some(batch) = prepared.step().map_err(engine_error)? {
            self.control.check()?;
            seen += batch.len() as u64;
            if let (true, Some(shape)) = (is_count && batch.len() == 1, &count_shape) {
                count = json::value(batch.column(0), 0, shape, &mut { usize::MAX })
                    .ok()
                    .and_then(|count| count.as_u64());
            }
            let room = self.rows_max - taken;
            truncated |= batch.len() > room;
            let take = batch.len().min(room);
            if let Some(taken_by) = &mut self.taken_by {
                taken_by.batch(&batch, take)?;
            }
            taken += take;
            if truncated && !must_drain {
                break;
            }
        }
        Ok(Fetched {
            changed: count.unwrap_or(seen),
            answer: Answer::Rows {
                columns: Vec::new(),
                rows: Vec::new(),
                truncated,
            },
        })
    }
}

/// Whether a query failed to start because of a VARIANT column, at any depth, which the Rust crate cannot read.
fn is_variant(error: &Error) -> bool {
    matches!(error, Error::FromSqlConversionFailure(_, Type::Variant, _))
}

/// How to read the values of each column.
fn shapes(
    columns: &[Column],
    types: impl Iterator<Item = LogicalTypeHandle>,
) -> Result<Vec<Shape>, EngineError> {
    let shapes = columns
        .iter()
        .zip(types)
        .map(|(Column { name, .. }, r#type)| {
            Shape::of(&r#type).ok_or_else(|| {
            EngineError::Invalid(format!(
                "payload.sql: the column {name} is nested too deeply for a message; cast it to JSON"
            ))
        })
        });
    shapes.collect()
}

/// The query with casts for columns that the Rust crate cannot read.
fn readable(sql: &str, casts: &[Option<String>]) -> String {
    let columns = casts.iter().enumerate().map(|(n, cast)| match cast {
        Some(r#type) => format!("CAST(#{} AS {type})", n + 1),
        None => format!("#{}", n + 1),
    });
    let columns: Vec<String> = columns.collect();
    format!("SELECT {} FROM ({sql}\n)", columns.join(", "))
}

/// Runs a query and writes its answer into `file`.
pub(super) fn into_file(
    fetch: Fetch<'_, '_>,
    sql: &str,
    expands: bool,
    file: &Path,
    format: Format,
) -> Result<Fetched, EngineError> {
    if format == Format::Parquet {
        return into_parquet(fetch, sql, expands, file);
    }
    let mut rows = FileRows::new(file, format)?;
    let fetched = Fetch {
        taken_by: Some(&mut rows),
        used: &mut *fetch.used,
        ..fetch
    }
    .rows(sql, Kind::Query, expands);
    fetched?;
    written(rows.close()?)
}

fn written(row_count: u64) -> Result<Fetched, EngineError> {
    Ok(Fetched {
        answer: Answer::File { row_count },
        changed: row_count,
    })
}

fn into_parquet(
    fetch: Fetch<'_, '_>,
    sql: &str,
    expands: bool,
    file: &Path,
) -> Result<Fetched, EngineError> {
    let Fetch {
        connection,
        parameters,
        used,
        ..
    } = fetch;
    let put_aside;
    let sql = match expands {
        true => {
            put_aside = put_aside_answer(connection, sql, parameters, used)?;
            put_aside.as_str()
        }
        false => sql,
    };
    let sql = parquet_columns(connection, sql, parameters, used)?;
    let file = literal(&file.display().to_string());
    let copy = format!("COPY ({sql}\n) TO {file} (FORMAT parquet, COMPRESSION zstd)");
    let mut prepared = parse::prepare(connection, &copy, false)?;
    let values = bind::values(&prepared, parameters, used)?;
    let failed = |error| parquet::refusal(engine_error(error));
    let mut rows = prepared.query(params_from_iter(values)).map_err(failed)?;
    let row = rows.next().map_err(failed)?;
    let row_count = row
        .map(|row| row.get::<_, u64>(0))
        .transpose()
        .map_err(engine_error)?;
    written(row_count.unwrap_or(0))
}

/// The query with casts for columns that Parquet would change.
fn parquet_columns(
    connection: &Connection,
    sql: &str,
    parameters: &Parameters,
    used: &mut BTreeSet<String>,
) -> Result<String, EngineError> {
    let probe = format!("SELECT * FROM ({sql}\n) LIMIT 0");
    let mut prepared = parse::prepare(connection, &probe, false)?;
    let values = bind::values(&prepared, parameters, used)?;
    // It returns no rows, but makes the column types known.
    let rows = prepared.stream_arrow(params_from_iter(values));
    rows.map(drop).map_err(|error| match is_variant(&error) {
        true => EngineError::Invalid(
            "payload.into: a column is a VARIANT, which other programs cannot read; cast it to JSON".into(),
        ),
        false => engine_error(error),
    })?;
    let names = prepared.column_names();
    let (mut columns, mut is_changed) = (Vec::new(), false);
    for (n, name) in names.iter().enumerate() {
        let r#type = prepared.column_logical_type(n);
        let cast = parquet::cast(&r#type).map_err(|why| {
            EngineError::Invalid(format!("payload.into: the column {name} is {why}"))
        })?;
        let mut column = format!("#{}", n + 1);
        let misread = parquet::misread(&r#type, &column);
        is_changed |= cast.is_some() || misread.is_some();
        if let Some(r#type) = cast {
            column = format!("CAST({column} AS {type})");
        }
        if let Some((condition, why)) = misread {
            let error = literal(&format!("{}{name} has {why}", parquet::REFUSAL));
            column = format!("CASE WHEN {condition} THEN error({error}) ELSE {column} END");
        }
        columns.push(format!("{column} AS {}", quote(name)));
    }
    Ok(match is_changed {
        true => format!("SELECT {} FROM ({sql}\n)", columns.join(", ")),
        false => sql.to_owned(),
    })
}

/// Runs a query that DuckDB expands, and stores its answer in a table, because DuckDB does not report how many rows such a query wrote into
/// a file. Returns the query that reads the table.
fn put_aside_answer(
    connection: &Connection,
    sql: &str,
    parameters: &Parameters,
    used: &mut BTreeSet<String>,
) -> Result<String, EngineError> {
    let name = format!("pudato_answer_{}", uuid::Uuid::new_v4().simple());
    let make = format!("CREATE TEMP TABLE {} AS ({sql}\n)", quote(&name));
    let mut prepared = parse::prepare(connection, &make, true)?;
    let values = bind::values(&prepared, parameters, used)?;
    prepared
        .execute(params_from_iter(values))
        .map_err(engine_error)?;
    Ok(format!("SELECT * FROM temp.main.{}", quote(&name)))
}
