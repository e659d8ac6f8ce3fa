//! A checkout of a revision that is removed with whoever asked for it, however that one ends.

use crate::tools::run;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

/// Waits until nobody holds the other end of its pipe, and removes the checkout. Ctrl-C reaches it as well, so it does not listen.
const GUARD: &str = "trap '' INT TERM HUP; cat >/dev/null; \
    git -C \"$0\" worktree remove --force \"$1/tree\"; rm -rf -- \"$1\"; git -C \"$0\" worktree prune";

/// In the folder that it was made in, which is removed as well.
pub struct Worktree {
    path: PathBuf,
    guard: Child,
    pipe: Option<ChildStdin>,
    _lock: File,
}

impl Worktree {
    /// Checks `commit` of `repository` out, in `folder`.
    ///
    /// # Errors
    /// Another one is there and in use; or git fails.
    pub fn add(repository: &Path, folder: &Path, commit: &str) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        // Beside the folder, which is removed: a lock that is removed locks nobody out.
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = File::create(folder.with_extension("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "{} is in use: another comparison runs",
                    folder.display()
                ));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let path = folder.join("tree");
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            git.arg("-C").arg(repository).arg("worktree").args(args);
            // Not stderr: git says there why it fails.
            git.stdout(Stdio::null());
            git
        };
        // What a machine that went down left.
        let _ = fs::remove_dir_all(&path);
        run(&mut git(&["prune"]))?;
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD]).arg(repository).arg(folder);
        guard.stdin(Stdio::piped());
        guard.stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = guard.spawn().map_err(failed)?;
        let pipe = guard.stdin.take();
        let worktree = Self {
            path,
            guard,
            pipe,
            _lock: lock,
        };
        run(git(&["add", "--quiet", "--detach", "--force"])
            .arg(&worktree.path)
            .arg(commit))?;
        // Measurements look for Python's packages in the tree that they were built from.
        let packages = repository.join(".venv");
        if packages.exists() {
            std::os::unix::fs::symlink(packages, worktree.path.join(".venv")).map_err(failed)?;
        }
        Ok(worktree)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it, and says where that fails.
    ///
    /// # Errors
    /// It is still there.
    pub fn remove(mut self) -> Result<(), String> {
        self.end();
        match self.path.exists() {
            true => Err(format!("{} cannot be removed", self.path.display())),
            false => Ok(()),
        }
    }

    fn end(&mut self) {
        drop(self.pipe.take());
        let _ = self.guard.wait();
    }
}

impl Drop for Worktree {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::Worktree;
    use crate::tools::{output, run};
    use std::path::Path;
    use std::process::Command;

    fn git(folder: &Path) -> Command {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder);
        git.args(["-c", "user.name=test", "-c", "user.email=test@localhost"]);
        git
    }

    #[test]
    fn a_checkout_is_removed_with_whoever_made_it() {
        let home = tempfile::tempdir().expect("a folder");
        let repository = home.path();
        let head = || {
            run(git(repository).args(["init", "--quiet"]))?;
            std::fs::write(repository.join("file"), "old").map_err(|error| error.to_string())?;
            run(git(repository).args(["add", "file"]))?;
            run(git(repository).args(["commit", "--quiet", "-m", "One"]))?;
            output(git(repository).args(["rev-parse", "HEAD"]))
        };
        let head = head().expect("a commit");
        std::fs::write(repository.join("file"), "new").expect("written");
        let folder = repository.join("target/compare");
        let add = || Worktree::add(repository, &folder, head.trim());

        let worktree = add().expect("a checkout");
        let text = std::fs::read_to_string(worktree.path().join("file"));
        assert_eq!(text.expect("the file"), "old");
        let second = add().err().expect("it is in use");
        assert!(second.contains("another comparison runs"), "{second}");

        // As when this program is killed: the pipe closes, and nothing else is done.
        drop(worktree);
        assert!(!folder.exists(), "nothing is left");
        let listed = output(git(repository).args(["worktree", "list"])).expect("a list");
        assert_eq!(listed.lines().count(), 1, "{listed}");

        add().expect("another").remove().expect("removed");
        assert!(!folder.exists(), "nothing is left");
        // What another end left behind is no obstacle.
        std::fs::create_dir_all(folder.join("tree/rest")).expect("a folder");
        add().expect("a third").remove().expect("removed");
    }
}
