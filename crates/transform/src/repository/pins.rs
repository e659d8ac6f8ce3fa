//! Pins each job to a commit: all steps of a job see the same one, and a job that is sent again gets the one it had.

use crate::process::private;
use crate::repository::logic::is_commit;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A pin that was not used for this long is removed.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);

/// The pins, one file for each job.
pub(crate) struct Pins {
    pub(crate) folder: PathBuf,
}

impl Pins {
    /// Returns the commit of a job, and renews its pin.
    pub(crate) fn read(&self, job: &str, now: SystemTime) -> Option<String> {
        let path = self.path(job);
        let commit = std::fs::read_to_string(&path).ok();
        let commit = commit.filter(|commit| is_commit(commit))?;
        let file = File::options().append(true).open(&path);
        // If this fails, the next read renews it.
        let _ = file.and_then(|file| file.set_modified(now));
        Some(commit)
    }

    /// Writes the commit of a job, unless the job has one.
    pub(crate) fn write(&self, job: &str, commit: &str) -> std::io::Result<()> {
        let path = self.path(job);
        private::make_folder(&self.folder)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(commit.as_bytes())?;
        file.as_file().sync_all()?;
        // A file without a commit was cut off while it was written.
        let is_known = std::fs::read_to_string(&path).is_ok_and(|known| is_commit(&known));
        if !is_known {
            file.persist(&path)?;
        }
        Ok(())
    }

    /// Removes pins that were not used for a long time.
    pub(crate) fn prune(folder: &Path, now: SystemTime) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let asked = entry.metadata().and_then(|data| data.modified());
            let age = asked.ok().and_then(|asked| now.duration_since(asked).ok());
            if age.is_some_and(|age| age > KEPT) {
                // The next call tries again.
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, job: &str) -> PathBuf {
        self.folder.join(file_name(job))
    }
}

/// The file name for a job id.
fn file_name(job: &str) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    Sha256::digest(job)
        .iter()
        .fold(String::new(), |mut all, byte| {
            let _ = write!(all, "{byte:02x}");
            all
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_keeps_its_first_commit_as_long_as_somebody_asks_for_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let pins = Pins {
            folder: folder.path().join("jobs"),
        };
        let day = |n: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(n * 24 * 3_600);
        let (one, other) = ("1".repeat(40), "2".repeat(40));
        for job in ["asked/for", "forgotten"] {
            assert_eq!(pins.read(job, day(0)), None);
            pins.write(job, &one).expect("written");
            pins.write(job, &other).expect("it has one");
            assert_eq!(pins.read(job, day(0)), Some(one.clone()));
        }
        pins.read("asked/for", day(60));
        Pins::prune(&pins.folder, day(91));
        assert_eq!(pins.read("asked/for", day(91)), Some(one));
        assert_eq!(pins.read("forgotten", day(91)), None);
        // A truncated pin is ignored and does not get in the way.
        std::fs::write(pins.path("cut"), "12").expect("written");
        assert_eq!(pins.read("cut", day(0)), None);
        pins.write("cut", &other).expect("written");
        assert_eq!(pins.read("cut", day(0)), Some(other));
    }
}
