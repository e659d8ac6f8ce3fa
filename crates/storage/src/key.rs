//! Checks the paths of objects.

use crate::folder::STAGED;
use object_store::path::Path;

/// The longest path in bytes (S3's limit for a key).
pub(crate) const BYTES_MAX: usize = 1_024;
/// The longest part of a path in bytes (the limit of common file systems).
const SEGMENT_BYTES_MAX: usize = 255;
/// The folder beside the objects for data that a file system cannot store with a file.
pub(crate) const HIDDEN: &str = ".pudato";

/// Checks a path. The text says what is wrong.
pub(crate) fn check(path: &str) -> Result<Path, String> {
    if path.is_empty() {
        return Err("expected the path of an object, found \"\"".into());
    }
    if path.len() > BYTES_MAX {
        return Err(format!("{} bytes; at most {BYTES_MAX}", path.len()));
    }
    if path.starts_with('/') {
        return Err("expected a path inside the container, found an absolute one".into());
    }
    if path.contains(['\\', '\0']) || path.contains(char::is_control) {
        return Err("backslashes and control characters are not allowed".into());
    }
    for segment in path.split('/') {
        check_segment(segment)?;
    }
    Path::parse(path).map_err(|error| error.to_string())
}

fn check_segment(segment: &str) -> Result<(), String> {
    if segment.is_empty() {
        return Err("a part between slashes is empty".into());
    }
    if segment.len() > SEGMENT_BYTES_MAX {
        return Err(format!(
            "a part has {} bytes; at most {SEGMENT_BYTES_MAX}",
            segment.len()
        ));
    }
    if segment == HIDDEN || segment.starts_with(STAGED) {
        return Err(format!("{segment:?} is reserved for pudato itself"));
    }
    // A path must not leave the container after some reader decodes it, either.
    let decoded = segment.to_ascii_lowercase();
    let decoded = decoded
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "/");
    if decoded.split('/').any(|part| part == "." || part == "..") {
        return Err(format!("{segment:?} leads out of the container"));
    }
    Ok(())
}

/// Checks the name of a container by S3's rules for buckets.
pub(crate) fn check_container(name: &str) -> Result<(), String> {
    let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'.';
    let edge = |c: Option<&u8>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let bytes = name.as_bytes();
    let is_valid = (3..=63).contains(&bytes.len())
        && bytes.iter().all(|c| inner(*c))
        && edge(bytes.first())
        && edge(bytes.last())
        && !name.contains("..");
    if is_valid {
        return Ok(());
    }
    Err(format!(
        "expected 3 to 63 lower-case letters, digits, '-' or '.', found {name:?}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_out_of_a_container_are_refused() {
        let tricks = [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/..",
            ".",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "a\0b",
            "%2e%2e/x",
            "a/%2E%2e/b",
            "..%2fx",
            "a/..%5cb",
            "a\nb",
            ".pudato/x",
            "a/.pudato-new.1-2",
        ];
        for trick in tricks {
            assert!(check(trick).is_err(), "{trick:?} must be refused");
        }
        assert!(check(&"a".repeat(256)).is_err());
        assert!(check(&"a/".repeat(600)).is_err());
    }

    #[test]
    fn ordinary_and_odd_paths_are_accepted() {
        for path in [
            "x",
            "raw/a.csv",
            "raw/ünï/κλίμα 2026.csv",
            "a..b/c",
            "100%/x",
            "a%b",
            "report#1",
        ] {
            assert!(check(path).is_ok(), "{path:?} must be accepted");
        }
    }
}
