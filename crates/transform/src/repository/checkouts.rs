//! The files of commits. Each is written once and never changed. They can be recreated from the mirror, so only some are kept.

use crate::process::private;
use crate::repository::git::FetchError;
use crate::repository::logic::is_commit;
use crate::repository::mirror::Mirror;
use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

/// The most checkouts to keep. More commits are seldom in use at once, and a project with its packages may take 100 MB.
const KEPT_MAX: usize = 20;

/// The prefix of folders that are being created or removed. If no process holds the repository's lock, they are left over.
const UNFINISHED: &str = ".new-";

/// All checkouts. The caller must hold the repository's lock.
pub(crate) struct Checkouts {
    folder: PathBuf,
}

impl Checkouts {
    /// Opens the folder and removes unfinished checkouts.
    pub(crate) fn open(folder: PathBuf) -> std::io::Result<Self> {
        private::make_folder(&folder)?;
        for entry in std::fs::read_dir(&folder)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self { folder })
    }

    /// Returns the files of a commit, which stay as long as the returned lock is held.
    pub(crate) async fn take(
        &self,
        mirror: &Mirror<'_>,
        commit: &str,
    ) -> Result<(PathBuf, File), FetchError> {
        let failed = |error: std::io::Error| {
            FetchError::Unreachable(format!("{}: {error}", self.folder.display()))
        };
        let wanted = self.folder.join(commit);
        let lock = self.lock(commit).map_err(failed)?;
        lock.lock_shared().map_err(failed)?;
        lock.set_modified(SystemTime::now()).map_err(failed)?;
        if wanted.is_dir() {
            return Ok((wanted, lock));
        }
        let new = self.unfinished().map_err(failed)?;
        let (index, files) = (new.path().join("index"), new.path().join("files"));
        std::fs::create_dir(&files).map_err(failed)?;
        mirror.write(commit, &index, &files).await?;
        std::fs::rename(&files, &wanted).map_err(failed)?;
        self.prune(KEPT_MAX).map_err(failed)?;
        Ok((wanted, lock))
    }

    /// The lock file beside a checkout. A user holds it locked, and its time shows the last use.
    fn lock(&self, commit: &str) -> std::io::Result<File> {
        let path = self.folder.join(commit).with_extension("lock");
        File::options().create(true).append(true).open(path)
    }

    fn unfinished(&self) -> std::io::Result<tempfile::TempDir> {
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.folder)
    }

    /// Removes all checkouts that are not in use, except for the `kept` most recently used.
    fn prune(&self, kept: usize) -> std::io::Result<()> {
        let mut known = Vec::new();
        for entry in std::fs::read_dir(&self.folder)?.flatten() {
            let path = entry.path();
            let commit = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
            let is_checkout = path.extension().is_none() && is_commit(commit);
            if is_checkout {
                let used = path.with_extension("lock").metadata();
                let used = used.and_then(|lock| lock.modified());
                known.push((used.unwrap_or(SystemTime::UNIX_EPOCH), commit.to_owned()));
            }
        }
        known.sort();
        let unneeded = known.len().saturating_sub(kept);
        for (_, commit) in &known[..unneeded] {
            let lock = self.lock(commit)?;
            if lock.try_lock().is_ok() {
                self.remove(commit)?;
            }
        }
        Ok(())
    }

    /// Renames the folder first, so that half a checkout never looks like a whole one.
    fn remove(&self, commit: &str) -> std::io::Result<()> {
        let old = self.unfinished()?;
        let path = self.folder.join(commit);
        std::fs::rename(&path, old.path().join("files"))?;
        std::fs::remove_file(path.with_extension("lock"))?;
        old.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_checkouts_that_were_used_last_and_those_in_use_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let left = folder.path().join(".new-left");
        std::fs::create_dir_all(left.join("files")).expect("made");
        let all = Checkouts::open(folder.path().to_owned()).expect("opened");
        assert!(!left.exists(), "what a killed one left is gone");
        let commits: Vec<String> = (0..5).map(|n| format!("{n:040}")).collect();
        let mut locks = Vec::new();
        for (age, commit) in (0_u64..).zip(&commits) {
            std::fs::create_dir_all(folder.path().join(commit).join("models")).expect("made");
            let lock = all.lock(commit).expect("a lock");
            lock.lock_shared().expect("locked");
            let used = SystemTime::now() - Duration::from_secs(100 * (age + 1));
            lock.set_modified(used).expect("set");
            locks.push(lock);
        }
        // While another test starts a program, that program briefly holds a copy of every lock, and prune skips what is locked.
        let prune = |left: usize| {
            let folders = || {
                let entries = std::fs::read_dir(folder.path()).expect("there").flatten();
                entries.filter(|entry| entry.path().is_dir()).count()
            };
            for _ in 0..1000 {
                all.prune(2).expect("pruned");
                if folders() <= left {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        };
        // The oldest is in use; the others are not.
        locks.drain(..4);
        prune(3);
        let is_there: Vec<bool> = commits
            .iter()
            .map(|commit| folder.path().join(commit).is_dir())
            .collect();
        assert_eq!(is_there, [true, true, false, false, true]);
        drop(locks);
        prune(2);
        assert!(!folder.path().join(&commits[4]).exists());
        let left = std::fs::read_dir(folder.path()).expect("there").count();
        assert_eq!(left, 4, "two checkouts with their locks");
    }
}
