//! Reads a whole CSV file once before DuckDB does: checks that every line has all fields, counts the rows, and collects the values'
//! properties for each column.

use super::scan::{Dialect, Ends, Record, Scanner, Wrong};
use super::values::Values;
use crate::csv_options::CsvOptions;
use crate::duckdb::control::Control;
use crate::duckdb::opened;
use crate::engine::EngineError;
use std::io::Read;
use std::path::Path;

/// The delimiters to try if none is given. The first that divides the beginning of the file evenly is used.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// The number of lines at the beginning to look at.
const BEGINNING: usize = 1_000;
/// The number of records between two checks for a cancellation.
const CHECK_EVERY: u64 = 1_024;

/// The result of reading a file.
#[derive(Debug)]
pub(super) struct Examined {
    pub(super) dialect: Dialect,
    /// The number of rows, without the header.
    pub(super) rows: u64,
    pub(super) columns: Vec<Values>,
    pub(super) ends: Ends,
    /// The size of the longest record in bytes.
    pub(super) record_bytes: usize,
    /// Whether DuckDB could read the file differently: it has another encoding, or quotes or empty lines in some places only.
    pub(super) is_odd: bool,
}

/// Reads the file. `delimiter` is that of its format, if it has one.
///
/// # Errors
/// `Invalid`: a line does not fit the table; the error names its number. `Unavailable`: the file cannot be read.
pub(super) fn examine(
    file: &Path,
    options: &CsvOptions,
    delimiter: Option<u8>,
    control: &Control,
) -> Result<Examined, EngineError> {
    let dialect = |delimiter| Dialect {
        delimiter,
        quote: options.quote(),
        escape: options.escape(),
    };
    let given = options.delimiter.or(delimiter);
    let chosen = match given {
        Some(delimiter) => delimiter,
        None => choose(file, options, dialect, control)?,
    };
    let mut table = Table::new(options, dialect(chosen));
    if given.is_none() {
        table.others = DELIMITERS
            .into_iter()
            .filter(|other| *other != chosen)
            .collect();
    }
    let read = each(file, options, dialect(chosen), control, |record, ends| {
        table.see(record, ends)
    });
    table.is_odd |= read.map_err(explain)?;
    table.finish()
}

/// Calls `see` with every record until it returns false. Returns whether the file has an encoding other than UTF-8.
pub(super) fn each(
    file: &Path,
    options: &CsvOptions,
    dialect: Dialect,
    control: &Control,
    mut see: impl FnMut(&Record, Ends) -> Result<bool, Wrong>,
) -> Result<bool, Wrong> {
    let opened = opened::open(file, options.encoding.as_deref()).map_err(Wrong::Read)?;
    let is_decoded = opened.is_decoded;
    let mut scanner: Scanner<Box<dyn Read>> = Scanner::new(opened.text, dialect);
    scanner.skip(options.skip)?;
    let mut record = Record::default();
    let mut records = 0_u64;
    while scanner.next(&mut record)? {
        if records.is_multiple_of(CHECK_EVERY) {
            control.check().map_err(Wrong::Stopped)?;
        }
        records += 1;
        if !see(&record, scanner.ends)? {
            break;
        }
    }
    Ok(is_decoded)
}

/// The delimiter that divides the beginning evenly into the most fields.
fn choose(
    file: &Path,
    options: &CsvOptions,
    dialect: impl Fn(u8) -> Dialect,
    control: &Control,
) -> Result<u8, EngineError> {
    let mut best = (0, 0, DELIMITERS[0]);
    for delimiter in DELIMITERS {
        let (mut seen, mut even, mut fields) = (0, 0, 0);
        let read = each(file, options, dialect(delimiter), control, |record, _| {
            if record.is_blank() {
                return Ok(true);
            }
            if seen == 0 {
                fields = record.len();
            }
            seen += 1;
            even += usize::from(record.len() == fields);
            Ok(seen < BEGINNING)
        });
        match read {
            Err(wrong @ (Wrong::Read(_) | Wrong::Stopped(_))) => return Err(explain(wrong)),
            // The error is returned after the whole file was read.
            Err(Wrong::Line(..)) => even = 0,
            Ok(_) => {}
        }
        // A text without the delimiter always has one field in each line, which proves nothing.
        let is_divided = fields > 1;
        let score = (
            if is_divided {
                even * 1_000 / seen.max(1)
            } else {
                0
            },
            fields,
        );
        if is_divided && score > (best.0, best.1) {
            best = (score.0, score.1, delimiter);
        }
    }
    Ok(best.2)
}

