//! Errors of operations in a folder.

use super::beneath;
use object_store::Error;
use rustix::fd::OwnedFd;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::fmt;
use std::io;

/// Why an operation in a folder failed. It distinguishes errors of one object from those of the whole container.
#[derive(Debug)]
pub(crate) enum Problem {
    /// This part of the path is a symbolic link.
    Link(String),
    /// The path is not a regular file.
    NotAFile(&'static str),
    /// The folder of the container is unusable.
    Root {
        /// The error of the operating system.
        error: io::Error,
        /// Whether it is one of our folders, so that other containers are not affected.
        is_ours: bool,
    },
    /// A file could not be read or inspected.
    Read(io::Error),
    /// A file could not be written.
    Write(io::Error),
}

impl Problem {
    /// Reading `path` failed.
    pub(super) fn read(root: &OwnedFd, path: &str, errno: Errno) -> Self {
        Self::link(root, path, errno).unwrap_or_else(|| match errno {
            // A socket cannot be opened by its name.
            Errno::NXIO => Self::NotAFile("a socket or a device"),
            // A bad sector concerns one object, while a missing disk concerns all.
            Errno::IO if rustix::fs::fsync(root) == Err(Errno::IO) => Self::Root {
                error: errno.into(),
                is_ours: false,
            },
            errno => Self::Read(errno.into()),
        })
    }

    /// Writing `path` failed.
    pub(super) fn write(root: &OwnedFd, path: &str, errno: Errno) -> Self {
        Self::link(root, path, errno).unwrap_or_else(|| Self::Write(errno.into()))
    }

    fn link(root: &OwnedFd, path: &str, errno: Errno) -> Option<Self> {
        let may_be = matches!(
            errno,
            Errno::LOOP | Errno::NOTDIR | Errno::XDEV | Errno::MLINK
        );
        may_be
            .then(|| beneath::link_on(root, path))
            .flatten()
            .map(Self::Link)
    }

    /// The error for anything but a regular file.
    pub(super) fn other_kind(path: &str, kind: FileType) -> Self {
        match kind {
            FileType::Symlink => Self::Link(path.to_owned()),
            FileType::Directory => Self::Write(Errno::ISDIR.into()),
            FileType::Fifo => Self::NotAFile("a pipe"),
            FileType::Socket => Self::NotAFile("a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => Self::NotAFile("a device"),
            _ => Self::NotAFile("no file that is known"),
        }
    }

    /// Converts it to an error of the object store.
    pub(super) fn of(self, path: &str) -> Error {
        let path = path.to_owned();
        match self {
            Self::Read(error)
            | Self::Root {
                error,
                is_ours: true,
            } if error.kind() == io::ErrorKind::NotFound => {
                let source = Box::new(error);
                Error::NotFound { path, source }
            }
            Self::Write(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let source = Box::new(error);
                Error::AlreadyExists { path, source }
            }
            problem => Error::Generic {
                store: "folder",
                source: Box::new(problem),
            },
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(part) => write!(f, "{part:?} is a symbolic link"),
            Self::NotAFile(kind) => write!(f, "it is {kind}"),
            Self::Root { error, .. } => write!(f, "the container's folder: {error}"),
            Self::Read(error) | Self::Write(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Problem {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Root { error, .. } | Self::Read(error) | Self::Write(error) => Some(error),
            Self::Link(_) | Self::NotAFile(_) => None,
        }
    }
}
