//! What the errors of object stores and of the operating system are to callers of this crate.

use crate::folder::Problem;
pub(crate) use pudato_protocol::{Code, Error, ErrorKind};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use std::io;

/// The one place where the errors of the object store become ours.
pub(crate) fn store_error(doing: &str, error: object_store::Error) -> Error {
    told(doing, &error).with_source(error)
}

fn told(doing: &str, error: &object_store::Error) -> Error {
    use object_store::Error as Store;
    #[cfg(feature = "s3")]
    if let Some(told) = crate::s3_errors::told(doing, error) {
        return told;
    }
    match error {
        Store::NotFound { .. } => Error::new(
            ErrorKind::NotFound,
            format!("{doing}: there is no such object"),
        ),
        Store::AlreadyExists { .. } => {
            let context = format!("{doing}: there is an object already");
            Error::new(ErrorKind::AlreadyExists, context)
        }
        Store::InvalidPath { .. } | Store::NotSupported { .. } | Store::NotImplemented { .. } => {
            Error::new(ErrorKind::Invalid, format!("{doing}: {error}"))
        }
        Store::PermissionDenied { .. } | Store::Unauthenticated { .. } => {
            let advice = "give this role access to the bucket and its key; pudato retries";
            Error::new(ErrorKind::Denied, format!("{doing}: {error}; {advice}"))
        }
        other => match below::<Problem>(other) {
            Some(problem) => of_folder(doing, problem),
            // What nobody knows is no reason to stop for all others.
            None => Error::new(ErrorKind::Failed, format!("{doing}: {other}")),
        },
    }
}

fn of_folder(doing: &str, problem: &Problem) -> Error {
    match problem {
        Problem::Link(part) => {
            let advice = "which pudato does not follow: put the file or folder itself there, or list the folder under [containers]";
            let context = format!("payload.path: {doing}: {part:?} is a symbolic link, {advice}");
            Error::new(ErrorKind::Invalid, context)
        }
        Problem::NotAFile(_) => {
            let context = format!("payload.path: {doing}: {problem}; expected a regular file");
            Error::new(ErrorKind::Invalid, context)
        }
        Problem::Root { error, is_ours } => {
            of_root(&format!("{doing}: the container's folder"), error, *is_ours)
        }
        Problem::Read(error) => of_object(doing, error, false),
        Problem::Write(error) => of_object(doing, error, true),
    }
}

/// The folder of a container cannot be used. One of ours is made by its name alone, so that is the matter of who says it.
pub(crate) fn root_error(doing: &str, error: io::Error, is_ours: bool) -> Error {
    of_root(doing, &error, is_ours).with_io(error)
}

/// A file of our own beside the objects failed; that others succeed is not to be expected.
pub(crate) fn scratch_error(doing: &str, error: io::Error) -> Error {
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
    let kind = match is_denied || is_everybodys(&error, true) {
        true => ErrorKind::Unavailable,
        false => ErrorKind::Failed,
    };
    let context = format!("{doing}: the scratch file: {error}{}", advice(&error));
    Error::new(kind, context).with_io(error)
}

fn of_root(doing: &str, error: &io::Error, is_ours: bool) -> Error {
    let kind = match is_ours && !is_everybodys(error, true) {
        true => ErrorKind::Failed,
        false => ErrorKind::Unavailable,
    };
    let advice = "give the process a folder there that it can read and write; pudato retries";
    Error::new(kind, format!("{doing}: {error}; {advice}")).with_code(errno(error))
}

fn of_object(doing: &str, error: &io::Error, is_write: bool) -> Error {
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
    Error::new(kind, format!("{doing}: {error}{}", advice(error))).with_code(errno(error))
}

fn errno(error: &io::Error) -> Option<Code> {
    error.raw_os_error().map(Code::Os)
}

/// What can be done about an error of the operating system.
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => "; free some space, then pudato retries",
        Io::ReadOnlyFilesystem => "; mount it for writing, then pudato retries",
        Io::PermissionDenied => "; give the process access to it, then pudato retries",
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of the operating system at the end of the chain.
    fn below_ours(error: &Error) -> &io::Error {
        let mut next: &(dyn std::error::Error + 'static) = error;
        while let Some(source) = next.source() {
            next = source;
        }
        next.downcast_ref().expect("an io::Error")
    }

    #[test]
    fn errors_of_folders_and_scratch_files_keep_their_errno_and_their_source() {
        let full = || io::Error::from(Errno::NOSPC);
        for error in [
            root_error("container lake", full(), true),
            root_error("container lake", full(), false),
            scratch_error("lake/x", full()),
        ] {
            assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
            assert_eq!(error.code(), Some(&Code::Os(Errno::NOSPC.raw_os_error())));
            assert_eq!(below_ours(&error).kind(), io::ErrorKind::StorageFull);
        }
    }

    /// By what the operating system says, whose matter an error is.
    #[test]
    fn an_error_of_one_object_is_never_that_of_the_store() {
        let kind = |errno: Errno, is_write| {
            let problem: fn(io::Error) -> Problem = match is_write {
                true => Problem::Write,
                false => Problem::Read,
            };
            let error = object_store::Error::Generic {
                store: "folder",
                source: Box::new(problem(errno.into())),
            };
            let error = store_error("lake/x", error);
            assert!(error.context.starts_with("lake/x: "), "{error}");
            assert_eq!(error.code(), Some(&Code::Os(errno.raw_os_error())));
            assert_eq!(
                below_ours(&error).raw_os_error(),
                Some(errno.raw_os_error())
            );
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
        let unknown = of_object("lake/x", &io::Error::other("what is that?"), true);
        assert_eq!((unknown.kind, unknown.code()), (ErrorKind::Failed, None));
    }
}
