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

    /// The code that PostgreSQL gave it.
    #[cfg(feature = "postgres")]
    pub(crate) fn sql_state(&self) -> Option<&tokio_postgres::error::SqlState> {
        let source = self.source.as_deref()?;
        source.downcast_ref::<tokio_postgres::Error>()?.code()
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
        use rusqlite::Error as Sqlite;
        use rusqlite::ErrorCode as Code;
        let (kind, advice) = match (&error, error.sqlite_error_code()) {
            (_, Some(Code::DatabaseCorrupt | Code::NotADatabase)) => {
                (ErrorKind::Corrupt, "; restore a backup of the data folder")
            }
            (_, Some(Code::DiskFull)) => (ErrorKind::Unavailable, "; free some space"),
            (_, Some(Code::PermissionDenied | Code::ReadOnly | Code::CannotOpen)) => {
                (ErrorKind::Unavailable, "; check the folder's permissions")
            }
            (_, Some(Code::DatabaseBusy | Code::DatabaseLocked)) => (
                ErrorKind::Unavailable,
                "; another program has been writing to it for more than 5 seconds",
            ),
            (_, Some(Code::SystemIoFailure)) => (ErrorKind::Unavailable, "; check the disk"),
            // What breaks a rule of the tables breaks it whenever it is tried.
            (_, Some(Code::TooBig | Code::ConstraintViolation | Code::TypeMismatch))
            | (Sqlite::ToSqlConversionFailure(_), _) => (ErrorKind::Invalid, ""),
            // What was read is not what is written there.
            (
                Sqlite::FromSqlConversionFailure(..)
                | Sqlite::IntegralValueOutOfRange(..)
                | Sqlite::InvalidColumnType(..)
                | Sqlite::Utf8Error(..),
                _,
            ) => (
                // One row stops nobody who asks for another.
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

/// The one place where the errors of Postgres become ours. Its details may hold what was written, so they are left out.
#[cfg(feature = "postgres")]
impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let code = error.code().map(tokio_postgres::error::SqlState::code);
        // Its first two characters are the class (PostgreSQL, appendix "Error Codes").
        let class = code.and_then(|code| code.get(..2));
        let (kind, advice) = match code {
            // Data that no column takes, a constraint, or a limit of the program, such as the size of an index entry: it is the same
            // whenever it is tried.
            Some(_) if matches!(class, Some("22" | "23" | "54")) => (ErrorKind::Invalid, ""),
            Some(_) if class == Some("28") => (
                ErrorKind::Unavailable,
                "; check user and password in REGISTRY_DATABASE_URL",
            ),
            Some("3D000") => (
                ErrorKind::Unavailable,
                "; make the database, or correct its name in REGISTRY_DATABASE_URL",
            ),
            Some("53100") => (ErrorKind::Unavailable, "; free some space on the server"),
            Some("55P03") => (
                ErrorKind::Unavailable,
                "; another transaction holds what it needs",
            ),
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

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use rusqlite::ffi;

    #[test]
    fn errors_of_sqlite_are_known_by_their_codes() {
        for (code, kind, advice) in [
            (
                ffi::SQLITE_FULL,
                ErrorKind::Unavailable,
                "; free some space",
            ),
            (
                ffi::SQLITE_BUSY,
                ErrorKind::Unavailable,
                "; another program",
            ),
            (
                ffi::SQLITE_IOERR,
                ErrorKind::Unavailable,
                "; check the disk",
            ),
            (
                ffi::SQLITE_READONLY,
                ErrorKind::Unavailable,
                "; check the folder",
            ),
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt, "; restore"),
            (ffi::SQLITE_TOOBIG, ErrorKind::Invalid, ""),
            (ffi::SQLITE_CONSTRAINT, ErrorKind::Invalid, ""),
        ] {
            let text = Some("the database disk image is malformed".to_owned());
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), text);
            let error = Error::from(error);
            assert_eq!(error.kind, kind, "{code}");
            let said = error.context.split_once("malformed").map(|(_, said)| said);
            assert!(said.is_some_and(|said| said.starts_with(advice)), "{error}");
        }
        let text = rusqlite::Error::InvalidColumnType(0, "at".into(), rusqlite::types::Type::Text);
        assert_eq!(Error::from(text).kind, ErrorKind::Invalid);
    }
}
