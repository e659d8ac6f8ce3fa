//! Prints data on stdout.

use crate::exit::Failure;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{IsTerminal, Write};

pub use pudato_runtime::{seconds as time, thousands};

/// Prints text: unchanged to a file or a pipe, and without control characters to a terminal. A reader that closes the pipe (`| head`) is
/// not an error.
pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let text = match out.is_terminal() {
        true => harmless(text),
        false => Cow::Borrowed(text),
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// A text for a line on stderr.
pub fn told(text: &str) -> Cow<'_, str> {
    match std::io::stderr().is_terminal() {
        true => harmless(text),
        false => Cow::Borrowed(text),
    }
}

/// Text from data may contain characters that control a terminal: they move the cursor, change colours and titles, or reverse the order of
/// letters. They are shown by their code points.
fn harmless(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\t'))
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_obeyed(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// Prints a line.
pub fn line(line: &str) -> Result<(), Failure> {
    text(&format!("{line}\n"))
}

/// Prints JSON, readable.
pub fn json(value: &Value) -> Result<(), Failure> {
    line(&format!("{value:#}"))
}

/// Prints JSON in one line.
pub fn json_line(value: &Value) -> Result<(), Failure> {
    line(&value.to_string())
}

/// A table whose columns are as wide as their widest cells; the last column is not padded.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let print = |cells: Vec<&str>| {
        let mut out = String::new();
        for (n, cell) in cells.iter().enumerate() {
            out.push_str(cell);
            if n + 1 < cells.len() {
                out.push_str(&" ".repeat(widths[n] - cell.chars().count() + 2));
            }
        }
        line(out.trim_end())
    };
    print(head.to_vec())?;
    for row in rows {
        print(row.iter().map(String::as_str).collect())?;
    }
    Ok(())
}

/// Milliseconds since the Unix epoch, as a time in seconds.
pub fn time_ms(at_ms: u64) -> String {
    time(pudato_runtime::timestamp(at_ms).as_str())
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_are_shown_by_their_code_points() {
        let shown = super::harmless("a\u{1b}[2J\u{9b}1m\r\u{202e}b\tc\nd é");
        assert_eq!(shown, "a\\u{1b}[2J\\u{9b}1m\\u{d}\\u{202e}b\tc\nd é");
        assert!(matches!(
            super::harmless("plain"),
            std::borrow::Cow::Borrowed(_)
        ));
    }

    #[test]
    fn thousands_are_separated_by_commas() {
        assert_eq!(super::thousands(7), "7");
        assert_eq!(super::thousands(10_000), "10,000");
        assert_eq!(super::thousands(1_234_567), "1,234,567");
    }
}
