use std::fmt;

/// What a caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The topic or queue does not exist.
    NotFound,
    /// The call or the message breaks a rule; sending it again changes nothing.
    Invalid,
    /// The message is over a limit; it can travel as a claim.
    TooLarge,
    /// Whoever asks may not, or a key cannot be used: it passes when somebody allows it, and not by itself.
    Denied,
    /// What is stored cannot be trusted; a human has to look.
    Corrupt,
    /// The backend cannot be reached or is busy; the same call may succeed later.
    Unavailable,
}

/// Why a verb of the fabric failed.
#[derive(Debug)]
pub struct Error {
    /// What the caller can do.
    pub kind: ErrorKind,
    /// What was being done, to what, and what was expected.
    pub context: String,
    /// The backend's own code, where it gave one.
    code: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error that has no cause of its own below it.
    pub fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            code: None,
            source: None,
        }
    }

    /// Keeps the code that the backend gave it.
    #[cfg(feature = "aws")]
    pub(crate) fn with_code(mut self, code: &str) -> Self {
        self.code = Some(code.to_owned());
        self
    }

    /// The code that the backend gave it, without what stands before the last `.` or `#`.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()?.rsplit(['.', '#']).next()
    }

    /// Keeps the foreign error that caused this one.
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Unavailable
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
