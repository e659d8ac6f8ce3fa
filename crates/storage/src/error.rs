use crate::folder::Problem;
use pudato_handler::Failure;
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::{fmt, io};

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request breaks a rule: a container that is not listed, a path that leaves it.
    Invalid,
    /// There is no such object.
    NotFound,
    /// There is an object already, and the request said that there must be none.
    AlreadyExists,
    /// The object has more bytes than the caller takes.
    TooLarge,
    /// The store refuses access to it: others may be allowed, and this one when somebody allows it.
    Denied,
    /// This object failed, and others need not: the same request may succeed later.
    Failed,
    /// The store cannot be reached or is full, whatever object is asked for; the same request may succeed later.
    Unavailable,
}

/// Why an operation on an object failed.
#[derive(Debug)]
pub struct Error {
    /// What the caller can do.
    pub kind: ErrorKind,
    /// What was being done, to what, and what was expected.
    pub context: String,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
        }
    }

    /// The one place where the errors of the object store become ours.
    pub(crate) fn store(doing: &str, error: &object_store::Error) -> Self {
        use object_store::Error as Store;
        #[cfg(feature = "s3")]
        if let Some(told) = crate::s3_errors::told(doing, error) {
            return told;
        }
        match error {
            Store::NotFound { .. } => Self::new(
                ErrorKind::NotFound,
                format!("{doing}: there is no such object"),
            ),
            Store::AlreadyExists { .. } => {
                let context = format!("{doing}: there is an object already");
                Self::new(ErrorKind::AlreadyExists, context)
            }
            Store::InvalidPath { .. }
            | Store::NotSupported { .. }
            | Store::NotImplemented { .. } => {
                Self::new(ErrorKind::Invalid, format!("{doing}: {error}"))
            }
            Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
                let advice = "give this role access to the bucket and its key, it is tried again";
                Self::new(ErrorKind::Denied, format!("{doing}: {error}; {advice}"))
            }
            other => match below::<Problem>(other) {
                Some(problem) => Self::folder(doing, problem),
                // What nobody knows is no reason to stop for all others.
                None => Self::new(ErrorKind::Failed, format!("{doing}: {other}")),
            },
        }
    }

    fn folder(doing: &str, problem: &Problem) -> Self {
        match problem {
            Problem::Link(part) => {
                let advice = "which is not followed: put what it leads to in its place, or list that folder under [containers]";
                let context =
                    format!("payload.path: {doing}: {part:?} is a symbolic link, {advice}");
                Self::new(ErrorKind::Invalid, context)
            }
            Problem::NotAFile(_) => {
                let context = format!("payload.path: {doing}: {problem}; expected a regular file");
                Self::new(ErrorKind::Invalid, context)
            }
            Problem::Root { error, is_ours } => {
                Self::root(&format!("{doing}: the container's folder"), error, *is_ours)
            }
            Problem::Read(error) => Self::io(doing, error, false),
            Problem::Write(error) => Self::io(doing, error, true),
        }
    }

    /// The folder of a container cannot be used. One of ours is made by its name alone, so that is the matter of who says it.
    pub(crate) fn root(doing: &str, error: &io::Error, is_ours: bool) -> Self {
        let kind = match is_ours && !is_everybodys(error, true) {
            true => ErrorKind::Failed,
            false => ErrorKind::Unavailable,
        };
        let advice =
            "give the process a folder there that it may read and write, it is tried again";
        Self::new(kind, format!("{doing}: {error}; {advice}"))
    }

    /// A file of our own beside the objects failed; that others succeed is not to be expected.
    pub(crate) fn scratch(doing: &str, error: &io::Error) -> Self {
        let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
        let kind = match is_denied || is_everybodys(error, true) {
            true => ErrorKind::Unavailable,
            false => ErrorKind::Failed,
        };
        let context = format!("{doing}: the scratch file: {error}{}", advice(error));
        Self::new(kind, context)
    }

    fn io(doing: &str, error: &io::Error, is_write: bool) -> Self {
        use io::ErrorKind as Io;
        let kind = match error.kind() {
            _ if is_everybodys(error, is_write) => ErrorKind::Unavailable,
            Io::NotFound if !is_write => ErrorKind::NotFound,
            Io::PermissionDenied => ErrorKind::Denied,
            Io::NotADirectory | Io::IsADirectory | Io::InvalidFilename | Io::FileTooLarge => {
                ErrorKind::Invalid
            }
            _ => ErrorKind::Failed,
        };
        Self::new(kind, format!("{doing}: {error}{}", advice(error)))
    }
}

