//! Compares the rows of a source as pudato reads it with those that another reader counts.

use super::records;
use crate::csv_options::CsvOptions;
use crate::duckdb::control::Control;
use crate::duckdb::csv;
use crate::duckdb::lockdown::Lockdown;
use crate::duckdb::sources::{self, Bounds, PreparedSource};
use crate::duckdb::warehouse::{Lease, Mode, Place, Warehouse};
use crate::engine::{EngineError, Source};
use crate::format::Format;
use duckdb::Connection;
use pudato_protocol::DataReference;
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const FORMATS: [Format; 4] = [Format::Csv, Format::Tsv, Format::Json, Format::Jsonl];

/// Pieces of text. If the first byte says so, the others are indexes into this list, because random bytes seldom form a table.
const PIECES: [&str; 64] = [
    ",",
    ",",
    ",",
    "\t",
    "\t",
    ";",
    "|",
    ":",
    "\n",
    "\n",
    "\n",
    "\r\n",
    "\r\n",
    "\r",
    "\"",
    "\"",
    "\"\"",
    "'",
    "''",
    "\\",
    "\\\"",
    "#",
    "# x\n",
    " ",
    "  ",
    "a",
    "b",
    "a,b\n",
    "1,2\n",
    "a\tb\n",
    "1\t2\n",
    "1",
    "22",
    "-3.5",
    "1e5",
    "0x1",
    "true",
    "null",
    "NULL",
    "NaN",
    "2024-01-02",
    "01/02/2024",
    "12:30:00",
    "x y",
    "ä",
    "日本",
    "\u{feff}",
    "\u{a0}",
    "{",
    "}",
    "[",
    "]",
    "{\"a\":1}",
    "{\"a\":1,\"b\":[2]}\n",
    "\"a\":",
    "[1]",
    "[{\"a\":1}]",
    "\\n",
    "\\u0041",
    "//",
    "a,b,c\n",
    "x,\"y\nz\"\n",
    "\"a\",\"b\"\n",
    "1,2,3\n",
];

/// Reads a source whose format the first byte selects. The answer must have as many rows as the other reader counts, and lineage must
/// report the same number. The returned text distinguishes outcomes, so that a fuzzer can look for new ones.
///
/// # Panics
/// If the counts differ for no known reason ([`known`]), or if pudato reports a retryable error.
pub fn source(input: &[u8]) -> String {
    let Some((first, rest)) = input.split_first() else {
        return String::new();
    };
    let format = FORMATS[usize::from(first & 3)];
    let text = match first & 4 {
        0 => rest.to_vec(),
        _ => {
            let pieces = rest.iter().map(|byte| PIECES[usize::from(byte & 63)]);
            pieces.collect::<String>().into_bytes()
        }
    };
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") {
        // The byte order mark of UTF-16. The other readers read UTF-8.
        return String::new();
    }
    let shown = || format!("{format:?} {:?}", String::from_utf8_lossy(&text));
    let (read, found) = READER.with_borrow_mut(|reader| {
        let open = reader.get_or_insert_with(Reader::open);
        let read = open.read(format, &text);
        let found = open.found(format);
        if matches!(read, Err(EngineError::Retry(_) | EngineError::Broken(_))) {
            *reader = None;
        }
        (read, found)
    });
    let read = match read {
        Ok(read) => read,
        Err(EngineError::Invalid(why)) => return format!("{format:?} refused {}", kind(&why)),
        Err(error) => panic!("{}: {error:?}", shown()),
    };
    assert_eq!(
        read.told,
        Some(read.rows),
        "{}: the lineage's rows",
        shown()
    );
    let expected = expected(format, &text, found);
    let mut label = format!("{} {}", read.how, read.rows.min(3));
    if expected != Some(read.rows) {
        let known = known(format, &text, &read);
        let known = known.unwrap_or_else(|| {
            let rows = read.rows;
            panic!(
                "{}: {rows} rows, another reader: {expected:?}; {}",
                shown(),
                read.how
            )
        });
        label.push_str(known);
    }
    label
}