fn unreadable(error: &std::io::Error) -> EngineError {
    match error.kind() {
        std::io::ErrorKind::InvalidData
        | std::io::ErrorKind::UnexpectedEof
        | std::io::ErrorKind::InvalidInput
        | std::io::ErrorKind::Other => {
            EngineError::Invalid(format!("it cannot be unpacked or decoded: {error}"))
        }
        _ => EngineError::Unavailable(format!("a source cannot be read: {error}")),
    }
}

pub(super) fn explain(wrong: Wrong) -> EngineError {
    match wrong {
        Wrong::Stopped(error) => error,
        Wrong::Read(error) => unreadable(&error),
        Wrong::Line(line, what) => EngineError::Invalid(format!("line {line}: {what}")),
    }
}

struct Table<'o> {
    options: &'o CsvOptions,
    dialect: Dialect,
    /// Delimiters that the author of the file may have meant.
    others: Vec<u8>,
    first: Option<(u64, usize)>,
    records: u64,
    columns: Vec<Values>,
    ends: Ends,
    record_bytes: usize,
    is_odd: bool,
    /// A line with another delimiter, in a table with one column.
    suspect: Option<(u64, u8)>,
}

impl<'o> Table<'o> {
    fn new(options: &'o CsvOptions, dialect: Dialect) -> Self {
        Self {
            options,
            dialect,
            others: Vec::new(),
            first: None,
            records: 0,
            columns: Vec::new(),
            ends: Ends::default(),
            record_bytes: 0,
            is_odd: false,
            suspect: None,
        }
    }

    fn see(&mut self, record: &Record, ends: Ends) -> Result<bool, Wrong> {
        self.ends = ends;
        self.is_odd |= record.is_odd;
        self.record_bytes = self.record_bytes.max(record.bytes);
        let Some((line, fields)) = self.first else {
            if record.is_blank() {
                self.is_odd = true;
                return Ok(true);
            }
            self.first = Some((record.line, record.len()));
            self.columns = vec![Values::default(); record.len()];
            return self
                .values(record, self.options.has_header())
                .map(|()| true);
        };
        if record.is_blank() && fields > 1 {
            return Ok(true);
        }
        if record.len() != fields {
            let (found, place) = (record.len(), record.line);
            return Err(Wrong::Line(
                place,
                format!(
                    "it has {found} {}, and line {line} has {fields}; say where the table begins with `skip`, or `delimiter`, `quote`, `header` or `columns`",
                    if found == 1 { "field" } else { "fields" }
                ),
            ));
        }
        self.values(record, false).map(|()| true)
    }

    fn values(&mut self, record: &Record, is_header: bool) -> Result<(), Wrong> {
        self.records += 1;
        let separator = self.options.decimal_separator.unwrap_or(b'.');
        let nulls = &self.options.nullstr;
        for ((field, is_quoted), values) in record.fields().zip(&mut self.columns) {
            if std::str::from_utf8(field).is_err() {
                let what =
                    "it is not in UTF-8; say its `encoding`, e.g. windows-1252 or iso-8859-1";
                return Err(Wrong::Line(record.line, what.into()));
            }
            if is_header || nulls.iter().any(|null| null.as_bytes() == field) {
                continue;
            }
            values.has_quoted_empty |= is_quoted && field.is_empty();
            values.see(field, separator);
        }
        if let (1, None) = (self.columns.len(), self.suspect) {
            let (field, is_quoted) = record.fields().next().unwrap_or((b"", true));
            let other = self.others.iter().find(|other| field.contains(other));
            if let (false, Some(other)) = (is_quoted, other) {
                self.suspect = Some((record.line, *other));
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Examined, EngineError> {
        if self.first.is_none() {
            return Err(EngineError::Invalid(
                "the file is empty: expected at least a line with the names of the columns".into(),
            ));
        }
        if let Some((line, other)) = self.suspect {
            return Err(EngineError::Invalid(format!(
                "line {line}: it has {:?} in it, and no delimiter divides the file into columns; say `delimiter` (\",\" for one column)",
                char::from(other)
            )));
        }
        let header = u64::from(self.options.has_header());
        self.is_odd |= self.ends.kinds() > 1;
        Ok(Examined {
            dialect: self.dialect,
            rows: self.records - header,
            columns: self.columns,
            ends: self.ends,
            record_bytes: self.record_bytes,
            is_odd: self.is_odd,
        })
    }
}
