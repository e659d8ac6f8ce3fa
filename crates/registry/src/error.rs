//! What the errors of the databases are to callers of this crate.

#[cfg(any(feature = "postgres", feature = "sqlite"))]
use pudato_protocol::Code;
pub(crate) use pudato_protocol::{Error, ErrorKind};

/// The one place where SQLite's errors become ours.
#[cfg(feature = "sqlite")]
pub(crate) fn sqlite_error(error: rusqlite::Error) -> Error {
    use pudato_protocol::Retry;
    use rusqlite::Error as Sqlite;
    use rusqlite::ErrorCode as Primary;
    let (kind, advice) = match (&error, error.sqlite_error_code()) {
        (_, Some(Primary::DatabaseCorrupt | Primary::NotADatabase)) => {
            (ErrorKind::Corrupt, "; restore a backup of the data folder")
        }
        (_, Some(Primary::DiskFull)) => (ErrorKind::Unavailable, "; free some space"),
        (_, Some(Primary::PermissionDenied | Primary::ReadOnly | Primary::CannotOpen)) => {
            (ErrorKind::Unavailable, "; check the folder's permissions")
        }
        (_, Some(Primary::DatabaseBusy | Primary::DatabaseLocked)) => (
            ErrorKind::Unavailable,
            "; another program has been writing to it for more than 5 seconds",
        ),
        (_, Some(Primary::SystemIoFailure)) => (ErrorKind::Unavailable, "; check the disk"),
        // What breaks a rule of the tables breaks it whenever it is tried.
        (_, Some(Primary::TooBig | Primary::ConstraintViolation | Primary::TypeMismatch))
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
            ErrorKind::Failed,
            "; a row that was written cannot be read, restore it from a backup of the data folder",
        ),
        _ => (ErrorKind::Unavailable, ""),
    };
    let code = error
        .sqlite_error()
        .map(|error| Code::Sqlite(error.extended_code));
    let failed = Error::new(kind, format!("registry: {error}{advice}"))
        .with_code(code)
        .with_source(error);
    match kind {
        // Such a row stays as it is.
        ErrorKind::Failed => failed.with_retry(Retry::Never),
        _ => failed,
    }
}

