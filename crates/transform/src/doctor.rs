//! Checks for `pudato doctor` what dbt needs on this machine.

use crate::dbt::installed::Installed;
use crate::dbt::profile::{self, Place};
use crate::dbt::program;
use crate::process::environment;
use crate::{Settings, handler};
use std::path::Path;

impl Settings {
    /// Returns what dbt needs and this machine lacks; nothing if no project is set. It must run on the machine whose worker runs dbt.
    /// `duckdb` is the version of the DuckDB that reads the warehouse.
    pub async fn examine(&self, duckdb: Option<&str>) -> Vec<String> {
        if self.logic.is_none() && self.project.is_none() {
            return Vec::new();
        }
        let project = match (&self.logic, &self.project) {
            (None, Some(project)) => Some(handler::own_project(project)),
            _ => None,
        };
        let beside = project.as_ref().and_then(|project| project.as_ref().ok());
        let beside = beside.map(|path| path.as_path());
        let program = program::find(self.program.as_deref(), beside);
        let newer = match (&program, duckdb) {
            (Ok(program), Some(duckdb)) => self.newer_duckdb(program, beside, duckdb).await,
            _ => None,
        };
        let missing = [program.err(), project.and_then(Result::err), newer];
        missing.into_iter().flatten().collect()
    }

    /// The error if dbt would make the warehouse unreadable. For a project from a repository, this does not read the profile and assumes
    /// that it uses the warehouse.
    async fn newer_duckdb(
        &self,
        program: &Path,
        project: Option<&Path>,
        duckdb: &str,
    ) -> Option<String> {
        let file = self.warehouse_file.as_ref()?;
        let file = profile::absolute(Path::new("/"), file);
        let environment = environment::allowed(&self.variables);
        if let Some(project) = project {
            let variable = |name: &str| match name {
                "DUCKDB_PATH" => Some(file.display().to_string()),
                name => std::env::var(name).ok().filter(|_| {
                    let mut known = environment.iter();
                    known.any(|(known, _)| known == name)
                }),
            };
            let profiles = self.profiles.clone();
            let place = Place {
                project,
                profiles: &profiles.unwrap_or_else(|| handler::profiles_beside(project)),
                target: self.target.as_deref(),
                variable: &variable,
            };
            // The run itself reports an unreadable profile.
            let target = place.read().ok()?;
            target.file.filter(|own| *own == file)?;
        }
        let installed = Installed::of(program, &environment).await;
        installed.check_duckdb(duckdb, &file).err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Logic;
    use std::path::PathBuf;

    #[tokio::test]
    async fn what_is_missing_for_dbt_is_named_where_it_is_wanted() {
        let mut settings = Settings {
            project: None,
            profiles: None,
            target: None,
            program: Some(PathBuf::from("/nowhere/dbt")),
            deadline: std::time::Duration::from_secs(1),
            memory_bytes: 1 << 30,
            variables: Vec::new(),
            logic: None,
            folder: PathBuf::new(),
            warehouse_file: None,
        };
        assert_eq!(settings.examine(None).await, Vec::<String>::new());
        let folder = tempfile::tempdir().expect("a folder");
        settings.project = Some(folder.path().to_owned());
        let [program, project] = &settings.examine(None).await[..] else {
            panic!("both are missing");
        };
        assert!(program.contains("PUDATO_DBT: /nowhere/dbt"), "{program}");
        assert!(project.contains("no dbt_project.yml"), "{project}");
        std::fs::write(folder.path().join("dbt_project.yml"), "").expect("written");
        settings.program = Some(folder.path().join("dbt_project.yml"));
        assert_eq!(settings.examine(None).await, Vec::<String>::new());
        settings.logic = Some(Logic {
            url: "https://example.org/logic.git".into(),
            branch: None,
            revision: None,
            subdirectory: None,
            allows_file: false,
        });
        settings.program = Some(PathBuf::from("/nowhere/dbt"));
        assert_eq!(settings.examine(None).await.len(), 1);
    }
}
