//! Data on stdout.

use crate::exit::Failure;
use serde_json::Value;
use std::io::Write;

/// Prints text as it is. A reader that went away (`| head`) is no error.
pub fn text(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
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

/// Columns as wide as their widest cell; the last one is not padded.
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

/// A number with its thousands apart.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time to the second.
pub fn time(at: &str) -> String {
    at.get(..19).unwrap_or(at).replace('T', " ")
}

/// Milliseconds since the Unix epoch, as a time to the second.
pub fn time_ms(at_ms: u64) -> String {
    time(pudato_runtime::timestamp(at_ms).as_str())
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(super::thousands(7), "7");
        assert_eq!(super::thousands(10_000), "10,000");
        assert_eq!(super::thousands(1_234_567), "1,234,567");
    }
}
