//! The transform handler: finds the project of a Command, runs dbt on it, and answers with lineage.

mod answer;
mod project;
mod run;

use crate::dbt::actions::{self, ACTIONS};
use crate::dbt::artifact_store::ArtifactStore;
use crate::dbt::installed::Installed;
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

/// The settings of the transform service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The project folder, if there is no repository of the logic.
    pub project: Option<PathBuf>,
    /// The folder of `profiles.yml`; `None` means the project folder.
    pub profiles: Option<PathBuf>,
    /// The target of the profile.
    pub target: Option<String>,
    /// The dbt to run; `None` searches for one.
    pub program: Option<PathBuf>,
    /// The longest time of a run.
    pub deadline: Duration,
    /// The most memory of dbt and everything that it starts. It is enforced on Linux.
    pub memory_bytes: u64,
    /// Environment variables that dbt may see in addition to the usual ones; `PREFIX*` matches all with this prefix.
    pub variables: Vec<String>,
    /// The repository of the logic.
    pub logic: Option<Logic>,
    /// A folder that belongs to this service alone.
    pub folder: PathBuf,
    /// The warehouse of the query service. dbt receives it as `DUCKDB_PATH`.
    pub warehouse_file: Option<PathBuf>,
}

/// The transform handler.
pub struct TransformHandler {
    settings: Settings,
    repository: Option<Repository>,
    warehouse: Arc<dyn Warehouse>,
    /// One dbt at a time may use a warehouse that is a file; each file has its lock.
    files: Mutex<BTreeMap<PathBuf, Arc<Mutex<()>>>>,
}

impl TransformHandler {
    /// Creates the handler for the project or repository in `settings`.
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

    /// The project for a Command: a checkout for its job, or the configured folder.
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

    /// The environment of dbt.
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
        // dbt copies these into its artifacts, which shows that they belong to this run.
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

    /// The target of the project's profile.
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

    /// The artifacts of earlier runs.
    fn artifact_store(&self) -> ArtifactStore {
        ArtifactStore(self.settings.folder.join("kept"))
    }

    /// The lock that allows one dbt at a time on a warehouse file.
    async fn turn(&self, file: &Path) -> Arc<Mutex<()>> {
        let mut files = self.files.lock().await;
        Arc::clone(files.entry(file.to_owned()).or_default())
    }

    /// Refuses a dbt whose DuckDB is newer than the one that reads the warehouse here, before it writes a byte.
    fn check_duckdb(&self, installed: &Installed, target: &Target) -> Result<(), Failure> {
        // pudato's warehouse may be one of the attached databases.
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
        let previous = match request.action {
            "retry" => {
                let home = repository.clone();
                let home = home.unwrap_or_else(|| project.display().to_string());
                let job = request.command.job_id.as_deref();
                let wanted = options.execution_id.as_deref();
                Some(self.artifact_store().find(wanted, job, &home)?)
            }
            _ => None,
        };
        let which = previous.as_ref().map(|previous| previous.which.as_str());
        let run = Run {
            name: request.action,
            action: actions::lineage_action(request.action, which),
            full_refresh: previous
                .as_ref()
                .map_or(options.full_refresh, |previous| previous.full_refresh),
            previous,
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
        // The checkout must stay until dbt has ended.
        let answered = self.run(&request, &run).await;
        drop(checkout);
        answered
    }
}
