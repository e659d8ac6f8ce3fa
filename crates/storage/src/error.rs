use pudato_handler::Failure;
use std::fmt;

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
    /// The store cannot be reached or is full; the same request may succeed later.
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
        match error {
            // Somebody may make it, so it is tried again; an object that is not there is an answer.
            Store::NotFound { .. } if error.to_string().contains("NoSuchBucket") => {
                let advice = "there is no such bucket: create it, or correct its name in [containers] or PUDATO_CLAIMS_CONTAINER";
                Self::new(ErrorKind::Denied, format!("{doing}: {advice}"))
            }
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
            other => match io_error(other) {
                Some(io) => Self::io(doing, io),
                None => {
                    let text = other.to_string();
                    if let Some(code) = REFUSALS.iter().find(|code| text.contains(*code)) {
                        let context = format!("{doing}: S3 refuses the request: {code}");
                        return Self::new(ErrorKind::Invalid, context);
                    }
                    // The object store's own words for a redirect to nowhere.
                    let advice = match text.contains("incorrectly configured region") {
                        true => "; the bucket lies in another region, set AWS_REGION to it",
                        false => "",
                    };
                    Self::new(ErrorKind::Unavailable, format!("{doing}: {text}{advice}"))
                }
            },
        }
    }

    pub(crate) fn io(doing: &str, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let (kind, advice) = match error.kind() {
            Io::NotFound => (ErrorKind::NotFound, ""),
            Io::StorageFull | Io::QuotaExceeded => (
                ErrorKind::Unavailable,
                "; free some space, it is tried again",
            ),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => (
                ErrorKind::Unavailable,
                "; give the process access to the folder, it is tried again",
            ),
            Io::NotADirectory | Io::IsADirectory | Io::InvalidFilename => (
                ErrorKind::Invalid,
                "; an object and a folder cannot have the same path",
            ),
            _ => (ErrorKind::Unavailable, ""),
        };
        Self::new(kind, format!("{doing}: {error}{advice}"))
    }
}

/// S3's codes for requests that stay wrong however often they are made (Amazon S3 API reference, "Error responses"). Other answers with
/// status 400 pass: an expired token, a request that took too long.
const REFUSALS: [&str; 6] = [
    "KeyTooLongError",
    "InvalidArgument",
    "InvalidRequest",
    "MetadataTooLarge",
    "EntityTooLarge",
    "RequestHeaderSectionTooLarge",
];

/// The operating system's error below the object store's.
fn io_error(error: &object_store::Error) -> Option<&std::io::Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io);
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
            ErrorKind::Denied => Self::Retry {
                why: error.context,
                after: None,
            },
            _ => Self::bad(error.context),
        }
    }
}
