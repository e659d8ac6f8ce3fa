//! Finds the folders that dbt runs in: the project and the one with `profiles.yml`.

use crate::repository::git::FetchError;
use pudato_handler::Failure;
use std::path::{Path, PathBuf};

/// The folder where dbt itself looks for `profiles.yml` (its documentation, "About profiles.yml"): the project, then `~/.dbt`.
pub(crate) fn profiles_beside(project: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".dbt"));
    let has = |folder: &PathBuf| folder.join("profiles.yml").is_file();
    let own = project.to_owned();
    match home.filter(|home| !has(&own) && has(home)) {
        Some(home) => home,
        None => own,
    }
}

impl From<FetchError> for Failure {
    fn from(missing: FetchError) -> Self {
        match missing {
            FetchError::Invalid(why) => Self::bad(why),
            FetchError::Unreachable(why) => Self::Retry { why, after: None },
        }
    }
}

/// The project folder in `DBT_PROJECT_DIR`.
pub(crate) fn own_project(project: &Path) -> Result<PathBuf, String> {
    let name = project.display();
    let found = project.canonicalize();
    let found = found.map_err(|error| format!("DBT_PROJECT_DIR: {name}: {error}"))?;
    match found.join("dbt_project.yml").is_file() {
        true => Ok(found),
        false => Err(format!(
            "DBT_PROJECT_DIR: {name}: there is no dbt_project.yml"
        )),
    }
}
