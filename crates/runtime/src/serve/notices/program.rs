//! Reading the notices of the programs that serve on a data folder.

use pudato_engine::board::{InHand, Outage};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The folder of the notices in the data folder.
pub(super) const FOLDER: &str = "run";
/// The extension of a notice.
pub(super) const ENDING: &str = "json";
/// How often a notice that was replaced meanwhile is opened again.
const REPLACED_MAX: u32 = 10;

/// A program that serves on a data folder, as its notice shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Program {
    /// The process id.
    pub pid: u32,
    /// When it started to serve, in milliseconds since the Unix epoch, like all times here.
    pub since_ms: u64,
    /// The services whose workers it runs; `results` is the results consumer.
    pub runs: Vec<String>,
    /// The messages that it has been handling for more than a second, the oldest first.
    pub in_hand: Vec<InHand>,
    /// The outages of its parts.
    pub outages: Vec<Outage>,
}

/// The programs that now serve on a data folder. A killed program leaves a notice without a lock, which is ignored.
pub fn programs(data_dir: &Path) -> Vec<Program> {
    let Ok(found) = fs::read_dir(data_dir.join(FOLDER)) else {
        return Vec::new();
    };
    let paths = found.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let notices = paths.filter(|path| path.extension().is_some_and(|ending| ending == ENDING));
    let mut programs: Vec<Program> = notices
        .filter_map(|path| {
            let text = living(&path)?;
            // An unreadable notice is from another version of pudato. Its program serves nevertheless.
            let program = serde_json::from_str(&text);
            program
                .inspect_err(
                    |error| tracing::warn!(%error, path = %path.display(), "the notice of another program cannot be read"),
                )
                .ok()
        })
        .collect();
    programs.sort_by_key(|program| (program.since_ms, program.pid));
    programs
}

/// The text of a notice whose program is alive.
fn living(path: &Path) -> Option<String> {
    for _ in 0..REPLACED_MAX {
        let mut file = File::open(path).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            // Without file locks: a program that ended normally has removed its notice.
            Err(TryLockError::Error(_)) => {}
            Ok(()) if is_at(&file, path) => return None,
            // The file was replaced after it was opened.
            Ok(()) => continue,
        }
        let mut text = String::new();
        return file.read_to_string(&mut text).is_ok().then_some(text);
    }
    None
}

/// Whether the open file is the one that its path names now.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(opened), Ok(named)) = (file.metadata(), fs::metadata(path)) else {
        return false;
    };
    (opened.dev(), opened.ino()) == (named.dev(), named.ino())
}

/// The process id of the `pudato up` that runs on a data folder; `?` if it did not write one.
pub fn up_process(data_dir: &Path) -> Option<String> {
    let mut file = File::open(data_dir.join("up.lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let pid = pid.trim();
            Some(if pid.is_empty() { "?" } else { pid }.to_owned())
        }
        _ => None,
    }
}
