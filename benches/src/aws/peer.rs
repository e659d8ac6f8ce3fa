//! The same commands through a publisher, a runner and a consumer in Python, as they are usually written: one call per message.

use super::installation::{BUCKET, Installation, environment};
use crate::Outcome;
use std::path::Path;
use std::process::Command;

/// Commands per second.
pub fn per_second(installation: &Installation, count: usize) -> Outcome<f64> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(root.join("../.venv/bin/python"));
    python.arg(root.join("boto3_peer.py"));
    python.args([&count.to_string(), BUCKET, &installation.database.url]);
    environment(&mut python, &installation.emulator);
    let output = python.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let seconds: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    Ok(count as f64 / seconds)
}
