//! Folders for sources and answers. A crash leaves none behind for long.

use crate::engine::{EngineError, Scratch};
use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The folder of one engine, which it keeps locked. An unlocked folder is left over.
pub(super) struct ScratchRoot {
    _folder: TempDir,
    works: PathBuf,
    spill: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl ScratchRoot {
    /// Creates a folder below `parent`, and removes those of engines that are gone.
    pub(super) fn new(parent: &Path) -> Result<Self, EngineError> {
        Self::make(parent).map_err(|error| {
            EngineError::Unavailable(format!("scratch folder {}: {error}", parent.display()))
        })
    }

    fn make(parent: &Path) -> std::io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
        let parent = parent.canonicalize()?;
        sweep(&parent);
        // TempDir creates it for its owner only.
        let folder = TempDir::with_prefix_in("engine-", &parent)?;
        let lock_path = lock_of(folder.path());
        let lock = File::create(&lock_path)?;
        lock.lock()?;
        let (works, spill) = (folder.path().join("works"), folder.path().join("spill"));
        for folder in [&works, &spill] {
            DirBuilder::new().mode(0o700).create(folder)?;
        }
        Ok(Self {
            _folder: folder,
            works,
            spill,
            lock_path,
            _lock: lock,
        })
    }

    /// The parent of the folders of works. SQL may read below it if it knows the name of a folder.
    pub(super) fn works(&self) -> &Path {
        &self.works
    }

    /// The folder for DuckDB's spilled data, which SQL cannot read.
    pub(super) fn spill(&self) -> &Path {
        &self.spill
    }

    /// Creates a folder with an unguessable name for one work.
    pub(super) fn folder(&self) -> Result<Scratch, EngineError> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let folder = TempDir::with_prefix_in(format!("{name}-"), &self.works);
        folder
            .map(Scratch)
            .map_err(|error| EngineError::Unavailable(format!("scratch folder: {error}")))
    }
}

impl Drop for ScratchRoot {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.lock_path);
    }
}

fn lock_of(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    folder.with_file_name(name)
}

/// Removes the folders of engines that are gone. A folder without a lock file is being created, or is not ours.
fn sweep(parent: &Path) {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        let lock_path = lock_of(&path);
        let Ok(lock) = File::open(&lock_path) else {
            continue;
        };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(&lock_path);
        }
    }
}
