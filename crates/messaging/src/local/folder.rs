//! The data folder: its permissions, and the version of pudato that wrote it.

use crate::{Error, ErrorKind};
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Creates the folder for its owner alone, or checks an existing one.
pub(super) fn prepare(root: &Path) -> Result<PathBuf, Error> {
    let wrong =
        |what: String| Error::new(ErrorKind::Invalid, format!("{}: {what}", root.display()));
    let unreadable = |error: std::io::Error| {
        let context = format!(
            "{}: the data folder cannot be used: {error}",
            root.display()
        );
        Error::new(ErrorKind::Unavailable, context).with_io(error)
    };
    if root.is_symlink() {
        return Err(wrong("the data folder must not be a symbolic link".into()));
    }
    if root.exists() && !root.is_dir() {
        return Err(wrong("expected a folder for the data, found a file".into()));
    }
    fs::create_dir_all(root).map_err(unreadable)?;
    fs::set_permissions(root, fs::Permissions::from_mode(0o700)).map_err(unreadable)?;
    root.canonicalize().map_err(unreadable)
}

/// Creates an empty file for its owner alone. An existing file or symbolic link is refused.
pub(super) fn new_file(path: &Path) -> Result<(), Error> {
    let made = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.map(drop).map_err(|error| {
        let context = format!("{}: cannot be created: {error}", path.display());
        Error::new(ErrorKind::Unavailable, context).with_io(error)
    })
}

/// Opens a file of the folder, or creates it for its owner alone. A symbolic link is refused.
pub(super) fn file(root: &Path, name: &str) -> Result<fs::File, Error> {
    let path = root.join(name);
    if path.is_symlink() {
        let context = format!("{}: must not be a symbolic link", path.display());
        return Err(Error::new(ErrorKind::Invalid, context));
    }
    fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(|error| {
            let context = format!("{}: cannot be opened: {error}", path.display());
            Error::new(ErrorKind::Unavailable, context).with_io(error)
        })
}
