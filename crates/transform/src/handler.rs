use crate::actions::{self, ACTIONS};
use crate::artifacts::Artifacts;
use crate::child::{self, Ended, Terms};
use crate::environment;
use crate::git::Missing;
use crate::group::Held;
use crate::installed::Installed;
use crate::kept::{self, Former, Kept};
use crate::lineage::{self, Lineage};
use crate::log::{Log, Progress};
use crate::logic::Logic;
use crate::more::More;
use crate::naming::Naming;
use crate::options::{ALWAYS, Options};
use crate::packages::Packages;
use crate::profile::{self, Place, Target};
use crate::program;
use crate::repository::{Checkout, Repository};
use crate::scratch::Scratch;
use crate::verdict::{End, Verdict};
use crate::warehouse::Warehouse;
use async_trait::async_trait;
use pudato_handler::{Action, Answer, Failure, Handler, Request, called};
use pudato_protocol::{FieldError, Object};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long dbt may cancel its queries when its time is over or its Command is cancelled.
const GRACE: Duration = Duration::from_secs(5);

/// Most tables whose rows are counted after a run.
const COUNTED_MAX: usize = 10_000;

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
                "transform: no project: set DBT_PROJECT_DIR, or PUDATO_LOGIC_REPO_URL",
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

    async fn run(&self, request: &Request<'_>, run: &Run<'_>) -> Result<Answer, Failure> {
        let environment = self.environment(run);
        let target = self.target(run, &environment).map_err(Failure::bad)?;
        // What a repository has committed is no program of this machine's.
        let beside = self.repository.is_none().then_some(run.project.as_path());
        let program = program::find(self.settings.program.as_deref(), beside);
        let program = program.map_err(Failure::bad)?;
        let scratch = Scratch::new(&run.scratch).map_err(|error| Failure::Unavailable {
            why: format!("{}: {error}", run.scratch.display()),
        })?;
        let scratch = Arc::new(scratch);
        let (out, logs) = (scratch.path().join("target"), scratch.path().join("logs"));
        if let Some(logic) = self.settings.logic.as_ref() {
            let packages = Packages {
                project: &run.project,
                profiles: &run.profiles,
                program: &program,
                environment: &environment,
                allows_file: logic.allows_file,
                memory_bytes: self.settings.memory_bytes,
                logs: logs.clone(),
            };
            packages.ensure().await?;
        }
        let installed = Installed::of(&program, &environment).await;
        self.check_duckdb(&installed, &target)?;
        // Nobody sees an error of a lock: dbt and the queries of this process take turns.
        let (mut turns, mut loans) = (Vec::new(), Vec::new());
        for file in target.files() {
            let named = format!("the warehouse {}", file.display());
            let wait = request.waits_for(format!("{named}: another dbt of this worker has it"));
            turns.push(self.turn(file).await.lock_owned().await);
            drop(wait);
            let (borrower, waits) = (called(request.command), request.waits());
            let lent = self.warehouse.lend(file, &borrower, &waits).await;
            loans.extend(lent.map_err(|why| Failure::Unavailable { why })?);
        }
        let turn = Arc::new(turns);
        let lent = Arc::new(Mutex::new(loans));
        // A dbt whose Command is cancelled needs a moment to end, and all of these until then.
        let held: Vec<Held> = vec![scratch.clone(), turn.clone(), lent.clone()];
        let state = scratch.path().join("state");
        if let Some(former) = &run.former {
            // It may be let go any time, to make room for others.
            std::fs::create_dir(&state)
                .and_then(|()| std::fs::copy(&former.results, state.join(kept::RESULTS)))
                .map_err(|error| Failure::bad(format!("{}: {error}", former.results.display())))?;
        }
        let own = match run.options.macro_name {
            Some(_) => profile::project_name(&run.project).map_err(Failure::bad)?,
            None => String::new(),
        };
        let is_2 = installed.is_dbt_from(2);
        let words = actions::words(run.name, &own, run.options, &state, is_2);
        let args = run.args(words, self.settings.target.as_deref(), &out, &logs);
        let ran = self
            .call(request, run, &program, &args, &environment, held)
            .await;
        // Rows are counted in the file that dbt gave back, and before the next dbt has it.
        drop(lent);
        let (ended, mut log, refused) = ran?;
        let artifacts = Artifacts::read(&out, &run.execution);
        let mut more = More::read(run, &out, &mut log, &naming(run, &target));
        let end = End {
            action: run.name,
            ended,
            deadline: self.settings.deadline,
            memory_bytes: self.settings.memory_bytes,
            log,
            refused,
            artifacts: &artifacts,
            missing: missing(run.name, &out),
        };
        let verdict = end.verdict();
        let artifacts = artifacts.unwrap_or_default();
        more.keep(run, &self.kept(), &out);
        let answer = async {
            let answer = self.answer(request, run, artifacts, &target).await;
            more.tell(answer)
        };
        let answered = match verdict {
            Verdict::Success => Ok(answer.await),
            Verdict::Failed(errors) => {
                let done = Box::new(answer.await);
                Err(Failure::Final { errors, done })
            }
            Verdict::Again(why) => Err(Failure::Retry { why, after: None }),
            Verdict::InUse => Err(Failure::Unavailable {
                why: "the warehouse is in use by another process; dbt waits for it".into(),
            }),
        };
        drop(turn);
        answered
    }

    /// Runs dbt to its end, and reports how far it is; answers with what it said, and with why it was stopped where its version is refused.
    async fn call(
        &self,
        request: &Request<'_>,
        run: &Run<'_>,
        program: &Path,
        args: &[OsString],
        environment: &[(OsString, OsString)],
        held: Vec<Held>,
    ) -> Result<(Ended, Log, Option<String>), Failure> {
        let mut log = Log::default();
        let mut refused = None;
        let mut line = |line: &str| {
            if let Some(progress) = log.read(line) {
                request.report(progress_of(run.name, &progress));
            }
            if refused.is_none()
                && let Some(version) = &log.version
            {
                refused = program::check(version).err();
            }
            refused.is_none()
        };
        let terms = Terms {
            deadline: self.settings.deadline,
            grace: GRACE,
            memory_bytes: Some(self.settings.memory_bytes),
            held,
        };
        let ended = child::run(program, args, &run.project, environment, terms, &mut line);
        let ended = ended.await.map_err(|error| not_started(program, &error))?;
        Ok((ended, log, refused))
    }

    async fn answer(
        &self,
        request: &Request<'_>,
        run: &Run<'_>,
        artifacts: Option<Artifacts>,
        target: &Target,
    ) -> Answer {
        let mut data = Object::new();
        let mut set = |name: &str, value: Value| data.insert(name.into(), value);
        set("command", run.name.into());
        set("logic_version", json!(run.version));
        set("logic_repository", json!(run.repository));
        set("execution_id", run.execution.as_str().into());
        // What the caller says of itself is kept beside what is true.
        let claims = ["logic_version", "execution_id"]
            .into_iter()
            .filter_map(|name| {
                let claimed = request.command.metadata.get(name)?;
                Some((name.to_owned(), claimed.clone()))
            });
        let claims: Object = claims.collect();
        if !claims.is_empty() {
            set("claimed", Value::Object(claims));
        }
        let lineage = match &artifacts {
            Some(artifacts) => {
                let version = artifacts.manifest.metadata.dbt_version.as_deref();
                set("dbt_version", json!(version));
                self.lineage(run, artifacts, target).await
            }
            None => Lineage::default(),
        };
        set("nodes", Value::Array(lineage.nodes));
        let mut answer = Answer::new(data);
        answer.inputs = lineage.inputs;
        answer.outputs = lineage.outputs;
        answer.executions = lineage.executions;
        answer
    }

    async fn lineage(&self, run: &Run<'_>, artifacts: &Artifacts, target: &Target) -> Lineage {
        let naming = naming(run, target);
        let rows = match run.action {
            "compile" => BTreeMap::new(),
            _ => self.count(target, artifacts).await,
        };
        lineage::of_run(artifacts, &naming, run.action, run.full_refresh, &rows)
    }

    /// The rows of tables whose adapter does not say them.
    async fn count(&self, target: &Target, artifacts: &Artifacts) -> BTreeMap<String, u64> {
        let tables = lineage::uncounted(artifacts);
        let mut counted = BTreeMap::new();
        for file in target.files() {
            let (mut ids, mut names) = (Vec::new(), Vec::new());
            for (id, [database, schema, name]) in tables.iter().take(COUNTED_MAX) {
                if let Some((_, own)) = target.file_of(database).filter(|(at, _)| *at == file) {
                    ids.push(id.clone());
                    names.push([own.to_owned(), schema.clone(), name.clone()]);
                }
            }
            if !names.is_empty() {
                let rows = self.warehouse.rows(file, &names).await;
                counted.extend(
                    ids.into_iter()
                        .zip(rows)
                        .filter_map(|(id, rows)| Some((id, rows?))),
                );
            }
        }
        counted
    }
}

