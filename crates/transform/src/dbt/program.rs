//! Finds the dbt to run.

use std::path::{Path, PathBuf};

/// What is said where there is none.
pub(crate) const INSTALL: &str = "pip install 'dbt-core>=1.8' and the adapter of your warehouse, e.g. dbt-duckdb, or set PUDATO_DBT to the path of dbt";

/// The oldest supported version.
const OLDEST: (u32, u32) = (1, 8);

/// Finds dbt: as configured, in `.venv` beside the project or here, or on the path. `project` is `None` for a project from a repository,
/// whose authors may not choose the program to run.
///
/// # Errors
/// dbt is missing; the text says what to install.
pub(crate) fn find(named: Option<&Path>, project: Option<&Path>) -> Result<PathBuf, String> {
    // dbt runs in the project folder, but a relative path starts here.
    let here = std::env::current_dir().unwrap_or_default();
    if let Some(named) = named {
        return match named.is_file() {
            true => Ok(here.join(named)),
            false => Err(format!("PUDATO_DBT: {} is not a file", named.display())),
        };
    }
    let beside = project.into_iter().flat_map(|one| one.ancestors().take(3));
    let environments = beside.chain([here.as_path()]);
    let environments = environments.map(|folder| folder.join(".venv/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = environments.chain(std::env::split_paths(&path));
    let mut programs = folders.map(|folder| here.join(folder).join("dbt"));
    programs
        .find(|program| program.is_file())
        .ok_or_else(|| format!("dbt was not found: {INSTALL}"))
}

/// Refuses a dbt that is too old. `version` has the form of dbt's log, e.g. `=1.11.2`.
///
/// # Errors
/// The text says what to install.
pub(crate) fn check(version: &str) -> Result<(), String> {
    let version = version.trim_start_matches('=');
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(major), Some(minor)) if (major, minor) >= OLDEST => Ok(()),
        (Some(_), Some(_)) => Err(format!("dbt {version} is too old: {INSTALL}")),
        // A version in another format is accepted.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dbt_that_is_too_old_or_not_there_is_refused_with_what_to_install() {
        for version in ["=1.8.0", "1.11.16", "=2.0.0-preview.1", "fusion"] {
            check(version).expect(version);
        }
        for version in ["=1.7.19", "0.21.1"] {
            let refused = check(version).expect_err(version);
            assert!(refused.contains("pip install"), "{refused}");
        }
        let refused = find(Some(Path::new("/nowhere/dbt")), None).expect_err("none");
        assert!(refused.starts_with("PUDATO_DBT: /nowhere/dbt"), "{refused}");
    }
    #[test]
    fn a_program_is_found_from_here_and_never_in_a_checkout() {
        // Tests run in the folder of their crate.
        let found = find(Some(Path::new("src/lib.rs")), None).expect("a file");
        assert!(found.is_absolute() && found.is_file(), "{found:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let project = folder.path().join("dbt");
        let planted = folder.path().join(".venv/bin/dbt");
        for folder in [project.as_path(), planted.parent().expect("a parent")] {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        std::fs::write(&planted, "").expect("written");
        assert_eq!(find(None, Some(&project)), Ok(planted.clone()));
        assert_ne!(find(None, None), Ok(planted));
    }
}
