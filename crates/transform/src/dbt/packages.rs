//! Fetches the packages of a project from a repository (`dbt deps`). Nobody else can, because its checkout is private to pudato.

use crate::dbt::log::Log;
use crate::dbt::options::ALWAYS;
use crate::dbt::verdict;
use crate::process::child::{self, Exit, Limits};
use crate::repository::git::{self, FetchError};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest time to fetch all packages.
const DEADLINE: Duration = Duration::from_secs(600);
/// The files in which a project lists its packages.
const ASKED_IN: [&str; 2] = ["packages.yml", "dependencies.yml"];
/// Held while packages are fetched, and left behind. It distinguishes packages that are part of the repository from those of a killed run.
const LOCK: &str = ".pudato-packages.lock";
/// Written once all packages are there.
const DONE: &str = ".pudato-packages";

/// The inputs of `dbt deps`.
pub(crate) struct Packages<'a> {
    /// The project folder in a checkout.
    pub(crate) project: &'a Path,
    pub(crate) profiles: &'a Path,
    pub(crate) program: &'a Path,
    pub(crate) environment: &'a [(OsString, OsString)],
    /// Whether `file://` URLs are allowed.
    pub(crate) allows_file: bool,
    /// The most memory of `dbt deps`.
    pub(crate) memory_bytes: u64,
    /// A folder for dbt's log.
    pub(crate) logs: PathBuf,
}

impl Packages<'_> {
    /// Makes sure that the packages are there. Each checkout fetches them once.
    pub(crate) async fn ensure(&self) -> Result<(), FetchError> {
        let is_asked = ASKED_IN
            .iter()
            .any(|name| self.project.join(name).is_file());
        let (lock, done) = (self.project.join(LOCK), self.project.join(DONE));
        let are_committed = !lock.exists() && self.project.join("dbt_packages").is_dir();
        if !is_asked || are_committed || done.exists() {
            return Ok(());
        }
        let failed = |error: std::io::Error| {
            let project = self.project.display();
            FetchError::Unreachable(format!("the packages of {project}: {error}"))
        };
        let locked = tokio::task::spawn_blocking(move || {
            let file = File::options().create(true).append(true).open(lock)?;
            file.lock()?;
            Ok(file)
        });
        let locked = locked.await.map_err(std::io::Error::other);
        let _only = locked.and_then(|locked| locked).map_err(failed)?;
        if done.exists() {
            return Ok(());
        }
        self.fetch().await?;
        File::create(&done).map_err(failed)?;
        Ok(())
    }

    async fn fetch(&self) -> Result<(), FetchError> {
        let with_value = |option: &str, value: &Path| {
            let mut arg = OsString::from(option);
            arg.push(value);
            arg
        };
        let mut args: Vec<OsString> = ALWAYS.iter().map(OsString::from).collect();
        args.extend([
            with_value("--log-path=", &self.logs),
            "deps".into(),
            with_value("--project-dir=", self.project),
            with_value("--profiles-dir=", self.profiles),
        ]);
        let mut log = Log::default();
        let mut keep = |line: &str| {
            log.read(line);
            true
        };
        let environment = self.environment();
        // The next process must not find it still running, so it is killed without a grace period.
        let limits = Limits {
            memory_bytes: Some(self.memory_bytes),
            ..Limits::until(DEADLINE)
        };
        let exit = child::run(
            self.program,
            &args,
            self.project,
            &environment,
            limits,
            &mut keep,
        );
        let why = match exit.await {
            Ok(Exit::Code(0)) => return Ok(()),
            Ok(Exit::Code(_)) => {
                let mut said = log.errors.join("; ");
                if said.is_empty() {
                    said = log.last_words.unwrap_or_default();
                }
                let said = pudato_handler::redact(&said).into_owned();
                let why = format!("dbt deps: {said}");
                if !is_unreachable(&said) {
                    return Err(FetchError::Invalid(why));
                }
                why
            }
            Ok(Exit::Signal(signal)) => format!("dbt deps was ended by signal {signal}"),
            Ok(Exit::OverMemory(used)) => {
                let why = verdict::over_memory("deps", used, self.memory_bytes);
                return Err(FetchError::Invalid(why));
            }
            Ok(Exit::TimedOut | Exit::Stopped) => {
                format!("dbt deps took longer than {} s", DEADLINE.as_secs())
            }
            Err(error) => return Err(FetchError::Invalid(format!("dbt deps: {error}"))),
        };
        Err(FetchError::Unreachable(why))
    }

    /// dbt calls git for packages in repositories. That git runs nothing that it fetches either.
    fn environment(&self) -> Vec<(OsString, OsString)> {
        let protocols = if self.allows_file {
            "https:ssh:file"
        } else {
            "https:ssh"
        };
        let mut all = self.environment.to_vec();
        for (name, value) in [
            ("GIT_ALLOW_PROTOCOL", protocols),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", "core.hooksPath"),
            ("GIT_CONFIG_VALUE_0", "/dev/null"),
            ("GIT_CONFIG_KEY_1", "submodule.recurse"),
            ("GIT_CONFIG_VALUE_1", "false"),
        ] {
            all.retain(|(known, _)| known != name);
            all.push((name.into(), value.into()));
        }
        all
    }
}

/// What dbt says where trying again may help (its `connection_exception_retry`), and what git says that it calls. Its words are all
/// there is: `dbt deps` ends with the same exit code whatever stopped it.
fn is_unreachable(text: &str) -> bool {
    let signs = [
        "External connection exception",
        "Max retries exceeded",
        "timed out",
    ];
    signs.iter().any(|sign| text.contains(sign)) || git::is_unreachable(text)
}