fn naming<'a>(run: &'a Run<'_>, target: &'a Target) -> Naming<'a> {
    Naming {
        namespace: &target.namespace,
        adapter: &target.adapter,
        attached: &target.attached,
        project: &run.project,
        repository: run.repository.as_deref(),
    }
}

/// One run of dbt.
pub(crate) struct Run<'a> {
    /// The action.
    pub(crate) name: &'static str,
    /// What lineage takes it for.
    action: &'static str,
    /// What is tried again.
    pub(crate) former: Option<Former>,
    pub(crate) options: &'a Options,
    full_refresh: bool,
    project: PathBuf,
    profiles: PathBuf,
    scratch: PathBuf,
    pub(crate) execution: String,
    version: Option<String>,
    repository: Option<String>,
    pub(crate) job: Option<String>,
    step: Option<String>,
}

impl Run<'_> {
    /// What its project is called, whatever the commit.
    pub(crate) fn home(&self) -> String {
        let folder = || self.project.display().to_string();
        self.repository.clone().unwrap_or_else(folder)
    }

    fn args(
        &self,
        words: Vec<OsString>,
        target: Option<&str>,
        out: &Path,
        logs: &Path,
    ) -> Vec<OsString> {
        let behind = |option: &str, value: &Path| {
            let mut arg = OsString::from(option);
            arg.push(value);
            arg
        };
        let mut args: Vec<OsString> = ALWAYS.iter().map(OsString::from).collect();
        args.push(behind("--log-path=", logs));
        args.extend(words);
        args.extend([
            behind("--project-dir=", &self.project),
            behind("--profiles-dir=", &self.profiles),
            behind("--target-path=", out),
        ]);
        if let Some(target) = target {
            args.push(format!("--target={target}").into());
        }
        args.extend(self.options.args().into_iter().map(OsString::from));
        args
    }
}

