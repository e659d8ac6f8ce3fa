//! The one error of pudato's ports and stores.
//!
//! A backend's own error becomes this one in one place of the crate that knows the backend. That place chooses the kind by the foreign
//! code, and keeps the code and the foreign error: callers match on [`Error::kind`] and [`Error::code`], never on a text.

use std::sync::Arc;
use std::{fmt, io};

/// What went wrong, as far as callers treat it differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request or the message breaks a rule; sending it again changes nothing.
    Invalid,
    /// The topic, queue, claim or object does not exist.
    NotFound,
    /// There is an object already, and the request said that there must be none.
    AlreadyExists,
    /// The message or the object has more bytes than the receiver takes.
    TooLarge,
    /// The caller may not, or a key cannot be used: it passes when somebody allows it, and not by itself.
    Denied,
    /// What is stored cannot be trusted; a human has to look.
    Corrupt,
    /// This one object or row failed; others need not fail.
    Failed,
    /// The backend cannot be reached, is busy or is full, whatever is asked of it.
    Unavailable,
}

impl ErrorKind {
    /// When an error of this kind passes, unless the error itself knows better.
    pub fn retry(self) -> Retry {
        match self {
            Self::Invalid | Self::NotFound | Self::AlreadyExists | Self::TooLarge => Retry::Never,
            Self::Denied | Self::Corrupt => Retry::AfterRepair,
            Self::Failed | Self::Unavailable => Retry::Later,
        }
    }
}

/// When the same call may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Never: something else has to be asked for.
    Never,
    /// When somebody has allowed or repaired something.
    AfterRepair,
    /// By itself, after a while.
    Later,
}

/// The code that a backend gave its error.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Code {
    /// The SQLSTATE of PostgreSQL: five characters, of which the first two are the class.
    SqlState(String),
    /// The extended result code of SQLite.
    Sqlite(i32),
    /// The code of an AWS service, without the namespaces that its protocols put before it.
    Aws(String),
    /// The code of S3, or of a server that speaks its protocol.
    S3(String),
    /// The `errno` of the operating system.
    Os(i32),
}

/// Why an operation failed. A clone shares the source.
///
/// ```
/// use pudato_protocol::{Code, Error, ErrorKind};
///
/// let full = std::io::Error::from_raw_os_error(28);
/// let error = Error::new(ErrorKind::Unavailable, "lake/a.csv: the disk is full").with_io(full);
/// assert!(error.is_retryable());
/// assert_eq!(error.code(), Some(&Code::Os(28)));
/// ```
#[derive(Debug, Clone)]
pub struct Error {
    /// What the caller can do.
    pub kind: ErrorKind,
    /// When the same call may succeed.
    pub retry: Retry,
    /// What was being done, to what, and what was expected.
    pub context: String,
    code: Option<Code>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error that has no cause of its own below it, with the retry of its kind.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            retry: kind.retry(),
            context: context.into(),
            code: None,
            source: None,
        }
    }

    /// Keeps the code that the backend gave, where it gave one.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Option<Code>>) -> Self {
        self.code = code.into().or(self.code);
        self
    }

    /// Keeps the foreign error that caused this one.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(Arc::from(source.into()));
        self
    }

    /// Keeps an error of the operating system that caused this one, and its `errno`.
    #[must_use]
    pub fn with_io(self, source: io::Error) -> Self {
        let errno = source.raw_os_error().map(Code::Os);
        self.with_code(errno).with_source(source)
    }

    /// The same error, which passes at another time than others of its kind.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same error as a caller further up sees it: of another kind, with that kind's retry.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self.retry = kind.retry();
        self
    }

    /// The same error, whose context begins with what the caller was doing.
    #[must_use]
    pub fn within(mut self, doing: impl fmt::Display) -> Self {
        self.context = format!("{doing}: {}", self.context);
        self
    }

    /// The code that the backend gave.
    pub fn code(&self) -> Option<&Code> {
        self.code.as_ref()
    }

    /// The code of an AWS service, where one gave the error.
    pub fn aws_code(&self) -> Option<&str> {
        match &self.code {
            Some(Code::Aws(code)) => Some(code),
            _ => None,
        }
    }

    /// The SQLSTATE, where PostgreSQL gave the error.
    pub fn sql_state(&self) -> Option<&str> {
        match &self.code {
            Some(Code::SqlState(code)) => Some(code),
            _ => None,
        }
    }

    /// Whether the same call may succeed later by itself.
    pub fn is_retryable(&self) -> bool {
        self.retry == Retry::Later
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.context)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn a_clone_keeps_the_code_and_the_whole_chain_of_sources() {
        let lowest = io::Error::from_raw_os_error(28);
        let below = Error::new(ErrorKind::Unavailable, "write").with_io(lowest);
        let error = Error::new(ErrorKind::Failed, "put")
            .with_code(Code::S3("SlowDown".into()))
            .with_source(below);
        let same = error
            .clone()
            .with_kind(ErrorKind::Unavailable)
            .within("claim");
        drop(error);
        assert_eq!(same.to_string(), "claim: put");
        assert_eq!(same.code(), Some(&Code::S3("SlowDown".into())));
        let below = same.source().expect("a source");
        let below = below.downcast_ref::<Error>().expect("the error itself");
        assert_eq!(below.code(), Some(&Code::Os(28)));
        let lowest = below.source().expect("its source");
        let lowest = lowest.downcast_ref::<io::Error>().expect("an io::Error");
        assert_eq!(lowest.raw_os_error(), Some(28));
    }

    #[test]
    fn retry_follows_from_the_kind_unless_the_error_says_otherwise() {
        for (kind, retry) in [
            (ErrorKind::Invalid, Retry::Never),
            (ErrorKind::NotFound, Retry::Never),
            (ErrorKind::AlreadyExists, Retry::Never),
            (ErrorKind::TooLarge, Retry::Never),
            (ErrorKind::Denied, Retry::AfterRepair),
            (ErrorKind::Corrupt, Retry::AfterRepair),
            (ErrorKind::Failed, Retry::Later),
            (ErrorKind::Unavailable, Retry::Later),
        ] {
            let error = Error::new(kind, "it");
            assert_eq!(error.retry, retry, "{kind:?}");
            assert_eq!(error.is_retryable(), retry == Retry::Later, "{kind:?}");
            let other = Error::new(ErrorKind::Invalid, "it").with_kind(kind);
            assert_eq!(other.retry, retry, "{kind:?}");
        }
        let lost = Error::new(ErrorKind::Failed, "it").with_retry(Retry::Never);
        assert!(!lost.is_retryable());
    }

    #[test]
    fn a_code_is_that_of_its_backend_alone() {
        let error = Error::new(ErrorKind::Invalid, "23505").with_source("23505");
        assert_eq!(
            (error.code(), error.sql_state(), error.aws_code()),
            (None, None, None)
        );
        let state = error.clone().with_code(Code::SqlState("23505".into()));
        assert_eq!((state.sql_state(), state.aws_code()), (Some("23505"), None));
        let aws = error.with_code(Code::Aws("Throttling".into()));
        assert_eq!(
            (aws.sql_state(), aws.aws_code()),
            (None, Some("Throttling"))
        );
        // An error of the library itself has no `errno`.
        let other = Error::new(ErrorKind::Failed, "it").with_io(io::Error::other("why"));
        assert_eq!(other.code(), None);
    }
}
