use pudato_handler::Failure;
use std::fmt;

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request breaks a rule; sending it again changes nothing.
    Invalid,
    /// What is stored cannot be trusted; a human has to look.
    Corrupt,
    /// The store cannot be reached or is busy; the same request may succeed later.
    Unavailable,
}

/// Why the registry did not do what it was asked.
#[derive(Debug)]
pub struct Error {
    /// What the caller can do.
    pub kind: ErrorKind,
    /// What was being done, and what was expected.
    pub context: String,
    source: Option<rusqlite::Error>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
    }
}

/// The one place where SQLite's errors become ours.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Code;
        let (kind, advice) = match error.sqlite_error_code() {
            Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
                (ErrorKind::Corrupt, "; restore a backup of the data folder")
            }
            Some(Code::DiskFull) => (ErrorKind::Unavailable, "; free some space"),
            Some(Code::PermissionDenied | Code::ReadOnly | Code::CannotOpen) => {
                (ErrorKind::Unavailable, "; check the folder's permissions")
            }
            _ => (ErrorKind::Unavailable, ""),
        };
        Self {
            kind,
            context: format!("registry: {error}{advice}"),
            source: Some(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_ref()?;
        Some(source)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.kind {
            ErrorKind::Invalid => Self::bad(error.context),
            ErrorKind::Corrupt | ErrorKind::Unavailable => Self::Unavailable { why: error.context },
        }
    }
}
