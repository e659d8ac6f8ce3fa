//! The transform handler: finds the project of a Command, runs dbt on it, and answers with lineage.

mod answer;
mod project;
mod run;

use crate::dbt::actions::{self, ACTIONS};
use crate::dbt::installed::Installed;
use crate::dbt::kept::Kept;
use crate::dbt::options::Options;
use crate::dbt::profile::{Place, Target};
use crate::dbt::run::Run;
use crate::process::environment;
use crate::repository::logic::Logic;
use crate::repository::{Checkout, Repository};
use crate::warehouse::Warehouse;
use async_trait::async_trait;
pub(crate) use project::{own_project, profiles_beside};
use pudato_handler::{Action, Answer, Failure, Handler, Request};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What the transform service is set to.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project's folder, where there is no repository of the logic.
    pub project: Option<PathBuf>,
    /// The folder of `profiles.yml`; the project's where it is `None`.
    pub profiles: Option<PathBuf>,
    /// The target of the profile.
    pub target: Option<String>,
    /// The dbt to run; found where it is `None`.
    pub program: Option<PathBuf>,
    /// Longest run.
    pub deadline: Duration,
    /// Most memory of dbt and all that it starts; it is held on Linux.
    pub memory_bytes: u64,
    /// Variables of this program's environment that dbt may see, beside those that every program needs; `PREFIX*` means all that begin so.
    pub variables: Vec<String>,
    /// Where the logic is kept.
    pub logic: Option<Logic>,
    /// A folder of this service's own.
    pub folder: PathBuf,
    /// The query service's warehouse, which dbt gets as `DUCKDB_PATH`.
    pub warehouse_file: Option<PathBuf>,
}

/// The transform handler.
pub struct TransformHandler {
    settings: Settings,
    repository: Option<Repository>,
    warehouse: Arc<dyn Warehouse>,
    /// Warehouses that are one file have one dbt at a time; each by its path.
    files: Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>>,
}

impl TransformHandler {
    /// On a project or a repository, as `settings` say.
    pub fn new(settings: Settings, warehouse: Arc<dyn Warehouse>) -> Self {
        let repository = settings.logic.clone().map(|logic| {
            let folder = settings.folder.join("logic");
            Repository::new(logic, &folder, settings.variables.clone())
        });
        Self {
            settings,
            repository,
            warehouse,
            files: Mutex::default(),
        }
    }

    /// The project for a Command: a checkout for its job, or the folder that the settings name.
    async fn project(&self, request: &Request<'_>) -> Result<(PathBuf, Option<Checkout>), Failure> {
        if let Some(repository) = &self.repository {
            let job = request.command.job_id.as_deref();
            let checkout = repository.checkout(job).await?;
            return Ok((checkout.project.clone(), Some(checkout)));
        }
        let Some(project) = &self.settings.project else {
            return Err(Failure::bad(
                "transform: no project: set DBT_PROJECT_DIR or PUDATO_LOGIC_REPO_URL for the program that runs transform (`pudato up`), and restart it",
            ));
        };
        let project = own_project(project).map_err(Failure::bad)?;
        Ok((project, None))
    }

    /// The environment of a run.
    fn environment(&self, run: &Run<'_>) -> Vec<(OsString, OsString)> {
        let mut all = environment::allowed(&self.settings.variables);
        let mut set = |name: &str, value: &str| {
            all.retain(|(known, _)| known != name);
            all.push((name.into(), value.into()));
        };
        if let Some(file) = &self.settings.warehouse_file {
            set("DUCKDB_PATH", &file.display().to_string());
        }
        set("PUDATO_EXECUTION_ID", &run.execution);
        // The artifacts carry these, so that those of another run are told apart.
        set("DBT_ENV_CUSTOM_ENV_PUDATO_EXECUTION_ID", &run.execution);
        if let Some(version) = &run.version {
            set("PUDATO_LOGIC_VERSION", version);
            set("DBT_ENV_CUSTOM_ENV_PUDATO_LOGIC_VERSION", version);
        }
        for (name, value) in [("JOB", &run.job), ("STEP", &run.step)] {
            if let Some(value) = value {
                set(&format!("DBT_ENV_CUSTOM_ENV_PUDATO_{name}_ID"), value);
            }
        }
        all
    }

    /// Where the project's warehouse is.
    fn target(
        &self,
        run: &Run<'_>,
        environment: &[(OsString, OsString)],
    ) -> Result<Target, String> {
        let variable = |name: &str| {
            let found = environment.iter().find(|(known, _)| known == name)?;
            found.1.to_str().map(str::to_owned)
        };
        let place = Place {
            project: &run.project,
            profiles: &run.profiles,
            target: self.settings.target.as_deref(),
            variable: &variable,
        };
        place.read()
    }

    /// What is kept of runs.
    fn kept(&self) -> Kept {
        Kept(self.settings.folder.join("kept"))
    }

    /// The one dbt at a time of a warehouse that is one file.
    async fn turn(&self, file: &Path) -> Arc<Mutex<()>> {
        let mut files = self.files.lock().await;
        Arc::clone(files.entry(file.to_owned()).or_default())
    }

    /// Refuses the warehouse to a dbt whose DuckDB is newer than the one that reads it here, before it has written a byte.
    fn check_duckdb(&self, installed: &Installed, target: &Target) -> Result<(), Failure> {
        // pudato's warehouse may be one of those that are attached.
        let mut files = target.files().into_iter();
        let known = files.find_map(|file| Some((file, self.warehouse.version(file)?)));
        let Some((file, own)) = known else {
            return Ok(());
        };
        installed.check_duckdb(&own, file).map_err(Failure::bad)
    }
}

#[async_trait]
impl Handler for TransformHandler {
    fn service(&self) -> &str {
        "transform"
    }

    fn actions(&self) -> &[Action] {
        ACTIONS
    }

    async fn handle(&self, request: Request<'_>) -> Result<Answer, Failure> {
        let options = Options::read(&request)?;
        let (project, checkout) = self.project(&request).await?;
        let scratch = self.settings.folder.join("runs");
        let profiles = match &self.settings.profiles {
            Some(profiles) => profiles.canonicalize().map_err(|error| {
                Failure::bad(format!("DBT_PROFILES_DIR: {}: {error}", profiles.display()))
            })?,
            None => profiles_beside(&project),
        };
        let repository = checkout.as_ref().map(|checkout| checkout.name.clone());
        let former = match request.action {
            "retry" => {
                let home = repository.clone();
                let home = home.unwrap_or_else(|| project.display().to_string());
                let job = request.command.job_id.as_deref();
                let wanted = options.execution_id.as_deref();
                Some(self.kept().find(wanted, job, &home)?)
            }
            _ => None,
        };
        let which = former.as_ref().map(|former| former.which.as_str());
        let run = Run {
            name: request.action,
            action: actions::deed(request.action, which),
            full_refresh: former
                .as_ref()
                .map_or(options.full_refresh, |former| former.full_refresh),
            former,
            options: &options,
            project,
            profiles,
            scratch,
            execution: uuid::Uuid::new_v4().to_string(),
            version: checkout.as_ref().map(|checkout| checkout.commit.clone()),
            repository,
            job: request.command.job_id.clone(),
            step: request.command.step_id.clone(),
        };
        // The checkout is held until dbt is done with it.
        let answered = self.run(&request, &run).await;
        drop(checkout);
        answered
    }
}
