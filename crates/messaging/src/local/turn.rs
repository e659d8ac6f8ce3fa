//! Lets the processes of a folder write in turn, fairly and without polling.

use super::folder;
use crate::Error;
use std::fs::File;
use std::path::Path;

/// Two locks. A waiting process holds the gate, so that the process that has just written cannot overtake it.
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

    /// Runs `work` in this process's turn. If the locks fail, SQLite's busy timeout still separates the processes, only less fairly.
    pub(super) fn take<T>(&self, work: impl FnOnce() -> T) -> T {
        let _ = self.gate.lock();
        let _ = self.floor.lock();
        let _ = self.gate.unlock();
        let done = work();
        let _ = self.floor.unlock();
        done
    }
}
