//! Opens files below a folder without following symbolic links. The kernel resolves the whole path (`openat2`); if it is too old or a
//! sandbox forbids the call, each part is opened by itself.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, statat};
use rustix::io::{Errno, Result};
use rustix::path::Arg;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicBool, Ordering};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Does not wait for the writer of a pipe, and does not take over a terminal.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens the folder itself. `path` is canonical, so it contains no link unless one was put there since.
pub(super) fn root(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, FOLDER, Mode::empty())
}

/// Opens the folder at `path`, which is empty for `root` itself.
pub(super) fn folder(root: impl AsFd, path: &str) -> Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    open(root.as_fd(), path, FOLDER)
}

/// Opens the file at `path`, or whatever is there: its type is known only after opening it.
pub(super) fn file(root: impl AsFd, path: &str) -> Result<OwnedFd> {
    open(root.as_fd(), path, FILE)
}

/// Opens the folder at `path` and creates missing parts durably.
pub(super) fn make_folder(root: impl AsFd, path: &str) -> Result<OwnedFd> {
    match folder(&root, path) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    let mut at = folder(&root, "")?;
    for part in path.split('/') {
        let next = match rustix::fs::openat(&at, part, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => {
                match rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(errno),
                }
                rustix::fs::fsync(&at)?;
                rustix::fs::openat(&at, part, FOLDER, Mode::empty())?
            }
            opened => opened?,
        };
        at = next;
    }
    Ok(at)
}

/// Whether the kernel and the sandbox support `openat2`.
#[cfg(target_os = "linux")]
static HAS_OPENAT2: AtomicBool = AtomicBool::new(true);

/// If a folder on the path is renamed, the kernel asks to retry.
#[cfg(target_os = "linux")]
const TRIES: usize = 16;

#[cfg(target_os = "linux")]
fn open(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        if !HAS_OPENAT2.load(Ordering::Relaxed) {
            break;
        }
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(Errno::NOSYS) => HAS_OPENAT2.store(false, Ordering::Relaxed),
            // Sandboxes answer unknown calls with this error.
            Err(Errno::PERM) => break,
            opened => return opened,
        }
    }
    by_parts(root, path, flags)
}

#[cfg(not(target_os = "linux"))]
fn open(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd> {
    by_parts(root, path, flags)
}

fn by_parts(root: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd> {
    let mut at: Option<OwnedFd> = None;
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        // Two dots would leave the folder.
        if part == ".." {
            return Err(Errno::XDEV);
        }
        let from = at.as_ref().map_or(root, |at| at.as_fd());
        let is_last = parts.peek().is_none();
        let flags = if is_last { flags } else { FOLDER };
        let next = rustix::fs::openat(from, part, flags, Mode::empty())?;
        if is_last {
            return Ok(next);
        }
        at = Some(next);
    }
    Err(Errno::NOENT)
}

/// The first part of `path` that is a symbolic link, with the parts before it.
pub(super) fn link_on(root: impl AsFd, path: &str) -> Option<String> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    for end in ends.chain([path.len()]) {
        let (folder_path, name) = super::split(&path[..end]);
        let at = folder(&root, folder_path).ok()?;
        match kind_of(&at, name).ok()? {
            FileType::Symlink => return Some(path[..end].to_owned()),
            FileType::Directory => {}
            _ => return None,
        }
    }
    None
}

/// The type of the entry `name`, without following links.
pub(super) fn kind_of(folder: impl AsFd, name: impl Arg) -> Result<FileType> {
    let found = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode as RawMode))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    type Open = fn(BorrowedFd<'_>, &str, OFlags) -> Result<OwnedFd>;

    /// The fallback for an old kernel or a sandbox keeps the same promises.
    #[test]
    fn a_path_is_opened_without_a_link_with_and_without_openat2() {
        let base = tempfile::tempdir().expect("a folder");
        let container = base.path().join("container");
        std::fs::create_dir_all(container.join("a/b")).expect("made");
        std::fs::write(container.join("a/b/file"), "x").expect("written");
        std::fs::write(base.path().join("outside"), "x").expect("written");
        symlink("a", container.join("inner")).expect("planted");
        symlink(base.path(), container.join("outer")).expect("planted");
        symlink("b/file", container.join("a/link")).expect("planted");
        let root = root(&container).expect("opened");
        for open in [open as Open, by_parts as Open] {
            let opened = |path| open(root.as_fd(), path, FILE).map(|_| ());
            assert_eq!(opened("a/b/file"), Ok(()));
            assert_eq!(opened("a/b"), Ok(()));
            assert_eq!(opened("a/none"), Err(Errno::NOENT));
            assert_eq!(opened("a/b/file/none"), Err(Errno::NOTDIR));
            for path in [
                "inner/b/file",
                "outer/outside",
                "a/link",
                "../outside",
                "a/../../outside",
            ] {
                assert!(opened(path).is_err(), "{path}");
            }
        }
        assert_eq!(link_on(&root, "inner/b/file").as_deref(), Some("inner"));
        assert_eq!(link_on(&root, "a/link").as_deref(), Some("a/link"));
        assert_eq!(link_on(&root, "a/b/file"), None);
    }
}
