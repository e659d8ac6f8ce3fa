//! Writes an answer into a text file, with the same values as in a message (docs/sql.md, "Values"). DuckDB's own writers lose some of them
//! (1.5.6: a bare `NaN` in JSON, and texts for lists and structs in CSV that only DuckDB can read).

use super::json::{self, NoValue, Shape};
use super::rows::Rows;
use crate::engine::{Answer, Column, EngineError};
use crate::format::{Format, compression};
use duckdb::arrow::array::{Array, StructArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use ruzstd::encoding::{CompressionLevel, compress};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// The largest row as JSON. A larger one would take too much memory, because all of its values are created before it is written.
const ROW_BYTES_MAX: usize = 256 << 20;

/// Writes rows into a file of a text format.
pub(super) struct FileRows {
    format: Format,
    path: PathBuf,
    out: BufWriter<File>,
    columns: Vec<Column>,
    shapes: Vec<Shape>,
    pub(super) rows: u64,
    line: Vec<u8>,
}

fn failed(error: io::Error) -> EngineError {
    EngineError::Unavailable(format!("the answer's file: {error}"))
}

impl FileRows {
    /// Creates the file. The extension of its path says whether to compress it at the end.
    ///
    /// # Errors
    /// `Unavailable`: the file cannot be created.
    pub(super) fn new(path: &Path, format: Format) -> Result<Self, EngineError> {
        let plain = plain(path);
        let out = BufWriter::new(File::create(&plain).map_err(failed)?);
        Ok(Self {
            format,
            path: path.to_owned(),
            out,
            columns: Vec::new(),
            shapes: Vec::new(),
            rows: 0,
            line: Vec::new(),
        })
    }

    fn delimiter(&self) -> u8 {
        if self.format == Format::Tsv {
            b'\t'
        } else {
            b','
        }
    }

    fn is_json(&self) -> bool {
        matches!(self.format, Format::Json | Format::Jsonl)
    }

    fn row(&mut self, batch: &StructArray, row: usize) -> Result<(), EngineError> {
        self.line.clear();
        let mut room = ROW_BYTES_MAX;
        let is_json = self.is_json();
        if is_json {
            let between: &[u8] = match (self.format, self.rows) {
                (Format::Json, 0) => b"\n",
                (Format::Json, _) => b",\n",
                _ => b"",
            };
            self.line.extend(between);
            self.line.push(b'{');
        }
        for (n, column) in batch.columns().iter().enumerate() {
            let Column { name, r#type } = &self.columns[n];
            let value = json::value(column, row, &self.shapes[n], &mut room);
            let value = value.map_err(|error| match error {
                NoValue::TooLarge => EngineError::Invalid(format!(
                    "payload.into: a row of more than {ROW_BYTES_MAX} bytes is too large for a text file; write parquet"
                )),
                NoValue::NoForm(what) => EngineError::Invalid(format!("payload.sql: {what}")),
            })?;
            if n > 0 {
                let delimiter = if is_json { b',' } else { self.delimiter() };
                self.line.push(delimiter);
            }
            if is_json {
                write_json(&mut self.line, &Value::from(name.as_str()));
                self.line.push(b':');
                write_json(&mut self.line, &value);
            } else {
                if value.is_null() && self.columns.len() == 1 {
                    return Err(EngineError::Invalid(format!(
                        "payload.into: the column {name} is the only one and has a NULL, which would become an empty line, and other programs skip empty lines; write parquet or jsonl instead, or add another column"
                    )));
                }
                let delimiter = self.delimiter();
                field(&mut self.line, &value, r#type, delimiter);
            }
        }
        self.line.extend(if is_json { &b"}"[..] } else { b"\n" });
        if self.format == Format::Jsonl {
            self.line.push(b'\n');
        }
        self.rows += 1;
        self.out.write_all(&self.line).map_err(failed)
    }

    /// Finishes the file, and compresses it if its extension says so.
    ///
    /// # Errors
    /// `Unavailable`: the file cannot be written.
    pub(super) fn close(mut self) -> Result<u64, EngineError> {
        if self.format == Format::Json {
            self.out.write_all(b"\n]\n").map_err(failed)?;
        }
        self.out.flush().map_err(failed)?;
        let Some(ending) = compression(self.path.to_str().unwrap_or_default()) else {
            return Ok(self.rows);
        };
        let plain = plain(&self.path);
        pack(&plain, &self.path, ending).map_err(failed)?;
        std::fs::remove_file(&plain).map_err(failed)?;
        Ok(self.rows)
    }
}

impl Rows for FileRows {
    fn begin(&mut self, _only_reads: bool) -> Result<(), EngineError> {
        Ok(())
    }

    fn columns(&mut self, columns: Vec<Column>, shapes: Vec<Shape>) -> Result<(), EngineError> {
        let unwritable = |column: &&Column| column.r#type == "BLOB";
        if !self.is_json()
            && let Some(Column { name, .. }) = columns.iter().find(unwritable)
        {
            return Err(EngineError::Invalid(format!(
                "payload.into: the column {name} has bytes, which a {} file cannot store; use base64({name}), or write parquet or json",
                self.format.name()
            )));
        }
        let mut seen = std::collections::BTreeSet::new();
        if self.is_json()
            && let Some(Column { name, .. }) =
                columns.iter().find(|column| !seen.insert(&column.name))
        {
            return Err(EngineError::Invalid(format!(
                "payload.into: two columns are called {name}, and a JSON object cannot store both; rename one"
            )));
        }
        self.out = BufWriter::new(File::create(plain(&self.path)).map_err(failed)?);
        self.rows = 0;
        if self.is_json() {
            let begin: &[u8] = if self.format == Format::Json {
                b"["
            } else {
                b""
            };
            self.out.write_all(begin).map_err(failed)?;
        } else {
            let mut line = Vec::new();
            for (n, column) in columns.iter().enumerate() {
                if n > 0 {
                    line.push(self.delimiter());
                }
                field(
                    &mut line,
                    &column.name.as_str().into(),
                    "VARCHAR",
                    self.delimiter(),
                );
            }
            line.push(b'\n');
            self.out.write_all(&line).map_err(failed)?;
        }
        self.columns = columns;
        self.shapes = shapes;
        Ok(())
    }

    fn batch(&mut self, batch: &StructArray, take: usize) -> Result<(), EngineError> {
        (0..batch.len().min(take)).try_for_each(|row| self.row(batch, row))
    }

    fn finish(&mut self, _answer: &mut Answer) {}
}

/// The path of the text: the final one, or one beside it if the file is compressed at the end.
fn plain(path: &Path) -> PathBuf {
    match compression(path.to_str().unwrap_or_default()) {
        Some(_) => path.with_extension("plain"),
        None => path.to_owned(),
    }
}

fn write_json(line: &mut Vec<u8>, value: &Value) {
    // Writing into a vector cannot fail, and a value is JSON.
    let _ = serde_json::to_writer(line, value);
}

/// Writes a field: nothing for NULL, and quotes around texts that need them.
fn field(line: &mut Vec<u8>, value: &Value, r#type: &str, delimiter: u8) {
    match value {
        Value::Null => {}
        Value::String(text) => text_field(line, text, delimiter),
        // A number that JSON lacks: `NaN`, `Infinity`.
        Value::Object(tagged) if matches!(r#type, "DOUBLE" | "FLOAT") => {
            let word = tagged.get("value").and_then(Value::as_str);
            text_field(line, word.unwrap_or_default(), delimiter);
        }
        Value::Array(_) | Value::Object(_) => text_field(line, &value.to_string(), delimiter),
        Value::Bool(_) | Value::Number(_) => write_json(line, value),
    }
}

fn text_field(line: &mut Vec<u8>, text: &str, delimiter: u8) {
    let is_plain = |byte: u8| byte != delimiter && !matches!(byte, b'"' | b'\r' | b'\n' | b'#');
    let is_bare = !text.is_empty() && text.bytes().all(is_plain) && text.trim().len() == text.len();
    if is_bare {
        line.extend(text.as_bytes());
        return;
    }
    line.push(b'"');
    for byte in text.bytes() {
        line.extend((byte == b'"').then_some(b'"'));
        line.push(byte);
    }
    line.push(b'"');
}

fn pack(from: &Path, to: &Path, ending: &str) -> io::Result<()> {
    let mut plain = BufReader::new(File::open(from)?);
    if ending == ".gz" {
        let mut packed = GzEncoder::new(BufWriter::new(File::create(to)?), Compression::default());
        io::copy(&mut plain, &mut packed)?;
        return packed.finish()?.flush();
    }
    // The compressor panics on a failing reader or writer, so the failure is recorded and reported afterwards.
    let mut error = None;
    let mut read_error = None;
    let packed = ErrorCapture {
        inner: BufWriter::new(File::create(to)?),
        error: &mut error,
    };
    let source = ErrorCapture {
        inner: plain,
        error: &mut read_error,
    };
    compress(source, packed, CompressionLevel::Fastest);
    match read_error.or(error) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Records the first error, and then pretends to be at the end.
struct ErrorCapture<'e, T> {
    inner: T,
    error: &'e mut Option<io::Error>,
}

impl<T: Read> Read for ErrorCapture<'_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.error.is_some() {
            return Ok(0);
        }
        match self.inner.read(buffer) {
            Ok(length) => Ok(length),
            Err(error) => {
                *self.error = Some(error);
                Ok(0)
            }
        }
    }
}

impl<W: Write> Write for ErrorCapture<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.error.is_none()
            && let Err(error) = self.inner.write_all(bytes)
        {
            *self.error = Some(error);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.error.is_none()
            && let Err(error) = self.inner.flush()
        {
            *self.error = Some(error);
        }
        Ok(())
    }
}
