//! Holds what was downloaded against the SHA-256 that is pinned for it.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The reason a download gave no file.
#[derive(Debug)]
pub enum Failure {
    /// It cannot be had here; another source may have it.
    Missing(String),
    /// It is there and is another than the pinned one: nothing goes on with it, and no other source is asked.
    Other(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Missing(why)
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Missing(why) | Failure::Other(why) => why,
        }
    }
}

/// Whether `file` is the one that is pinned.
///
/// # Errors
/// It is another, which the error says together with `advice`; or it cannot be read.
pub fn check(file: &Path, pinned: &str, advice: &str) -> Result<(), Failure> {
    let found = sha256(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if found == pinned {
        return Ok(());
    }
    Err(Failure::Other(format!(
        "{}: expected the file with SHA-256 {pinned}, found {found}; {advice}",
        file.display()
    )))
}

fn sha256(file: &Path) -> std::io::Result<String> {
    let mut file = File::open(file)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hash.update(&buffer[..read]);
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
