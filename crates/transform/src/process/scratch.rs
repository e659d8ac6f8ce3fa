//! A folder for one run of dbt; it goes with the run, and what a run left that was killed goes with the next.

use std::fs::File;
use std::path::Path;
use tempfile::TempDir;

/// The file that a run holds locked as long as it lives.
const LOCK: &str = "lock";

/// The folder of a run.
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    /// Makes one below `all`, and removes those that nobody has any more.
    pub(crate) fn new(all: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(all)?;
        // Who sweeps must not come between the making of a folder and the taking of its lock.
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

/// Removes what killed runs left.
fn sweep(all: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(all)?.flatten() {
        let is_left = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            // It was killed before it had its lock, or is just being removed.
            Err(_) => true,
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
        let folder = tempfile::tempdir().expect("a folder");
        let all = folder.path().join("runs");
        let one = Scratch::new(&all).expect("made");
        // As a killed run leaves it: nobody holds the lock, or there is none.
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