/// What can be done about an error of the operating system.
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => "; free some space, it is tried again",
        Io::ReadOnlyFilesystem => "; mount it for writing, it is tried again",
        Io::PermissionDenied => "; give the process access to it, it is tried again",
        Io::NotADirectory | Io::IsADirectory => {
            "; an object and a folder cannot have the same path"
        }
        Io::InvalidFilename => "; use a shorter name",
        Io::FileTooLarge if !has_size_limit() => "; use several smaller objects",
        _ => "",
    }
}

/// Whether every object would fail so: the disk, the network below it, or this process, and not one file.
fn is_everybodys(error: &io::Error, is_write: bool) -> bool {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::StorageFull
        | Io::QuotaExceeded
        | Io::ReadOnlyFilesystem
        | Io::StaleNetworkFileHandle
        | Io::TimedOut
        | Io::NotConnected
        | Io::NetworkDown
        | Io::NetworkUnreachable
        | Io::HostUnreachable
        | Io::OutOfMemory => return true,
        // A limit of this process; without one a single object is larger than a file may be there.
        Io::FileTooLarge => return has_size_limit(),
        _ => {}
    }
    let everybodys = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NODEV,
        Errno::HOSTDOWN,
        Errno::SHUTDOWN,
    ];
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        // A bad sector spoils the reading of one file; a disk that takes nothing is everybody's matter.
        Some(Errno::IO) => is_write,
        Some(errno) => everybodys.contains(&errno),
        None => false,
    }
}

/// Whether this process may not write large files (`ulimit -f`).
fn has_size_limit() -> bool {
    getrlimit(Resource::Fsize).current.is_some()
}

/// The error of a type below the object store's.
pub(crate) fn below<T: std::error::Error + 'static>(error: &object_store::Error) -> Option<&T> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::Unavailable => Self::Unavailable { why: error.context },
            ErrorKind::Denied | ErrorKind::Failed => Self::Retry {
                why: error.context,
                after: None,
            },
            _ => Self::bad(error.context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By what the operating system says, whose matter an error is.
    #[test]
    fn an_error_of_one_object_is_never_that_of_the_store() {
        let kind = |errno: Errno, is_write| {
            let error = Error::io("lake/x", &errno.into(), is_write);
            assert!(error.context.starts_with("lake/x: "), "{error}");
            error.kind
        };
        for errno in [
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::STALE,
            Errno::NOTCONN,
            Errno::MFILE,
            Errno::NOMEM,
        ] {
            assert_eq!(kind(errno, true), ErrorKind::Unavailable, "{errno}");
        }
        assert_eq!(kind(Errno::IO, true), ErrorKind::Unavailable);
        assert_eq!(kind(Errno::IO, false), ErrorKind::Failed);
        for errno in [Errno::ACCESS, Errno::PERM] {
            assert_eq!(kind(errno, false), ErrorKind::Denied, "{errno}");
        }
        for errno in [Errno::NOTDIR, Errno::ISDIR, Errno::NAMETOOLONG] {
            assert_eq!(kind(errno, true), ErrorKind::Invalid, "{errno}");
        }
        for errno in [
            Errno::BUSY,
            Errno::TXTBSY,
            Errno::XDEV,
            Errno::INVAL,
            Errno::OPNOTSUPP,
        ] {
            assert_eq!(kind(errno, true), ErrorKind::Failed, "{errno}");
        }
        assert_eq!(kind(Errno::NOENT, false), ErrorKind::NotFound);
        let unknown = Error::io("lake/x", &io::Error::other("what is that?"), true);
        assert_eq!(unknown.kind, ErrorKind::Failed);
    }
}
