//! What `pudato doctor` looks for.

use crate::program;
use crate::{Settings, handler};

impl Settings {
    /// What is missing here for dbt to run; nothing where no project is set. For the machine whose worker runs dbt.
    pub fn examine(&self) -> Vec<String> {
        if self.logic.is_none() && self.project.is_none() {
            return Vec::new();
        }
        let project = match (&self.logic, &self.project) {
            (None, Some(project)) => Some(handler::own_project(project)),
            _ => None,
        };
        let beside = project.as_ref().and_then(|project| project.as_ref().ok());
        let program = program::find(self.program.as_deref(), beside.map(|path| path.as_path()));
        let missing = [program.err(), project.and_then(Result::err)];
        missing.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Logic;
    use std::path::PathBuf;

    #[test]
    fn what_is_missing_for_dbt_is_named_where_it_is_wanted() {
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
        assert_eq!(settings.examine(), Vec::<String>::new());
        let folder = tempfile::tempdir().expect("a folder");
        settings.project = Some(folder.path().to_owned());
        let [program, project] = &settings.examine()[..] else {
            panic!("both are missing");
        };
        assert!(program.contains("PUDATO_DBT: /nowhere/dbt"), "{program}");
        assert!(project.contains("no dbt_project.yml"), "{project}");
        std::fs::write(folder.path().join("dbt_project.yml"), "").expect("written");
        settings.program = Some(folder.path().join("dbt_project.yml"));
        assert_eq!(settings.examine(), Vec::<String>::new());
        settings.logic = Some(Logic {
            url: "https://example.org/logic.git".into(),
            branch: None,
            revision: None,
            subdirectory: None,
            allows_file: false,
        });
        settings.program = Some(PathBuf::from("/nowhere/dbt"));
        assert_eq!(settings.examine().len(), 1);
    }
}
