//! Gives the processes of a folder their turn to write, without polling, and one after the other.

use super::folder;
use crate::Error;
use std::fs::File;
use std::path::Path;

/// Two locks: who waits for its turn holds the gate meanwhile, so that who just had it cannot have it again before.
pub(super) struct Turn {
    gate: File,
    floor: File,
}

impl Turn {
    pub(super) fn open(root: &Path) -> Result<Self, Error> {
        Ok(Self {
            gate: folder::file(root, "fabric.gate")?,
            floor: folder::file(root, "fabric.lock")?,
        })
    }

    /// Runs `work` in this process's turn. Where locks fail, SQLite's own busy timeout still keeps processes apart, only
    /// less evenly.
    pub(super) fn take<T>(&self, work: impl FnOnce() -> T) -> T {
        let _ = self.gate.lock();
        let _ = self.floor.lock();
        let _ = self.gate.unlock();
        let done = work();
        let _ = self.floor.unlock();
        done
    }
}
