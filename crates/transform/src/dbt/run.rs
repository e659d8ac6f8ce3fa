//! One run of dbt, and its arguments.

use crate::dbt::kept::Former;
use crate::dbt::options::{ALWAYS, Options};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// One run of dbt.
pub(crate) struct Run<'a> {
    /// The action.
    pub(crate) name: &'static str,
    /// What lineage takes it for.
    pub(crate) action: &'static str,
    /// What is tried again.
    pub(crate) former: Option<Former>,
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
    /// What its project is called, whatever the commit.
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
