//! Runs dbt once: takes the warehouse, starts dbt, and decides what its end means.

use super::TransformHandler;
use super::answer::naming;
use crate::dbt::actions;
use crate::dbt::artifact_store;
use crate::dbt::artifacts::Artifacts;
use crate::dbt::extra_output::ExtraOutput;
use crate::dbt::installed::Installed;
use crate::dbt::log::{Log, Progress};
use crate::dbt::packages::Packages;
use crate::dbt::profile;
use crate::dbt::program;
use crate::dbt::run::Run;
use crate::dbt::verdict::{End, Verdict};
use crate::process::child::{self, Exit, Limits};
use crate::process::group::KeepAlive;
use crate::process::scratch::Scratch;
use pudato_handler::{Answer, Failure, Request, called};
use pudato_protocol::{FieldError, Object};
use serde_json::Value;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// How long dbt may take to cancel its queries after its deadline or a cancellation.
const GRACE: Duration = Duration::from_secs(5);

impl TransformHandler {
    pub(super) async fn run(
        &self,
        request: &Request<'_>,
        run: &Run<'_>,
    ) -> Result<Answer, Failure> {
        let environment = self.environment(run);
        let target = self.target(run, &environment).map_err(Failure::bad)?;
        // A program in a repository must not be run.
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
        // dbt and the queries of this process take turns, so that neither fails on the lock of the file.
        let (mut turns, mut loans) = (Vec::new(), Vec::new());
        for file in target.files() {
            let named = format!("the warehouse {}", file.display());
            let wait =
                request.waits_for(format!("{named}: another dbt of this worker is using it"));
            turns.push(self.turn(file).await.lock_owned().await);
            drop(wait);
            let (borrower, waits) = (called(request.command), request.waits());
            let lent = self.warehouse.lend(file, &borrower, &waits).await;
            loans.extend(lent.map_err(|why| Failure::Unavailable { why })?);
        }
        let turn = Arc::new(turns);
        let lent = Arc::new(Mutex::new(loans));
        // A cancelled dbt needs a moment to end, and all of these until then.
        let held: Vec<KeepAlive> = vec![scratch.clone(), turn.clone(), lent.clone()];
        let state = scratch.path().join("state");
        if let Some(previous) = &run.previous {
            // A copy, because the artifacts may be pruned at any time.
            std::fs::create_dir(&state)
                .and_then(|()| {
                    std::fs::copy(&previous.results, state.join(artifact_store::RESULTS))
                })
                .map_err(|error| {
                    Failure::bad(format!("{}: {error}", previous.results.display()))
                })?;
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
        // Rows are counted after dbt has returned the file and before the next dbt takes it.
        drop(lent);
        let (exit, mut log, refused) = ran?;
        let artifacts = Artifacts::read(&out, &run.execution);
        let mut extra = ExtraOutput::read(run, &out, &mut log, &naming(run, &target));
        let end = End {
            action: run.name,
            exit,
            deadline: self.settings.deadline,
            memory_bytes: self.settings.memory_bytes,
            log,
            refused,
            artifacts: &artifacts,
            missing: missing(run.name, &out),
        };
        let verdict = end.verdict();
        let artifacts = artifacts.unwrap_or_default();
        extra.keep(run, &self.artifact_store(), &out);
        let answer = async {
            let answer = self.answer(request, run, artifacts, &target).await;
            extra.add_to(answer)
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

    /// Runs dbt to its end and reports its progress. Returns how it ended, its log, and why its version was refused.
    async fn call(
        &self,
        request: &Request<'_>,
        run: &Run<'_>,
        program: &Path,
        args: &[OsString],
        environment: &[(OsString, OsString)],
        held: Vec<KeepAlive>,
    ) -> Result<(Exit, Log, Option<String>), Failure> {
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
        let limits = Limits {
            deadline: self.settings.deadline,
            grace: GRACE,
            memory_bytes: Some(self.settings.memory_bytes),
            held,
        };
        let exit = child::run(program, args, &run.project, environment, limits, &mut line);
        let exit = exit.await.map_err(|error| not_started(program, &error))?;
        Ok((exit, log, refused))
    }
}

/// Why dbt could not be started.
fn not_started(program: &Path, error: &std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::ArgumentListTooLong {
        let reason = "vars, select and exclude are longer than this system can pass to a program (at most 128 KiB each on Linux); \
            pass less, e.g. the name of a table with the values";
        return FieldError::new("payload.vars", reason).into();
    }
    Failure::bad(format!(
        "{}: {error}: {}",
        program.display(),
        program::INSTALL
    ))
}

/// The file that dbt should always write into `out` but did not.
fn missing(action: &str, out: &Path) -> Option<&'static str> {
    let own = match action {
        "docs_generate" => Some(artifact_store::CATALOG),
        "source_freshness" => Some(artifact_store::SOURCES),
        _ => None,
    };
    let mut all = [artifact_store::MANIFEST].into_iter().chain(own);
    all.find(|name| !out.join(name).is_file())
}

fn progress_of(action: &str, progress: &Progress) -> Object {
    let mut data = Object::new();
    let mut set = |name: &str, value: Value| data.insert(name.into(), value);
    set("command", action.into());
    set("done", progress.done.into());
    // An unknown total is left out.
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
