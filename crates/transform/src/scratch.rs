//! A folder for one run of dbt; it goes with the run, and what a run left that was killed goes with the next.

use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// The file that a run holds locked as long as it lives.
const LOCK: &str = "lock";
/// A folder without that file is just being made, unless it is older.
const NEW: Duration = Duration::from_secs(60);

/// The folder of a run.
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one below `all`, and removes those that nobody has any more.
    pub(crate) fn new(all: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(all)?;
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

/// Removes what killed runs left.
pub(crate) fn sweep(all: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(all)?.flatten() {
        let is_left = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(_) => {
                let made = entry.metadata().and_then(|data| data.modified());
                made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > NEW))
            }
        };
        if is_left {
            // Another program may be as quick.
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
        let all = tempfile::tempdir().expect("a folder");
        let one = Scratch::new(all.path()).expect("made");
        // As a killed run leaves it: nobody holds the lock.
        let left = all.path().join("run-left");
        std::fs::create_dir(&left).expect("made");
        std::fs::write(left.join(LOCK), "").expect("written");
        let two = Scratch::new(all.path()).expect("made");
        assert!(one.path().exists() && two.path().exists());
        assert!(!left.exists());
        drop((one, two));
        assert_eq!(std::fs::read_dir(all.path()).expect("there").count(), 0);
    }
}
