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
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
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
#[cfg(feature = "sqlite")]
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
            // What is written is to blame, as Postgres says with its classes 22, 23 and 54.
            Some(Code::TooBig | Code::ConstraintViolation | Code::TypeMismatch) => {
                (ErrorKind::Invalid, "")
            }
            None if is_one_row(&error) => (
                ErrorKind::Invalid,
                "; a row that was written cannot be read, restore it from a backup of the data folder",
            ),
            _ => (ErrorKind::Unavailable, ""),
        };
        Self {
            kind,
            context: format!("registry: {error}{advice}"),
            source: Some(Box::new(error)),
        }
    }
}

/// Whether a single row has what nobody wrote; others can be read.
#[cfg(feature = "sqlite")]
fn is_one_row(error: &rusqlite::Error) -> bool {
    use rusqlite::Error as Sqlite;
    matches!(
        error,
        Sqlite::FromSqlConversionFailure(..)
            | Sqlite::IntegralValueOutOfRange(..)
            | Sqlite::InvalidColumnType(..)
            | Sqlite::Utf8Error(..)
    )
}

/// The one place where the errors of Postgres become ours. Its details may hold what was written, so they are left out.
#[cfg(feature = "postgres")]
impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let (kind, advice) = match error.code().map(tokio_postgres::error::SqlState::code) {
            // What is written is to blame: wrong, against a constraint, or too large for a row or an index.
            Some(code)
                if ["22", "23", "54"]
                    .iter()
                    .any(|class| code.starts_with(class)) =>
            {
                (ErrorKind::Invalid, "")
            }
            Some("XX001" | "XX002") => (ErrorKind::Corrupt, "; restore a backup of the database"),
            Some("25006") => (
                ErrorKind::Unavailable,
                "; the database only reads at present",
            ),
            Some("42501") => (
                ErrorKind::Unavailable,
                "; run `pudato registry migrate --grant ROLE` as the owner of the tables",
            ),
            Some("53300") => (
                ErrorKind::Unavailable,
                "; the server has no connection left",
            ),
            Some("57014") => (ErrorKind::Unavailable, "; it took longer than it may"),
            _ => (ErrorKind::Unavailable, ""),
        };
        let what = match error.as_db_error() {
            Some(told) => format!("{} (SQLSTATE {})", told.message(), told.code().code()),
            None => match std::error::Error::source(&error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            },
        };
        Self {
            kind,
            context: format!("registry: {what}{advice}"),
            source: Some(Box::new(error)),
        }
    }
}

#[cfg(feature = "postgres")]
impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            other => Self::new(
                ErrorKind::Unavailable,
                format!("registry: no connection to the database: {other}"),
            ),
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
        let source = self.source.as_deref()?;
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
