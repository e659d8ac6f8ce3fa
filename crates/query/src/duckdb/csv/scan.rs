//! Reads a CSV file field by field, according to RFC 4180. DuckDB reads the file for the query itself. This checks its contents before,
//! because DuckDB's sniffer silently drops lines that do not fit (1.5.6).

use crate::engine::EngineError;
use std::io::{self, Read};

/// The characters between and around fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    pub(super) quote: u8,
    pub(super) escape: u8,
}

/// One record of the table, which may span several lines.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The line of the file where it begins, from 1 on.
    pub(super) line: u64,
    /// Its size in the file in bytes, including its line end.
    pub(super) bytes: usize,
    text: Vec<u8>,
    /// The end of each field, and whether it was quoted.
    ends: Vec<(usize, bool)>,
    /// Whether another reader could read it differently: it has a quote within an unquoted field, or spaces before a quote.
    pub(super) is_odd: bool,
}

impl Record {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Its fields, and whether each was quoted.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], bool)> {
        self.ends.iter().enumerate().map(|(n, (end, is_quoted))| {
            let from = n.checked_sub(1).map_or(0, |before| self.ends[before].0);
            (&self.text[from..*end], *is_quoted)
        })
    }

    /// Whether the line is empty.
    pub(super) fn is_blank(&self) -> bool {
        self.text.is_empty() && matches!(self.ends[..], [(_, false)])
    }

    fn clear(&mut self, line: u64) {
        self.line = line;
        self.bytes = 0;
        self.text.clear();
        self.ends.clear();
        self.is_odd = false;
    }

    fn end_field(&mut self, is_quoted: bool) {
        self.ends.push((self.text.len(), is_quoted));
    }
}

/// The kinds of line ends so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ends {
    pub(super) line_feed: bool,
    pub(super) carriage_return: bool,
    pub(super) both: bool,
}

impl Ends {
    pub(super) fn kinds(self) -> u8 {
        u8::from(self.line_feed) + u8::from(self.carriage_return) + u8::from(self.both)
    }
}

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The file cannot be read or decompressed.
    Read(io::Error),
    /// A line does not fit the others.
    Line(u64, String),
    /// The work was stopped.
    Stopped(EngineError),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a field.
    Begin,
    /// In an unquoted field.
    Plain,
    /// Within quotes.
    Quoted,
    /// After an escape within quotes.
    Escaped,
    /// After the closing quote.
    Closed,
}

/// Reads the records of a file.
pub(super) struct Scanner<R> {
    from: R,
    dialect: Dialect,
    part: Vec<u8>,
    at: usize,
    length: usize,
    line: u64,
    pub(super) ends: Ends,
}

const PART_BYTES: usize = 1 << 16;

impl<R: Read> Scanner<R> {
    pub(super) fn new(from: R, dialect: Dialect) -> Self {
        Self {
            from,
            dialect,
            part: vec![0; PART_BYTES],
            at: 0,
            length: 0,
            line: 1,
            ends: Ends::default(),
        }
    }

    fn next_byte(&mut self) -> Result<Option<u8>, Wrong> {
        let byte = self.peek()?;
        self.at += usize::from(byte.is_some());
        Ok(byte)
    }

    fn peek(&mut self) -> Result<Option<u8>, Wrong> {
        while self.at == self.length {
            self.at = 0;
            self.length = match self.from.read(&mut self.part) {
                Ok(0) => {
                    self.length = 0;
                    return Ok(None);
                }
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
                Err(error) => return Err(Wrong::Read(error)),
            };
        }
        Ok(Some(self.part[self.at]))
    }

