//! One run of dbt, and its arguments.

use crate::dbt::artifact_store::PreviousRun;
use crate::dbt::options::{ALWAYS, Options};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One run of dbt.
pub(crate) struct Run<'a> {
    /// The action.
    pub(crate) name: &'static str,
    /// The action that lineage assumes.
    pub(crate) action: &'static str,
    /// The run that is retried.
    pub(crate) previous: Option<PreviousRun>,
    pub(crate) options: &'a Options,
    pub(crate) full_refresh: bool,
    pub(crate) project: PathBuf,
    pub(crate) profiles: PathBuf,
    pub(crate) scratch: PathBuf,
    pub(crate) execution: String,
    pub(crate) version: Option<String>,
    pub(crate) repository: Option<String>,
    pub(crate) job: Option<String>,
    pub(crate) step: Option<String>,
}

impl Run<'_> {
    /// Identifies the project, whatever its commit.
    pub(crate) fn home(&self) -> String {
        let folder = || self.project.display().to_string();
        self.repository.clone().unwrap_or_else(folder)
    }

    pub(crate) fn args(
        &self,
        words: Vec<OsString>,
        target: Option<&str>,
        out: &Path,
        logs: &Path,
    ) -> Vec<OsString> {
        let with_value = |option: &str, value: &Path| {
            let mut arg = OsString::from(option);
            arg.push(value);
            arg
        };
        let mut args: Vec<OsString> = ALWAYS.iter().map(OsString::from).collect();
        args.push(with_value("--log-path=", logs));
        args.extend(words);
        args.extend([
            with_value("--project-dir=", &self.project),
            with_value("--profiles-dir=", &self.profiles),
            with_value("--target-path=", out),
        ]);
        if let Some(target) = target {
            args.push(format!("--target={target}").into());
        }
        args.extend(self.options.args().into_iter().map(OsString::from));
        args
    }
}
