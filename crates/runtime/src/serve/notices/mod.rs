//! A file in the data folder in which a program shows others which messages it is handling. The program keeps the file locked while it is
//! alive.
//!
//! This is a file rather than a table because the fabric may be what does not respond, and on AWS there is no fabric on this machine.

mod program;

pub use program::{Program, programs, up_process};

use program::{ENDING, FOLDER, is_at};
use pudato_engine::board::Board;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;

/// The shortest time between two notices.
const EVERY: Duration = Duration::from_secs(1);
/// An unfinished notice that is older than this is removed.
const UNFINISHED: Duration = Duration::from_secs(60);
/// The extension of an unfinished notice.
const UNFINISHED_ENDING: &str = "new";

/// Keeps a notice of the messages on `board` until `stop` is cancelled. If the notice cannot be written, there is none.
pub(crate) async fn keep_posted(
    board: Board,
    data_dir: PathBuf,
    mut program: Program,
    stop: CancellationToken,
) {
    let mut post = Post::new(&data_dir);
    loop {
        let (in_hand, outages, is_moving) = board.notice();
        (program.in_hand, program.outages) = (in_hand, outages);
        let text = serde_json::to_string(&program).unwrap_or_default();
        // A disk may hang, and the other tasks of this program must not hang with it.
        let written = tokio::task::spawn_blocking(move || {
            post.write(&text);
            post
        });
        post = match written.await {
            Ok(post) => post,
            Err(_) => return,
        };
        let next = async {
            if !is_moving {
                board.changed().await;
            }
            tokio::time::sleep(EVERY).await;
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = next => {}
        }
    }
}

/// The notice of one program. Dropping it removes the file.
struct Post {
    path: PathBuf,
    /// The current file, locked.
    posted: Option<(File, String)>,
    is_failing: bool,
}

impl Post {
    fn new(data_dir: &Path) -> Self {
        let folder = data_dir.join(FOLDER);
        // If the folder cannot be created, the first write reports it.
        let _ = DirBuilder::new().mode(0o700).create(&folder);
        sweep(&folder);
        let name = format!("{}-{:08x}.{ENDING}", std::process::id(), fastrand::u32(..));
        Self {
            path: folder.join(name),
            posted: None,
            is_failing: false,
        }
    }

    /// Replaces the notice, unless its text is the same. A notice that cannot be replaced is removed, since it would be out of date.
    fn write(&mut self, text: &str) {
        if self
            .posted
            .as_ref()
            .is_some_and(|(_, posted)| posted == text)
        {
            return;
        }
        match self.replace(text) {
            Ok(file) => {
                self.posted = Some((file, text.to_owned()));
                self.is_failing = false;
            }
            Err(error) => {
                if !self.is_failing {
                    let path = self.path.display();
                    tracing::warn!(%error, %path, "the notice cannot be written; other programs cannot see which messages this one is handling");
                }
                self.is_failing = true;
                self.posted = None;
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    /// A reader that sees the file at its place sees it complete and locked.
    fn replace(&self, text: &str) -> io::Result<File> {
        let new = self.path.with_extension(UNFINISHED_ENDING);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&new)?;
        let written = file
            .lock()
            .or_else(|error| match error.kind() {
                // Some file systems do not support locks.
                io::ErrorKind::Unsupported => Ok(()),
                _ => Err(error),
            })
            .and_then(|()| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&new, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written.map(|()| file)
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes the notices of programs that were killed.
fn sweep(folder: &Path) {
    let Ok(found) = fs::read_dir(folder) else {
        return;
    };
    for path in found.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_left = match ending {
            Some(ENDING) => File::open(&path)
                .is_ok_and(|file| file.try_lock_shared().is_ok() && is_at(&file, &path)),
            Some(UNFINISHED_ENDING) => age(&path).is_some_and(|age| age > UNFINISHED),
            _ => false,
        };
        if is_left {
            let _ = fs::remove_file(&path);
        }
    }
}

fn age(path: &Path) -> Option<Duration> {
    let modified = path.metadata().ok()?.modified().ok()?;
    SystemTime::now().duration_since(modified).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn text(pid: u32) -> String {
        let program = Program {
            pid,
            ..Program::default()
        };
        serde_json::to_string(&program).expect("JSON")
    }

    #[test]
    fn a_notice_counts_as_long_as_its_program_is_alive() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(programs(folder.path()).is_empty());
        let mut post = Post::new(folder.path());
        post.write(&text(1));
        post.write(&text(2));
        let path = post.path.clone();
        let read: Vec<u32> = programs(folder.path()).iter().map(|p| p.pid).collect();
        assert_eq!(read, [2], "the last counts");
        let mode = path.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // As after a kill: the lock is released, and the file stays.
        post.posted = None;
        assert!(path.exists());
        assert!(
            programs(folder.path()).is_empty(),
            "a notice without a lock is ignored"
        );
        drop(Post::new(folder.path()));
        assert!(!path.exists(), "the next program removes it");
    }

    #[test]
    fn a_notice_is_removed_with_its_program() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut post = Post::new(folder.path());
        post.write(&text(1));
        let other = Post::new(folder.path());
        assert_eq!(
            programs(folder.path()).len(),
            1,
            "the notice of a live program stays"
        );
        drop((post, other));
        let left = fs::read_dir(folder.path().join(FOLDER)).expect("a folder");
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_reader_during_a_replacement_sees_a_complete_notice() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut post = Post::new(folder.path());
        post.write(&text(0));
        let root = folder.path().to_owned();
        let looking = std::thread::spawn(move || (0..2_000).all(|_| programs(&root).len() == 1));
        let mut n = 0;
        while !looking.is_finished() {
            n += 1;
            post.write(&text(n));
        }
        assert!(looking.join().expect("no panic"));
    }
}
