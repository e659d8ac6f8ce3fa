//! Finds the migrations that a database still needs. They only go forward; a released migration never changes.

use crate::error::{Error, ErrorKind};
use crate::hash::sha256_hex;

/// A migration that was applied to a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Migration {
    /// Counts from 1.
    pub(crate) version: i64,
    pub(crate) checksum: String,
}

/// Identifies the text of a migration.
pub(crate) fn checksum(sql: &str) -> String {
    sha256_hex(&[sql.as_bytes()])
}

/// Returns the migrations of `known` that were not applied yet, with their versions.
///
/// # Errors
/// `Invalid`: the database has an unknown migration, or another one under the same number.
pub(crate) fn missing<'a>(
    known: &[&'a str],
    applied: &[Migration],
) -> Result<Vec<(i64, &'a str)>, Error> {
    let known: Vec<(i64, &str)> = (1..).zip(known.iter().copied()).collect();
    for migration in applied {
        let version = migration.version;
        let Some((_, sql)) = known.iter().find(|(own, _)| *own == version) else {
            let context = format!(
                "the registry was written by a newer pudato (format {version}, this one knows {}); use that version, or \
                 another database",
                known.len()
            );
            return Err(Error::new(ErrorKind::Invalid, context));
        };
        if checksum(sql) != migration.checksum {
            let context = format!(
                "the registry's tables were created by another migration {version} than this pudato has; use the version that \
                 created them, or another database"
            );
            return Err(Error::new(ErrorKind::Invalid, context));
        }
    }
    let is_missing = |(version, _): &(i64, &str)| {
        !applied
            .iter()
            .any(|migration| migration.version == *version)
    };
    Ok(known.into_iter().filter(is_missing).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(version: i64, sql: &str) -> Migration {
        Migration {
            version,
            checksum: checksum(sql),
        }
    }

    #[test]
    fn what_is_missing_is_done_in_order() {
        let known = ["one", "two", "three"];
        let missing = missing(&known, &[applied(1, "one")]).expect("two are missing");
        assert_eq!(missing, [(2, "two"), (3, "three")]);
    }

    #[test]
    fn a_newer_format_and_a_changed_migration_are_refused() {
        let newer = missing(&["one"], &[applied(1, "one"), applied(2, "two")]);
        let newer = newer.expect_err("newer").to_string();
        assert!(newer.contains("newer pudato (format 2"), "{newer}");
        let changed = missing(&["one"], &[applied(1, "another")]);
        let changed = changed.expect_err("changed").to_string();
        assert!(changed.contains("another migration 1"), "{changed}");
    }
}
