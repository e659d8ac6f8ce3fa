//! A temporary folder for one run of dbt. It is removed with the run; the next run removes what a killed one left behind.

use std::fs::File;
use std::path::Path;
use tempfile::TempDir;

/// The file that a run keeps locked.
const LOCK: &str = "lock";

/// The folder of a run.
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Creates a folder below `all`, and removes those without an owner.
    pub(crate) fn new(all: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(all)?;
        // Another process must not sweep between the creation of the folder and the locking of its file.
        let making = all.with_extension("lock");
        let making = File::options().create(true).append(true).open(making)?;
        making.lock()?;
        sweep(all)?;
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(all)?;
        let lock = File::create(folder.path().join(LOCK))?;
        lock.lock()?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Removes the folders of killed runs.
fn sweep(all: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(all)?.flatten() {
        let is_left = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // The run was killed before it had its lock, or is being removed right now.
            Err(_) => true,
        };
        if is_left {
            // Another program may have been faster.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_stays_and_what_was_left_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = folder.path().join("runs");
        let one = Scratch::new(&all).expect("made");
        // As a killed run leaves them: with an unlocked file, or without one.
        let left = [all.join("run-left"), all.join("run-begun")];
        for left in &left {
            std::fs::create_dir(left).expect("made");
        }
        std::fs::write(left[0].join(LOCK), "").expect("written");
        let two = Scratch::new(&all).expect("made");
        assert!(one.path().exists() && two.path().exists());
        assert!(left.iter().all(|left| !left.exists()));
        drop((one, two));
        assert_eq!(std::fs::read_dir(all).expect("there").count(), 0);
    }

    #[test]
    fn runs_that_begin_at_once_keep_their_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        let all = folder.path().join("runs");
        let begin = || {
            for _ in 0..200 {
                let run = Scratch::new(&all).expect("made");
                assert!(run.path().join(LOCK).exists(), "it was swept away");
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(begin);
            }
        });
    }
}
