//! Checks the numbers of a JSON source before DuckDB reads it. DuckDB converts every number with a fraction to DOUBLE, whatever the
//! requested type, and also whole numbers in a place where others have a fraction (1.5.6). A source is refused if that would change a
//! digit.

use super::control::Control;
use super::csv::is_exact;
use super::{moments, opened};
use crate::engine::EngineError;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

/// The numbers in one place of the source, e.g. `.items[].price`.
#[derive(Debug, Default, Clone, Copy)]
struct Place {
    has_fraction: bool,
    /// The line of the first whole number that a DOUBLE would change.
    large: Option<u64>,
}

/// Beyond this number, all further places count as one.
const PLACES_MAX: usize = 10_000;
/// The number of digits that a DOUBLE always preserves.
const DOUBLE_DIGITS: usize = 15;
/// The longest number to examine. No type can hold a longer one.
const NUMBER_BYTES_MAX: usize = 1_000;

/// The values that DuckDB would change.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The first changed number with a fraction, and the first whole number that is changed because of others.
    changed: Option<(u64, String)>,
    /// A whole number that is changed if DuckDB treats the keys of an object as those of a map with other numbers.
    pub(super) in_map: Option<u64>,
    /// The keys, as written, of texts that DuckDB would change because it treats them as dates or times.
    pub(super) odd_moments: BTreeSet<Vec<u8>>,
}

impl Numbers {
    /// Refuses a source with numbers that would be changed; `types` are the column types that DuckDB found.
    ///
    /// # Errors
    /// `Invalid`: names the line.
    pub(super) fn check(
        &self,
        types: impl FnOnce() -> Result<String, EngineError>,
    ) -> Result<(), EngineError> {
        if let Some((line, number)) = &self.changed {
            return Err(refused(*line, number));
        }
        if let Some(line) = self.in_map {
            let types = types()?;
            if types.contains("MAP(") && types.contains("DOUBLE") {
                return Err(refused(line, "a number of many digits"));
            }
        }
        Ok(())
    }
}

fn refused(line: u64, number: &str) -> EngineError {
    EngineError::Invalid(format!(
        "line {line}: {number} would become a DOUBLE, which changes its digits; write it as a string, in quotes"
    ))
}