/// The one place where the errors of Postgres become ours. Its details may hold what was written, so they are left out.
#[cfg(feature = "postgres")]
pub(crate) fn postgres_error(error: tokio_postgres::Error) -> Error {
    let state = error.code().map(tokio_postgres::error::SqlState::code);
    let (kind, advice) = state.map_or((ErrorKind::Unavailable, ""), kind_of_state);
    let what = match error.as_db_error() {
        Some(told) => format!("{} (SQLSTATE {})", told.message(), told.code().code()),
        None => match std::error::Error::source(&error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    };
    Error::new(kind, format!("registry: {what}{advice}"))
        .with_code(state.map(|state| Code::SqlState(state.to_owned())))
        .with_source(error)
}

/// What a SQLSTATE means for callers, and what can be done about it.
#[cfg(feature = "postgres")]
fn kind_of_state(state: &str) -> (ErrorKind, &'static str) {
    // Its first two characters are the class (PostgreSQL, appendix "Error Codes").
    let class = state.get(..2).unwrap_or_default();
    match state {
        // Data that no column takes, a constraint, or a limit of the program, such as the size of an index entry: it is the same
        // whenever it is tried.
        _ if matches!(class, "22" | "23" | "54") => (ErrorKind::Invalid, ""),
        _ if class == "28" => (
            ErrorKind::Unavailable,
            "; check user and password in REGISTRY_DATABASE_URL",
        ),
        "3D000" => (
            ErrorKind::Unavailable,
            "; make the database, or correct its name in REGISTRY_DATABASE_URL",
        ),
        "53100" => (ErrorKind::Unavailable, "; free some space on the server"),
        "55P03" => (
            ErrorKind::Unavailable,
            "; another transaction holds what it needs",
        ),
        "XX001" | "XX002" => (ErrorKind::Corrupt, "; restore a backup of the database"),
        "25006" => (
            ErrorKind::Unavailable,
            "; the database only reads at present",
        ),
        "42501" => (
            ErrorKind::Unavailable,
            "; run `pudato registry migrate --grant ROLE` as the owner of the tables",
        ),
        "53300" => (
            ErrorKind::Unavailable,
            "; the server has no connection left",
        ),
        "57014" => (ErrorKind::Unavailable, "; it took longer than it may"),
        _ => (ErrorKind::Unavailable, ""),
    }
}

/// Whether PostgreSQL gave `error` one of these codes.
#[cfg(feature = "postgres")]
pub(crate) fn has_state(error: &Error, states: &[tokio_postgres::error::SqlState]) -> bool {
    let found = error.sql_state();
    found.is_some_and(|found| states.iter().any(|state| state.code() == found))
}

/// As [`postgres_error`], of a connection of the pool.
#[cfg(feature = "postgres")]
pub(crate) fn pool_error(error: deadpool_postgres::PoolError) -> Error {
    match error {
        deadpool_postgres::PoolError::Backend(error) => postgres_error(error),
        other => {
            let context = format!("registry: no connection to the database: {other}");
            Error::new(ErrorKind::Unavailable, context).with_source(other)
        }
    }
}

#[cfg(all(test, feature = "postgres"))]
mod postgres_tests {
    use super::*;
    use tokio_postgres::error::SqlState;

    /// PostgreSQL's manual, appendix "Error Codes".
    #[test]
    fn errors_of_postgres_are_known_by_their_codes() {
        for (state, kind, advice) in [
            ("08006", ErrorKind::Unavailable, ""),
            ("0A000", ErrorKind::Unavailable, ""),
            ("22001", ErrorKind::Invalid, ""),
            ("22012", ErrorKind::Invalid, ""),
            ("22P05", ErrorKind::Invalid, ""),
            ("23503", ErrorKind::Invalid, ""),
            ("23505", ErrorKind::Invalid, ""),
            ("25006", ErrorKind::Unavailable, "only reads"),
            ("25P02", ErrorKind::Unavailable, ""),
            ("28000", ErrorKind::Unavailable, "user and password"),
            ("28P01", ErrorKind::Unavailable, "user and password"),
            ("3D000", ErrorKind::Unavailable, "make the database"),
            ("40001", ErrorKind::Unavailable, ""),
            ("40P01", ErrorKind::Unavailable, ""),
            ("42501", ErrorKind::Unavailable, "--grant ROLE"),
            ("42P01", ErrorKind::Unavailable, ""),
            ("53100", ErrorKind::Unavailable, "free some space"),
            ("53200", ErrorKind::Unavailable, ""),
            ("53300", ErrorKind::Unavailable, "no connection left"),
            ("54000", ErrorKind::Invalid, ""),
            ("54011", ErrorKind::Invalid, ""),
            ("55P03", ErrorKind::Unavailable, "another transaction"),
            ("57014", ErrorKind::Unavailable, "longer than it may"),
            ("57P01", ErrorKind::Unavailable, ""),
            ("57P03", ErrorKind::Unavailable, ""),
            ("XX000", ErrorKind::Unavailable, ""),
            ("XX001", ErrorKind::Corrupt, "restore a backup"),
            ("XX002", ErrorKind::Corrupt, "restore a backup"),
            // What no PostgreSQL gives is no reason to refuse a message.
            ("", ErrorKind::Unavailable, ""),
            ("2", ErrorKind::Unavailable, ""),
            ("\u{20ac}2", ErrorKind::Unavailable, ""),
        ] {
            let (found, said) = kind_of_state(state);
            assert_eq!(found, kind, "{state}");
            assert!(said.contains(advice), "{state}: {said}");
            assert_eq!(said.is_empty(), advice.is_empty(), "{state}: {said}");
        }
    }

    #[test]
    fn a_state_is_read_from_the_code_and_never_from_a_text() {
        let collisions = [SqlState::UNIQUE_VIOLATION];
        let told = Error::new(ErrorKind::Invalid, "23505 (SQLSTATE 23505)");
        assert!(!has_state(&told, &collisions));
        let other = told.clone().with_code(Code::SqlState("22001".into()));
        assert!(!has_state(&other, &collisions));
        let sqlite = told.clone().with_code(Code::Sqlite(23505));
        assert!(!has_state(&sqlite, &collisions));
        let same = told.with_code(Code::SqlState("23505".into()));
        assert!(has_state(&same.within("apply"), &collisions));
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod sqlite_tests {
    use super::*;
    use pudato_protocol::Retry;
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
                ffi::SQLITE_IOERR_FSYNC,
                ErrorKind::Unavailable,
                "; check the disk",
            ),
            (
                ffi::SQLITE_READONLY,
                ErrorKind::Unavailable,
                "; check the folder",
            ),
            (
                ffi::SQLITE_CANTOPEN,
                ErrorKind::Unavailable,
                "; check the folder",
            ),
            (
                ffi::SQLITE_LOCKED,
                ErrorKind::Unavailable,
                "; another program",
            ),
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt, "; restore"),
            (ffi::SQLITE_NOTADB, ErrorKind::Corrupt, "; restore"),
            (ffi::SQLITE_NOMEM, ErrorKind::Unavailable, ""),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, ErrorKind::Invalid, ""),
            (ffi::SQLITE_MISMATCH, ErrorKind::Invalid, ""),
            (ffi::SQLITE_TOOBIG, ErrorKind::Invalid, ""),
            (ffi::SQLITE_CONSTRAINT, ErrorKind::Invalid, ""),
        ] {
            let text = Some("the database disk image is malformed".to_owned());
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), text);
            let error = sqlite_error(error);
            assert_eq!(error.kind, kind, "{code}");
            assert_eq!(error.retry, kind.retry(), "{code}");
            assert_eq!(error.code(), Some(&Code::Sqlite(code)));
            let source = std::error::Error::source(&error).expect("a source");
            assert!(source.is::<rusqlite::Error>(), "{code}");
            let said = error.context.split_once("malformed").map(|(_, said)| said);
            assert!(said.is_some_and(|said| said.starts_with(advice)), "{error}");
        }
        let text = rusqlite::Error::InvalidColumnType(0, "at".into(), rusqlite::types::Type::Text);
        let text = sqlite_error(text);
        assert_eq!((text.kind, text.retry), (ErrorKind::Failed, Retry::Never));
        assert_eq!(text.code(), None);
    }
}
