//! The packages of a project that came from a repository (`dbt deps`): its checkout is nobody's folder, so nobody else would fetch them.

use crate::dbt::log::Log;
use crate::dbt::options::ALWAYS;
use crate::dbt::verdict;
use crate::process::child::{self, Ended, Terms};
use crate::repository::git::{self, Missing};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest time of fetching all packages.
const DEADLINE: Duration = Duration::from_secs(600);
/// Files in which a project asks for packages.
const ASKED_IN: [&str; 2] = ["packages.yml", "dependencies.yml"];
/// Held while packages are fetched, and left behind: it tells packages that a repository has itself from those of a run that was killed.
const LOCK: &str = ".pudato-packages.lock";
/// Written when all are there.
const DONE: &str = ".pudato-packages";

/// What is needed to fetch them.
pub(crate) struct Packages<'a> {
    /// The project's folder in a checkout.
    pub(crate) project: &'a Path,
    pub(crate) profiles: &'a Path,
    pub(crate) program: &'a Path,
    pub(crate) environment: &'a [(OsString, OsString)],
    /// Whether `file://` may be used.
    pub(crate) allows_file: bool,
    /// Most memory of it.
    pub(crate) memory_bytes: u64,
    /// A folder for dbt's log.
    pub(crate) logs: PathBuf,
}

impl Packages<'_> {
    /// Sees to it that the packages are there: once for each checkout, whoever uses it.
    pub(crate) async fn ensure(&self) -> Result<(), Missing> {
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
            Missing::Unreachable(format!("the packages of {project}: {error}"))
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

    async fn fetch(&self) -> Result<(), Missing> {
        let behind = |option: &str, value: &Path| {
            let mut arg = OsString::from(option);
            arg.push(value);
            arg
        };
        let mut args: Vec<OsString> = ALWAYS.iter().map(OsString::from).collect();
        args.extend([
            behind("--log-path=", &self.logs),
            "deps".into(),
            behind("--project-dir=", self.project),
            behind("--profiles-dir=", self.profiles),
        ]);
        let mut log = Log::default();
        let mut keep = |line: &str| {
            log.read(line);
            true
        };
        let environment = self.environment();
        // Who is next must not find it at work, so it is killed without a grace.
        let terms = Terms {
            memory_bytes: Some(self.memory_bytes),
            ..Terms::until(DEADLINE)
        };
        let ended = child::run(
            self.program,
            &args,
            self.project,
            &environment,
            terms,
            &mut keep,
        );
        let why = match ended.await {
            Ok(Ended::Code(0)) => return Ok(()),
            Ok(Ended::Code(_)) => {
                let mut said = log.errors.join("; ");
                if said.is_empty() {
                    said = log.last_words.unwrap_or_default();
                }
                let said = pudato_handler::redact(&said).into_owned();
                let why = format!("dbt deps: {said}");
                if !is_unreachable(&said) {
                    return Err(Missing::Wrong(why));
                }
                why
            }
            Ok(Ended::Signal(signal)) => format!("dbt deps was ended by signal {signal}"),
            Ok(Ended::OverMemory(used)) => {
                let why = verdict::over_memory("deps", used, self.memory_bytes);
                return Err(Missing::Wrong(why));
            }
            Ok(Ended::TimedOut | Ended::Stopped) => {
                format!("dbt deps took longer than {} s", DEADLINE.as_secs())
            }
            Err(error) => return Err(Missing::Wrong(format!("dbt deps: {error}"))),
        };
        Err(Missing::Unreachable(why))
    }

    /// dbt calls git for packages that are repositories; that runs nothing of theirs either.
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
