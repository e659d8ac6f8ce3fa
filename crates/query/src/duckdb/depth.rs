//! Checks how deeply the JSON of a source is nested before DuckDB reads it, because its readers need more stack with each level.

use super::opened;
use crate::engine::EngineError;
use crate::format::Format;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// The same limit as for a message.
pub(super) const DEPTH_MAX: usize = 64;

/// Refuses a text that is nested too deeply.
///
/// # Errors
/// `Invalid`: it is nested too deeply; the error names the line. `Unavailable`: it cannot be read.
pub(super) fn check(file: &Path, format: Format) -> Result<(), EngineError> {
    let is_json = matches!(format, Format::Json | Format::Jsonl);
    if !is_json {
        return Ok(());
    }
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::StorageFull => {
            EngineError::Unavailable(format!("a source: {error}"))
        }
        _ => EngineError::Invalid(format!("payload.sql: it cannot be unpacked: {error}")),
    };
    let mut opened = opened::open(file, None).map_err(failed)?.text;
    let mut scan = Scan {
        ends_with_line: format == Format::Jsonl,
        line: 1,
        ..Scan::default()
    };
    let mut buffer = vec![0; 1 << 16];
    loop {
        let length = match opened.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if let Some(line) = scan.bytes(&buffer[..length]) {
            return Err(EngineError::Invalid(format!(
                "payload.sql: expected JSON nested at most {DEPTH_MAX} deep, found more in line {line}"
            )));
        }
    }
}

#[derive(Default)]
struct Scan {
    /// A value does not continue on the next line.
    ends_with_line: bool,
    line: u64,
    depth: usize,
    is_in_text: bool,
    is_escaped: bool,
}

impl Scan {
    /// The line in which the nesting is too deep.
    fn bytes(&mut self, bytes: &[u8]) -> Option<u64> {
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.line += 1;
                    // No text contains a line end, so the check resumes on the next line after an unbalanced quote.
                    (self.is_in_text, self.is_escaped) = (false, false);
                    if self.ends_with_line {
                        self.depth = 0;
                    }
                }
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = self.is_in_text,
                b'"' => self.is_in_text = !self.is_in_text,
                _ if self.is_in_text => {}
                b'[' | b'{' => {
                    self.depth += 1;
                    if self.depth > DEPTH_MAX {
                        return Some(self.line);
                    }
                }
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }
}
