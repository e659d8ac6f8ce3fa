//! Why something could not be done in a folder.

use super::beneath;
use object_store::Error;
use rustix::fd::OwnedFd;
use rustix::fs::FileType;
use rustix::io::Errno;
use std::fmt;
use std::io;

/// Why something could not be done in a folder; what of it is one object's matter.
#[derive(Debug)]
pub(crate) enum Problem {
    /// This part of the path is a symbolic link.
    Link(String),
    /// There is something else than a regular file.
    NotAFile(&'static str),
    /// The container's folder itself.
    Root {
        /// What the operating system says.
        error: io::Error,
        /// One of many of ours, so it is the matter of those who name it.
        is_ours: bool,
    },
    /// What lies in the folder could not be read or looked at.
    Read(io::Error),
    /// What lies in the folder could not be written.
    Write(io::Error),
}

impl Problem {
    /// Looking at `path` failed.
    pub(super) fn read(root: &OwnedFd, path: &str, errno: Errno) -> Self {
        Self::link(root, path, errno).unwrap_or_else(|| match errno {
            // Nobody can open a socket by its name.
            Errno::NXIO => Self::NotAFile("a socket or a device"),
            // One bad sector is one object's matter; a disk that is gone is not.
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

    /// Anything that is no regular file, by what it is.
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

    /// As the object store's callers know it.
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