/// Where dbt itself looks for `profiles.yml` (its documentation, "About profiles.yml"): in the project, then in `~/.dbt`.
pub(crate) fn profiles_beside(project: &Path) -> PathBuf {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".dbt"));
    let has = |folder: &PathBuf| folder.join("profiles.yml").is_file();
    let own = project.to_owned();
    match home.filter(|home| !has(&own) && has(home)) {
        Some(home) => home,
        None => own,
    }
}

impl From<Missing> for Failure {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Wrong(why) => Self::bad(why),
            Missing::Unreachable(why) => Self::Retry { why, after: None },
        }
    }
}

/// Why dbt could not be started.
fn not_started(program: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::ArgumentListTooLong {
        let reason = "vars, select and exclude are longer than this system passes to a program (one of them at most 128 KiB on Linux); \
            pass less, e.g. the name of a table that holds it";
        return FieldError::new("payload.vars", reason).into();
    }
    Failure::bad(format!(
        "{}: {error}: {}",
        program.display(),
        program::INSTALL
    ))
}

/// Where the project lies that `DBT_PROJECT_DIR` names.
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

/// What dbt was to write into `out` in any case, and is not there.
fn missing(action: &str, out: &Path) -> Option<&'static str> {
    let own = match action {
        "docs_generate" => Some(kept::CATALOG),
        "source_freshness" => Some(kept::SOURCES),
        _ => None,
    };
    let mut all = [kept::MANIFEST].into_iter().chain(own);
    all.find(|name| !out.join(name).is_file())
}

fn progress_of(action: &str, progress: &Progress) -> Object {
    let mut data = Object::new();
    let mut set = |name: &str, value: Value| data.insert(name.into(), value);
    set("command", action.into());
    set("done", progress.done.into());
    // What is not known is not said.
    if let Some(total) = progress.total {
        set("total", total.into());
    }
    set("node", progress.node.as_str().into());
    set("kind", progress.kind.as_str().into());
    if let Some((part, of)) = progress.part {
        set("part", part.into());
        set("parts", of.into());
    }
    data
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