/// An error without the parts that come from the input.
fn kind(why: &str) -> String {
    let line = why.lines().next().unwrap_or_default();
    let plain = line
        .chars()
        .filter(|c| c.is_ascii_alphabetic() || *c == ' ');
    plain.take(80).collect()
}

/// The number of rows that another reader finds; `None` if it refuses the text. The delimiter is the detected one.
fn expected(format: Format, text: &[u8], found: Option<(u8, usize)>) -> Option<u64> {
    match (format, found) {
        (Format::Csv | Format::Tsv, Some((_, 1))) => Some(records::csv_of_one_column(text)),
        (Format::Csv | Format::Tsv, found) => records::csv(text, found?.0),
        (Format::Json, _) => records::json(text),
        _ => records::json_lines(text),
    }
}

/// Why an answer may have another count at present. Each of these is a known fault; when it is fixed, remove its line.
fn known(format: Format, text: &[u8], read: &Read) -> Option<&'static str> {
    if !matches!(format, Format::Json | Format::Jsonl) {
        return None;
    }
    let plain = records::strict_json(text);
    let is_nan = expected(format, &plain, None) == Some(read.rows);
    is_nan.then_some("NaN, Infinity and two control characters are taken, which are no JSON")
}

struct Read {
    rows: u64,
    /// The row count in the lineage.
    told: Option<u64>,
    /// The query that reads the file, up to the names of its columns.
    how: String,
}

thread_local! {
    static READER: RefCell<Option<Reader>> = const { RefCell::new(None) };
}

/// A warehouse in memory and a folder for the file.
struct Reader {
    lease: Lease,
    folder: TempDir,
}

impl Reader {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lockdown = Lockdown {
            scratch: folder.path().to_owned(),
            spill: folder.path().to_owned(),
            memory_bytes: 512 << 20,
            spill_bytes: 64 << 20,
            threads: 1,
        };
        let warehouse = Warehouse::new(Place::Memory, lockdown);
        let lease = warehouse.acquire(Mode::Write, Instant::now());
        Self {
            lease: lease.expect("a warehouse"),
            folder,
        }
    }

    fn file(&self, format: Format) -> PathBuf {
        self.folder.path().join(format!("s.{}", format.name()))
    }

    fn read(&self, format: Format, text: &[u8]) -> Result<Read, EngineError> {
        let file = self.file(format);
        std::fs::write(&file, text).expect("written");
        let connection = self.lease.connection();
        let source = Source {
            name: "s".into(),
            file,
            format,
            options: CsvOptions::default(),
            reference: DataReference::new("file", "file:///s"),
        };
        connection
            .execute_batch("BEGIN TRANSACTION")
            .expect("begun");
        let read = rows(connection, &[source]);
        let _ = connection.execute_batch("ROLLBACK");
        read
    }

    /// The delimiter and the number of columns that were detected in the last CSV file.
    fn found(&self, format: Format) -> Option<(u8, usize)> {
        let delimiter = match format {
            Format::Csv => None,
            Format::Tsv => Some(b'\t'),
            _ => return None,
        };
        csv::found(&self.file(format), delimiter)
    }
}

fn rows(connection: &Connection, source: &[Source]) -> Result<Read, EngineError> {
    let failed = crate::duckdb::errors::engine_error;
    let bounds = Bounds {
        control: &Control::new(Duration::MAX),
        copy_bytes_max: u64::MAX,
    };
    let prepared: Vec<PreparedSource> = sources::prepare(connection, source, &bounds)?;
    sources::reveal(connection, &prepared)?;
    let mut query = connection.prepare("SELECT * FROM s").map_err(failed)?;
    let batches = query.query_arrow([]).map_err(failed)?;
    let rows = batches.map(|batch| batch.num_rows() as u64).sum();
    Ok(Read {
        rows,
        told: prepared[0].row_count,
        how: prepared[0].how().to_owned(),
    })
}
