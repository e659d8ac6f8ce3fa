//! Reads CSV files.
//!
//! pudato reads the file first ([`examine`]): every line must have all fields, and no type may change a digit. Then DuckDB's sniffer
//! proposes the columns' names and types. It also proposes a statement (`Prompt`) that contains the file's own words without quotes; that
//! statement is never run. The query is built here, with every word of the file quoted.

mod examine;
mod plain;
mod scan;
mod values;

pub(super) use values::is_exact;

#[cfg(any(test, feature = "fuzzing"))]
use super::control::Control;
use super::errors::engine_error;
use super::sources::Bounds;
use super::statements::{literal, quote};
use crate::csv_options::CsvOptions;
use crate::engine::EngineError;
use duckdb::Connection;
use duckdb::types::Value;
use examine::Examined;
use scan::Dialect;
use std::path::Path;
#[cfg(any(test, feature = "fuzzing"))]
use std::time::Duration;

/// A CSV file that is ready to be read.
pub(super) struct Reader {
    /// The query that reads it.
    pub(super) query: String,
    /// The number of its rows.
    pub(super) rows: u64,
}

/// The longest line in bytes that DuckDB 1.5.6 reads by default.
const LINE_BYTES: usize = 2_000_000;

/// The result of the sniffer. A missing format means ISO 8601.
struct Found {
    columns: Vec<(String, String)>,
    date_format: Option<String>,
    timestamp_format: Option<String>,
}

impl Found {
    /// Reads the columns of a type, with or without a time zone, as text.
    fn leave_as_text(&mut self, r#type: &str) {
        for (_, own) in &mut self.columns {
            if own == r#type || own.starts_with(&format!("{type} ")) {
                "VARCHAR".clone_into(own);
            }
        }
    }
}

