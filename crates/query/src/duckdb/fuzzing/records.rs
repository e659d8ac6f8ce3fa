//! Independent readers of CSV and JSON, which count rows. They share no code with DuckDB's readers.

use serde::de::IgnoredAny;
use serde_json::StreamDeserializer;

/// The number of records of a CSV file after its header; `None` if it is not in UTF-8.
pub(super) fn csv(text: &[u8], delimiter: u8) -> Option<u64> {
    std::str::from_utf8(text).ok()?;
    let mut reader = csv::ReaderBuilder::new();
    let mut reader = reader.delimiter(delimiter).flexible(true).from_reader(text);
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record).ok()? {
        rows += 1;
    }
    Some(rows)
}

/// As [`csv`], for a file with one column: an empty line is a row without a value.
pub(super) fn csv_of_one_column(text: &[u8]) -> u64 {
    let (mut lines, mut is_begun) = (0_u64, false);
    // Whether the line began with a quote, and whether that quote is open.
    let (mut has_quotes, mut is_open) = (false, false);
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    // Empty lines before the header do not count.
    let blank = text.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    let mut left = text[blank.count()..].iter();
    while let Some(byte) = left.next() {
        match byte {
            b'"' if !is_begun => (has_quotes, is_open) = (true, true),
            // A doubled quote closes and opens again.
            b'"' if has_quotes => is_open = !is_open,
            b'\r' | b'\n' if !is_open => {
                if *byte == b'\r' && left.as_slice().first() == Some(&b'\n') {
                    left.next();
                }
                lines += 1;
                (is_begun, has_quotes) = (false, false);
                continue;
            }
            _ => {}
        }
        is_begun = true;
    }
    (lines + u64::from(is_begun)).saturating_sub(1)
}

/// The text in a form that strict readers accept: DuckDB also accepts some malformed numbers, and two more characters as spaces.
pub(super) fn strict_json(text: &[u8]) -> Vec<u8> {
    let mut strict = String::from_utf8_lossy(text).replace(['\u{b}', '\u{c}'], " ");
    for name in ["Infinity", "NaN", "Inf"] {
        let mut at = 0;
        while at + name.len() <= strict.len() {
            let end = at + name.len();
            if strict
                .get(at..end)
                .is_some_and(|part| part.eq_ignore_ascii_case(name))
            {
                strict.replace_range(at..end, "1");
            }
            at += 1;
        }
    }
    strict.into_bytes()
}

/// The rows of a JSON text: the items of an array, or else its values one after the other; `None` if it is not JSON.
pub(super) fn json(text: &[u8]) -> Option<u64> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if let Ok(items) = serde_json::from_slice::<Vec<IgnoredAny>>(text) {
        return u64::try_from(items.len()).ok();
    }
    let mut values: StreamDeserializer<'_, _, IgnoredAny> =
        serde_json::Deserializer::from_slice(text).into_iter();
    let count = values
        .by_ref()
        .try_fold(0, |count, value| value.map(|_| count + 1));
    count.ok()
}

/// The number of non-empty lines, each of which is one value; `None` if one is not JSON.
pub(super) fn json_lines(text: &[u8]) -> Option<u64> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let lines = text.split(|byte| *byte == b'\n');
    let mut filled = lines.filter(|line| !line.trim_ascii().is_empty());
    filled.try_fold(0, |count, line| {
        serde_json::from_slice::<IgnoredAny>(line).ok()?;
        Some(count + 1)
    })
}
