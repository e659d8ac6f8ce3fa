//! Writes a copy of a CSV file that every reader reads the same way: UTF-8, commas, one kind of line end, quotes around all texts.

use super::examine::{Examined, each, explain};
use super::scan::{Dialect, Wrong};
use crate::csv_options::CsvOptions;
use crate::duckdb::sources::Bounds;
use crate::engine::EngineError;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// The form of the copy.
pub(super) const DIALECT: Dialect = Dialect {
    delimiter: b',',
    quote: b'"',
    escape: b'"',
};

/// Writes the copy. An empty field becomes NULL, or an empty text if `keeps` says so for its column.
///
/// # Errors
/// `Unavailable`: it cannot be written. `Invalid`: it is too large.
pub(super) fn write(
    from: &Path,
    to: &Path,
    options: &CsvOptions,
    examined: &Examined,
    bounds: &Bounds<'_>,
    keeps: impl Fn(usize) -> bool,
) -> Result<(), EngineError> {
    let failed =
        |error: io::Error| EngineError::Unavailable(format!("a copy of a source: {error}"));
    let mut out = BufWriter::new(File::create(to).map_err(failed)?);
    let (mut written, mut line) = (0, Vec::new());
    let columns = examined.columns.len();
    let copied = each(
        from,
        options,
        examined.dialect,
        bounds.control,
        |record, _| {
            if record.is_blank() && (columns > 1 || written == 0) {
                return Ok(true);
            }
            line.clear();
            for (n, (field, is_quoted)) in record.fields().enumerate() {
                if n > 0 {
                    line.push(b',');
                }
                if field.is_empty() && !(is_quoted && keeps(n)) {
                    continue;
                }
                line.push(b'"');
                for byte in field {
                    line.extend((*byte == b'"').then_some(b'"'));
                    line.push(*byte);
                }
                line.push(b'"');
            }
            line.push(b'\n');
            written += line.len() as u64;
            if written > bounds.copy_bytes_max {
                let what = io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!(
                        "it has more than {} bytes when decompressed (PUDATO_QUERY_SPILL_BYTES)",
                        bounds.copy_bytes_max
                    ),
                );
                return Err(Wrong::Read(what));
            }
            out.write_all(&line).map_err(Wrong::Read)?;
            Ok(true)
        },
    );
    match copied {
        Ok(_) => out.flush().map_err(failed),
        Err(Wrong::Read(error)) if error.kind() != io::ErrorKind::InvalidData => Err(failed(error)),
        Err(wrong) => Err(explain(wrong)),
    }
}