/// Examines all numbers of a file.
///
/// # Errors
/// `Invalid`: the file cannot be decompressed.
pub(super) fn look(file: &Path, control: &Control) -> Result<Numbers, EngineError> {
    let failed =
        |error: std::io::Error| EngineError::Invalid(format!("it cannot be unpacked: {error}"));
    let mut text = opened::open(file, None).map_err(failed)?.text;
    let mut scan = Scan {
        line: 1,
        ..Scan::default()
    };
    let mut part = vec![0; 1 << 16];
    loop {
        control.check()?;
        match text.read(&mut part) {
            Ok(0) => break,
            Ok(length) => part[..length].iter().for_each(|byte| scan.byte(*byte)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    scan.end_number();
    Ok(scan.finish())
}

#[derive(Default)]
struct Scan {
    line: u64,
    is_in_text: bool,
    is_escaped: bool,
    /// The text that is being read, which may be a key.
    text: Vec<u8>,
    /// The nesting: for each level, the length of `path` before it, and whether it is an object.
    levels: Vec<(usize, bool)>,
    path: Vec<u8>,
    number: Vec<u8>,
    places: BTreeMap<Vec<u8>, Place>,
    changed: Option<(u64, String)>,
    /// Whether DuckDB would change the previous text as a date or time, unless it is a key.
    is_odd: bool,
    odd_moments: BTreeSet<Vec<u8>>,
}

impl Scan {
    fn byte(&mut self, byte: u8) {
        if self.is_in_text {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => {
                    self.is_in_text = false;
                    self.is_odd = moments::is_odd(&self.text);
                    return;
                }
                b'\n' => self.line += 1,
                _ => {}
            }
            if self.text.len() < NUMBER_BYTES_MAX {
                self.text.push(byte);
            }
            return;
        }
        match byte {
            b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'
                if byte != b'e' && byte != b'E' || !self.number.is_empty() =>
            {
                if self.number.len() < NUMBER_BYTES_MAX {
                    self.number.push(byte);
                }
                return;
            }
            _ => self.end_number(),
        }
        match byte {
            b'\n' => self.line += 1,
            b'"' => {
                self.is_in_text = true;
                self.text.clear();
            }
            b':' => {
                self.is_odd = false;
                // The text was a key, which replaces the previous one.
                if let Some((length, true)) = self.levels.last() {
                    self.path.truncate(*length);
                    self.path.push(b'.');
                    self.path.extend(&self.text);
                }
            }
            b'{' | b'[' => {
                self.levels.push((self.path.len(), byte == b'{'));
                if byte == b'[' {
                    self.path.extend(b"[]");
                }
            }
            b',' => self.end_text(),
            b'}' | b']' => {
                self.end_text();
                if let Some((length, _)) = self.levels.pop() {
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// Records the column of a text that DuckDB would change as a date or time.
    fn end_text(&mut self) {
        if !std::mem::take(&mut self.is_odd) || self.odd_moments.len() >= PLACES_MAX {
            return;
        }
        let object = self.levels.iter().position(|(_, is_object)| *is_object);
        let key = object.map_or(&[][..], |object| {
            let begin = self.levels[object].0 + 1;
            let end = self
                .levels
                .get(object + 1)
                .map_or(self.path.len(), |level| level.0);
            self.path.get(begin..end).unwrap_or_default()
        });
        let key = key.to_vec();
        self.odd_moments.insert(key);
    }

    fn end_number(&mut self) {
        if self.number.is_empty() {
            return;
        }
        let number = std::mem::take(&mut self.number);
        let digits = number.iter().filter(|byte| byte.is_ascii_digit()).count();
        let is_whole = number
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b'-');
        let unsigned = number.strip_prefix(b"-").unwrap_or(&number);
        let has_exponent = number.iter().any(|byte| matches!(byte, b'e' | b'E'));
        let changes = (digits > DOUBLE_DIGITS || has_exponent) && !is_exact(unsigned, b'.');
        let line = self.line;
        let text = |number: &[u8]| String::from_utf8_lossy(number).into_owned();
        if changes && (!is_whole || !fits(&number)) && self.changed.is_none() {
            self.changed = Some((line, text(&number)));
        }
        let key = match self.places.len() < PLACES_MAX || self.places.contains_key(&self.path) {
            true => self.path.clone(),
            false => Vec::new(),
        };
        let place = self.places.entry(key).or_default();
        place.has_fraction |= !is_whole;
        if changes && is_whole {
            place.large.get_or_insert(line);
        }
        if let (true, Some(large), None) = (place.has_fraction, place.large, &self.changed) {
            self.changed = Some((
                large,
                "a number of many digits, beside others with a fraction,".into(),
            ));
        }
    }

    fn finish(self) -> Numbers {
        let large = self.places.values().filter_map(|place| place.large).min();
        Numbers {
            changed: self.changed,
            in_map: large,
            odd_moments: self.odd_moments,
        }
    }
}

/// Whether DuckDB has an integer type for it: 64 bits, with or without a sign.
fn fits(number: &[u8]) -> bool {
    let text = std::str::from_utf8(number).unwrap_or_default();
    text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::Scan;

    fn changed(text: &str) -> Option<(u64, String)> {
        let mut scan = Scan {
            line: 1,
            ..Scan::default()
        };
        text.bytes().for_each(|byte| scan.byte(byte));
        scan.end_number();
        scan.finish().changed
    }

    #[test]
    fn what_a_double_would_change_is_found_with_its_line() {
        for (text, line) in [
            ("[{\"a\":1,\"b\":0.5},{\"a\":9007199254740993}]", None),
            ("[{\"a\":0.30000000000000004},{\"a\":-1.5e-7}]", None),
            ("[{\"a\":\"0.12345678901234567890\"}]", None),
            ("[\n{\"a\":0.12345678901234567890}]", Some(2)),
            ("[{\"a\":9007199254740993},\n{\"a\":0.5}]", Some(1)),
            ("[{\"a\":[9007199254740993]},\n{\"a\":[0.5]}]", Some(1)),
            (
                "[{\"a\":{\"x\":9007199254740993}},{\"b\":{\"x\":0.5}}]",
                None,
            ),
            ("[{\"a\":123456789012345678901}]", Some(1)),
            ("[{\"a\":18446744073709551615}]", None),
            ("{\"a\":1}\n{\"a\":1e400}", Some(2)),
            ("{\"k\":\"\\\"9007199254740993\",\"a\":0.5}", None),
        ] {
            assert_eq!(changed(text).map(|(line, _)| line), line, "{text}");
        }
    }
}