/// Prepares to read `file`, whose path in SQL is `name`; `delimiter` is that of its format, if it has one. Types are based on every row,
/// because the first 20,480, which is DuckDB's default, say nothing about later ones.
pub(super) fn reader(
    connection: &Connection,
    file: &Path,
    name: &str,
    options: &CsvOptions,
    delimiter: Option<u8>,
    bounds: &Bounds<'_>,
) -> Result<Reader, EngineError> {
    let examined = examine::examine(file, options, delimiter, bounds.control)?;
    let read = Read {
        connection,
        options,
        examined: &examined,
    };
    let own = Place {
        file: name.to_owned(),
        dialect: examined.dialect,
        skip: options.skip,
        is_copy: false,
    };
    // A copy, if DuckDB could read the file differently.
    let copy = || -> Result<Place, EngineError> {
        let copy = format!("{name}.plain.csv");
        // The copy distinguishes NULL from an empty text.
        plain::write(file, Path::new(&copy), options, &examined, bounds, |_| true)?;
        Ok(Place {
            file: copy,
            dialect: plain::DIALECT,
            skip: 0,
            is_copy: true,
        })
    };
    let place = if examined.is_odd { copy()? } else { own };
    let mut found = read.sniff(&place)?;
    read.name(&mut found)?;
    read.types(&mut found)?;
    // Only a text can be empty without being NULL. In a column of another type, an empty field means NULL.
    let has_empty = |is_text: bool| {
        let columns = found.columns.iter().zip(&examined.columns);
        let mut columns = columns.filter(|((_, r#type), _)| (r#type == "VARCHAR") == is_text);
        columns.any(|(_, values)| values.has_quoted_empty)
    };
    let keeps_empty = has_empty(true);
    let place = if keeps_empty && has_empty(false) {
        let copy = format!("{name}.plain.csv");
        let is_text = |n: usize| found.columns[n].1 == "VARCHAR";
        plain::write(file, Path::new(&copy), options, &examined, bounds, is_text)?;
        Place {
            file: copy,
            dialect: plain::DIALECT,
            skip: 0,
            is_copy: true,
        }
    } else {
        place
    };
    Ok(Reader {
        query: read.query(&place, &found, keeps_empty),
        rows: examined.rows,
    })
}

/// The detected delimiter and number of columns.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn found(file: &Path, delimiter: Option<u8>) -> Option<(u8, usize)> {
    let examined = examine::examine(
        file,
        &CsvOptions::default(),
        delimiter,
        &Control::new(Duration::MAX),
    )
    .ok()?;
    Some((examined.dialect.delimiter, examined.columns.len()))
}

/// The file to read, and its form.
struct Place {
    file: String,
    dialect: Dialect,
    skip: u64,
    is_copy: bool,
}

struct Read<'a> {
    connection: &'a Connection,
    options: &'a CsvOptions,
    examined: &'a Examined,
}

impl Read<'_> {
    /// The options for both the sniffer and the reader.
    fn said(&self, place: &Place) -> Vec<String> {
        let character = |byte: u8| literal(&char::from(byte).to_string());
        let mut said = vec![
            format!("delim = {}", character(place.dialect.delimiter)),
            format!("quote = {}", character(place.dialect.quote)),
            format!("escape = {}", character(place.dialect.escape)),
            format!("skip = {}", place.skip),
            format!("header = {}", self.options.has_header()),
            // A line that begins with # is not a comment.
            "comment = ''".to_owned(),
            // `strict_mode` keeps its default, which is true: if it is given together with CR LF line ends, DuckDB returns no rows.
            "hive_partitioning = false".to_owned(),
        ];
        if !self.options.nullstr.is_empty() {
            let nulls = self.options.nullstr.iter().map(|null| literal(null));
            let nulls: Vec<String> = std::iter::once("''".to_owned()).chain(nulls).collect();
            said.push(format!(
                "nullstr = system.main.list_value({})",
                nulls.join(", ")
            ));
        }
        if let Some(separator) = self.options.decimal_separator {
            said.push(format!("decimal_separator = {}", character(separator)));
        }
        if self.examined.record_bytes >= LINE_BYTES {
            // With every quote doubled, and all fields quoted.
            let line = self.examined.record_bytes * 2 + 1_024;
            said.push(format!(
                "max_line_size = {line}, buffer_size = {}",
                line * 4
            ));
        }
        said
    }

    /// The formats that the caller gave.
    fn formats(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let options = self.options;
        let formats = [
            ("dateformat", &options.dateformat),
            ("timestampformat", &options.timestampformat),
        ];
        formats
            .into_iter()
            .filter_map(|(name, format)| Some((name, format.as_ref()?)))
    }

    fn sniff(&self, place: &Place) -> Result<Found, EngineError> {
        let mut said = self.said(place);
        said.extend(
            self.formats()
                .map(|(name, format)| format!("{name} = {}", literal(format))),
        );
        let sql = format!(
            "SELECT Columns, DateFormat, TimestampFormat FROM system.main.sniff_csv({}, sample_size = -1, {})",
            literal(&place.file),
            said.join(", ")
        );
        let found = self.connection.query_row(&sql, [], |row| {
            let listed = row.get::<_, Value>(0)?;
            Ok((listed, row.get(1)?, row.get(2)?))
        });
        let (listed, date_format, timestamp_format) = found.map_err(engine_error)?;
        let columns = columns(&listed).filter(|found| found.len() == self.examined.columns.len());
        let columns = columns.ok_or_else(|| {
            EngineError::Invalid(
                "pudato cannot find the columns of the file; set `delimiter`".into(),
            )
        })?;
        Ok(Found {
            columns,
            date_format,
            timestamp_format,
        })
    }

    /// The names that the caller gave.
    fn name(&self, found: &mut Found) -> Result<(), EngineError> {
        let Some(names) = &self.options.columns else {
            return Ok(());
        };
        if names.len() != found.columns.len() {
            return Err(EngineError::Invalid(format!(
                "options.columns: expected {} names, because line 1 of the table has that many fields; found {}",
                found.columns.len(),
                names.len()
            )));
        }
        for ((own, _), name) in found.columns.iter_mut().zip(names) {
            own.clone_from(name);
        }
        Ok(())
    }

    /// Uses the types that the caller gave. Otherwise no type may change a value, and no date is guessed: only the caller knows whether
    /// `1/2/26` is in January or in February.
    fn types(&self, found: &mut Found) -> Result<(), EngineError> {
        let is_guess = |format: &Option<String>, said: &Option<String>| {
            said.is_none()
                && format
                    .as_ref()
                    .is_some_and(|found| !found.starts_with("%Y"))
        };
        if is_guess(&found.date_format, &self.options.dateformat) {
            found.leave_as_text("DATE");
            found.date_format = None;
        }
        if is_guess(&found.timestamp_format, &self.options.timestampformat) {
            found.leave_as_text("TIMESTAMP");
            found.timestamp_format = None;
        }
        for ((_, r#type), values) in found.columns.iter_mut().zip(&self.examined.columns) {
            *r#type = values.exact(r#type).into_owned();
        }
        for (name, r#type) in &self.options.types {
            let mut columns = found.columns.iter_mut();
            match columns.find(|(column, _)| column.eq_ignore_ascii_case(name)) {
                Some((_, own)) => own.clone_from(r#type),
                None => {
                    let names: Vec<&str> = found.columns.iter().map(|(name, _)| &**name).collect();
                    return Err(EngineError::Invalid(format!(
                        "options.types.{name}: there is no such column; expected some of {}",
                        names.join(", ")
                    )));
                }
            }
        }
        Ok(())
    }

    fn query(&self, place: &Place, found: &Found, keeps_empty: bool) -> String {
        let columns = found.columns.iter();
        let columns =
            columns.map(|(name, r#type)| format!("{} := {}", quote(name), literal(r#type)));
        let columns = columns.collect::<Vec<_>>().join(", ");
        let mut options = self.said(place);
        options.push("auto_detect = false".to_owned());
        options.push(format!("columns = system.main.struct_pack({columns})"));
        if keeps_empty {
            options.push("allow_quoted_nulls = false".to_owned());
        }
        let ends = self.examined.ends;
        let new_line = match place.is_copy {
            false if ends.both => "\\r\\n",
            false if ends.carriage_return => "\\r",
            _ => "\\n",
        };
        options.push(format!("new_line = {}", literal(new_line)));
        let formats = [
            ("dateformat", &found.date_format),
            ("timestampformat", &found.timestamp_format),
        ];
        for (option, format) in formats {
            let said = self.formats().find(|(name, _)| *name == option);
            let format = said.map(|(_, format)| format).or(format.as_ref());
            options.extend(format.map(|format| format!("{option} = {}", literal(format))));
        }
        let (file, options) = (literal(&place.file), options.join(", "));
        format!("SELECT * FROM system.main.read_csv({file}, {options})")
    }
}

/// Reads names and types from the sniffer's list.
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
