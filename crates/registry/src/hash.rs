//! SHA-256 in hex.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Hashes the concatenation of the parts.
pub(crate) fn sha256_hex(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