    /// Skips this many lines, and returns their size in bytes.
    pub(super) fn skip(&mut self, lines: u64) -> Result<(), Wrong> {
        let until = self.line + lines;
        while self.line < until {
            match self.next_byte()? {
                None => return Ok(()),
                Some(b'\n') => self.line += 1,
                Some(b'\r') if self.peek()? != Some(b'\n') => self.line += 1,
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Reads the next record into `record`; false at the end.
    pub(super) fn next(&mut self, record: &mut Record) -> Result<bool, Wrong> {
        record.clear(self.line);
        let Dialect {
            delimiter,
            quote,
            escape,
        } = self.dialect;
        if self.peek()?.is_none() {
            return Ok(false);
        }
        let mut state = State::Begin;
        loop {
            let Some(byte) = self.next_byte()? else {
                return self.end(record, state).map(|()| true);
            };
            record.bytes += 1;
            state = match state {
                State::Escaped if byte == quote || byte == escape => {
                    record.text.push(byte);
                    State::Quoted
                }
                State::Escaped if escape == quote => {
                    // It was the closing quote.
                    if self.after_closed(record, byte)? {
                        return Ok(true);
                    }
                    State::Begin
                }
                State::Escaped => {
                    record.text.extend([escape, byte]);
                    State::Quoted
                }
                State::Closed => {
                    if self.after_closed(record, byte)? {
                        return Ok(true);
                    }
                    State::Begin
                }
                State::Quoted => {
                    if byte == escape {
                        State::Escaped
                    } else if byte == quote {
                        State::Closed
                    } else {
                        self.count_line(byte)?;
                        record.text.push(byte);
                        State::Quoted
                    }
                }
                State::Begin if byte == quote => State::Quoted,
                State::Begin | State::Plain if byte == delimiter => {
                    record.end_field(false);
                    State::Begin
                }
                State::Begin | State::Plain if byte == b'\n' || byte == b'\r' => {
                    record.end_field(false);
                    self.end_line(record, byte)?;
                    return Ok(true);
                }
                State::Begin | State::Plain => {
                    record.is_odd |= byte == quote;
                    record.text.push(byte);
                    State::Plain
                }
            };
        }
    }

    /// Handles the character after a closing quote, and returns whether the record ends.
    fn after_closed(&mut self, record: &mut Record, byte: u8) -> Result<bool, Wrong> {
        record.end_field(true);
        if byte == self.dialect.delimiter {
            return Ok(false);
        }
        if byte == b'\n' || byte == b'\r' {
            self.end_line(record, byte)?;
            return Ok(true);
        }
        let (quote, field) = (char::from(self.dialect.quote), record.len());
        Err(Wrong::Line(
            self.line,
            format!(
                "field {field} continues after its closing {quote}; if {quote} is an ordinary character, set another `quote`, or set `escape` to the character before it"
            ),
        ))
    }

    fn end_line(&mut self, record: &mut Record, byte: u8) -> Result<(), Wrong> {
        self.line += 1;
        if byte == b'\n' {
            self.ends.line_feed = true;
        } else if self.peek()? == Some(b'\n') {
            self.at += 1;
            record.bytes += 1;
            self.ends.both = true;
        } else {
            self.ends.carriage_return = true;
        }
        Ok(())
    }

    /// The error for a line that ends within quotes.
    fn count_line(&mut self, byte: u8) -> Result<(), Wrong> {
        if byte == b'\n' || (byte == b'\r' && self.peek()? != Some(b'\n')) {
            self.line += 1;
        }
        Ok(())
    }

    /// Ends the file.
    fn end(&mut self, record: &mut Record, state: State) -> Result<(), Wrong> {
        let is_open = match state {
            State::Quoted => true,
            State::Escaped => self.dialect.escape != self.dialect.quote,
            _ => false,
        };
        if is_open {
            let (quote, field) = (char::from(self.dialect.quote), record.len() + 1);
            return Err(Wrong::Line(
                record.line,
                format!(
                    "field {field} begins with {quote} and the file ends before a second one; if {quote} is an ordinary character, set another `quote`"
                ),
            ));
        }
        record.end_field(matches!(state, State::Escaped | State::Closed));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Record, Scanner, Wrong};
    use proptest::prelude::*;

    const RFC: Dialect = Dialect {
        delimiter: b',',
        quote: b'"',
        escape: b'"',
    };

    fn read(text: &[u8], dialect: Dialect) -> Result<Vec<Vec<String>>, Wrong> {
        let mut scanner = Scanner::new(text, dialect);
        let (mut record, mut records) = (Record::default(), Vec::new());
        while scanner.next(&mut record)? {
            let fields = record.fields();
            records.push(
                fields
                    .map(|(field, _)| String::from_utf8_lossy(field).into_owned())
                    .collect(),
            );
        }
        Ok(records)
    }

    #[test]
    fn fields_are_read_as_they_stand() {
        let read = |text: &str| read(text.as_bytes(), RFC).expect("read");
        assert_eq!(
            read("a,b\n1,\"x\"\"y\"\r\n,"),
            [vec!["a", "b"], vec!["1", "x\"y"], vec!["", ""]]
        );
        assert_eq!(read("a\r1\r\r2"), [["a"], ["1"], [""], ["2"]]);
        assert_eq!(
            read("a,\"x\n\r\ny\"\nz"),
            [vec!["a", "x\n\r\ny"], vec!["z"]]
        );
        assert_eq!(read("x\"y,\"\"\n"), [["x\"y", ""]]);
        assert!(read("").is_empty());
    }

    #[test]
    fn what_is_no_table_is_told_with_its_line() {
        for (text, line) in [("a\n\"x\"y\n", 2), ("a\n\n\"x\n\n", 3), ("\"a\nb\" c", 2)] {
            let Err(Wrong::Line(found, _)) = read(text.as_bytes(), RFC) else {
                panic!("{text:?} was read");
            };
            assert_eq!(found, line, "{text:?}");
        }
    }

    #[test]
    fn another_escape_is_obeyed() {
        let dialect = Dialect {
            escape: b'\\',
            ..RFC
        };
        let found = read(b"\"x\\\"y\",\"a\\b\"\n", dialect).expect("read");
        assert_eq!(found, [["x\"y", "a\\b"]]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(rows in proptest::collection::vec(proptest::collection::vec("[a,\"\r\n ;]{0,4}", 2..4), 1..6)) {
            let line = |row: &Vec<String>| {
                let fields: Vec<String> = row.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
                fields.join(",") + "\n"
            };
            let text: String = rows.iter().map(line).collect();
            prop_assert_eq!(read(text.as_bytes(), RFC).expect("read"), rows);
        }
    }
}
