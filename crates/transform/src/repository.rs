//! The repository of the data logic: one commit of it for all steps of a job.
//!
//! The `git` program does the work and no library: it has the user's own credentials (helpers, agents, known hosts), gets its security fixes
//! with the system, and is told here to run nothing of what it fetches: no hooks, no submodules, no filters, and symbolic links
//! are written as the texts that they are.

use crate::child::{self, Ended};
use crate::environment;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::Mutex;

/// Longest time of one call of git.
const DEADLINE: Duration = Duration::from_secs(300);

/// Where the logic is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logic {
    /// `https://..`, `ssh://..` or `user@host:path`; `file://..` where it is allowed.
    pub url: String,
    /// A branch; `main` where it is `None`.
    pub branch: Option<String>,
    /// A commit of 40 hexadecimal digits, which is used whatever the branch says.
    pub revision: Option<String>,
    /// The project's folder in it.
    pub subdirectory: Option<String>,
    /// Whether `file://` may be used.
    pub allows_file: bool,
}

/// A checkout that nobody changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checkout {
    /// Its commit.
    pub(crate) commit: String,
    /// The project's folder.
    pub(crate) project: PathBuf,
    /// What its files are named by in lineage.
    pub(crate) name: String,
}

/// Why there is no checkout.
#[derive(Debug)]
pub(crate) enum Missing {
    /// It cannot be had as it is asked for.
    Wrong(String),
    /// The remote cannot be reached now.
    Unreachable(String),
}

impl Logic {
    /// Checks what can be checked without asking anybody.
    ///
    /// # Errors
    /// The setting that is wrong, with what was expected.
    pub fn check(&self) -> Result<(), String> {
        let url = &self.url;
        let is_ssh_like = !url.contains("://") && url.contains('@') && url.contains(':');
        let scheme = url.split_once("://").map(|(scheme, _)| scheme);
        let is_allowed = match scheme {
            Some("https" | "ssh") => true,
            Some("file") => self.allows_file,
            None => is_ssh_like,
            Some(_) => false,
        };
        if !is_allowed || url.starts_with('-') || url.contains("::") {
            let file = if self.allows_file {
                ""
            } else {
                " (file:// with PUDATO_LOGIC_REPO_ALLOW_FILE=true)"
            };
            return Err(format!(
                "PUDATO_LOGIC_REPO_URL: expected https:// or ssh://{file}, found {:?}",
                pudato_handler::redact(url)
            ));
        }
        if let Some(revision) = &self.revision
            && !is_commit(revision)
        {
            return Err(format!(
                "PUDATO_LOGIC_REPO_REVISION: expected a commit of 40 hexadecimal digits, found {revision:?}"
            ));
        }
        let branch = self.branch();
        let is_branch = !branch.starts_with('-')
            && !branch.contains("..")
            && branch
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
        if !is_branch || branch.is_empty() {
            return Err(format!(
                "PUDATO_LOGIC_REPO_BRANCH: expected letters, digits and -_./, found {branch:?}"
            ));
        }
        let below = self.subdirectory.as_deref().unwrap_or("");
        let is_below = Path::new(below).components().all(|part| {
            matches!(
                part,
                std::path::Component::Normal(_) | std::path::Component::CurDir
            )
        });
        if !is_below {
            return Err(format!(
                "PUDATO_LOGIC_REPO_SUBDIR: expected a folder within the repository, found {below:?}"
            ));
        }
        Ok(())
    }

    fn branch(&self) -> &str {
        self.branch.as_deref().unwrap_or("main")
    }

    /// As lineage names it: without credentials.
    fn name(&self) -> String {
        let url = match self.url.split_once("://") {
            Some((scheme, rest)) => {
                let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
                format!("{scheme}://{rest}")
            }
            None => {
                let rest = self
                    .url
                    .split_once('@')
                    .map_or(self.url.as_str(), |(_, rest)| rest);
                format!("ssh://{}", rest.replacen(':', "/", 1))
            }
        };
        match &self.subdirectory {
            Some(below) => format!("git+{url}#{below}"),
            None => format!("git+{url}"),
        }
    }
}

fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A mirror of the repository in a folder of this installation, and its checkouts.
pub(crate) struct Repository {
    logic: Logic,
    folder: PathBuf,
    /// Variables that git may see beside those that all may.
    also: Vec<String>,
    /// One call of git at a time writes to the mirror.
    fetching: Mutex<()>,
}

impl Repository {
    pub(crate) fn new(logic: Logic, folder: PathBuf, also: Vec<String>) -> Self {
        Self {
            logic,
            folder,
            also,
            fetching: Mutex::default(),
        }
    }

    /// The checkout for a job: the commit that it had before, or what the branch says now.
    pub(crate) async fn checkout(&self, job: Option<&str>) -> Result<Checkout, Missing> {
        self.logic.check().map_err(Missing::Wrong)?;
        let _one = self.fetching.lock().await;
        let failed = |path: &Path, error: std::io::Error| {
            Missing::Unreachable(format!("{}: {error}", path.display()))
        };
        make_private(&self.folder).map_err(|error| failed(&self.folder, error))?;
        let mirror = self.folder.join("mirror.git");
        self.mirror(&mirror).await?;
        let pin = job.map(|job| self.folder.join("jobs").join(file_name(job)));
        let known = pin
            .as_ref()
            .and_then(|pin| std::fs::read_to_string(pin).ok());
        let known = known.filter(|commit| is_commit(commit));
        let commit = match (known, &self.logic.revision) {
            (Some(commit), _) => self.present(&mirror, &commit).await?,
            (None, Some(revision)) => self.present(&mirror, revision).await?,
            (None, None) => self.latest(&mirror).await?,
        };
        if let Some(pin) = &pin {
            make_private(&self.folder.join("jobs")).map_err(|error| failed(pin, error))?;
            write_once(pin, &commit).map_err(|error| failed(pin, error))?;
        }
        let folder = self.unpack(&mirror, &commit).await?;
        let project = match &self.logic.subdirectory {
            Some(below) => folder.join(below),
            None => folder,
        };
        if !project.join("dbt_project.yml").is_file() {
            let below = self.logic.subdirectory.as_deref().unwrap_or(".");
            return Err(Missing::Wrong(format!(
                "the data logic: {commit} has no dbt_project.yml in {below} (PUDATO_LOGIC_REPO_SUBDIR)"
            )));
        }
        Ok(Checkout {
            commit,
            project,
            name: self.logic.name(),
        })
    }

    /// Makes the mirror, or sees to it that it is of this remote.
    async fn mirror(&self, mirror: &Path) -> Result<(), Missing> {
        if mirror.join("HEAD").is_file() {
            let said = self
                .git(mirror, &["config", "--get", "remote.origin.url"])
                .await?;
            if said.trim() == self.logic.url {
                return Ok(());
            }
            // Another repository than before: nothing of the old one may be taken for the new one's.
            std::fs::remove_dir_all(mirror)
                .map_err(|error| Missing::Unreachable(format!("{}: {error}", mirror.display())))?;
        }
        let path = mirror.display().to_string();
        self.git(
            &self.folder,
            &["init", "--quiet", "--bare", "--template=", &path],
        )
        .await?;
        self.git(mirror, &["config", "remote.origin.url", &self.logic.url])
            .await?;
        Ok(())
    }

    /// The commit that the branch has now.
    async fn latest(&self, mirror: &Path) -> Result<String, Missing> {
        let branch = self.logic.branch();
        let refs = format!("+refs/heads/{branch}:refs/heads/{branch}");
        self.fetch(mirror, &refs).await?;
        let name = format!("refs/heads/{branch}^{{commit}}");
        let said = self
            .git(
                mirror,
                &["rev-parse", "--verify", "--end-of-options", &name],
            )
            .await?;
        Ok(said.trim().to_owned())
    }

    /// Sees to it that a commit is there.
    async fn present(&self, mirror: &Path, commit: &str) -> Result<String, Missing> {
        let commit = commit.to_ascii_lowercase();
        let object = format!("{commit}^{{commit}}");
        let look = ["cat-file", "-e", object.as_str()];
        if self.git(mirror, &look).await.is_ok() {
            return Ok(commit);
        }
        // A server may give a commit by its name, and else it is on a branch.
        if self.fetch(mirror, &commit).await.is_err() {
            self.fetch(mirror, "+refs/heads/*:refs/heads/*").await?;
        }
        match self.git(mirror, &look).await {
            Ok(_) => Ok(commit),
            Err(_) => Err(Missing::Wrong(format!(
                "the data logic: the commit {commit} is not there (any more): was the branch rewritten?"
            ))),
        }
    }

    async fn fetch(&self, mirror: &Path, refs: &str) -> Result<(), Missing> {
        let fetch = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--",
            "origin",
            refs,
        ];
        self.git(mirror, &fetch).await.map(|_| ())
    }

    /// The files of a commit, written once.
    async fn unpack(&self, mirror: &Path, commit: &str) -> Result<PathBuf, Missing> {
        let checkouts = self.folder.join("checkouts");
        let wanted = checkouts.join(commit);
        if wanted.is_dir() {
            return Ok(wanted);
        }
        let failed = |error: std::io::Error| {
            Missing::Unreachable(format!("{}: {error}", checkouts.display()))
        };
        make_private(&checkouts).map_err(failed)?;
        let new = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&checkouts)
            .map_err(failed)?;
        let (index, files) = (new.path().join("index"), new.path().join("files"));
        std::fs::create_dir(&files).map_err(failed)?;
        let index = format!("--index-output={}", index.display());
        let tree = format!("--work-tree={}", files.display());
        // `read-tree -u` writes the files, `-m` none that is there already.
        self.git(
            mirror,
            &[
                &tree,
                "read-tree",
                "--reset",
                "-u",
                &index,
                "--end-of-options",
                commit,
            ],
        )
        .await?;
        let _ = std::fs::remove_file(mirror.join("index"));
        match std::fs::rename(&files, &wanted) {
            Ok(()) => Ok(wanted),
            // Another process was as quick.
            Err(_) if wanted.is_dir() => Ok(wanted),
            Err(error) => Err(failed(error)),
        }
    }

    /// Runs git on the mirror; answers what it printed.
    async fn git(&self, folder: &Path, args: &[&str]) -> Result<String, Missing> {
        let file = if self.logic.allows_file {
            "always"
        } else {
            "never"
        };
        let file = format!("protocol.file.allow={file}");
        let settings = [
            "core.hooksPath=/dev/null",
            "core.symlinks=false",
            "core.fsmonitor=false",
            "core.attributesFile=/dev/null",
            "submodule.recurse=false",
            "fetch.recurseSubmodules=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "protocol.allow=never",
            "protocol.https.allow=always",
            "protocol.ssh.allow=always",
            file.as_str(),
            // Whoever owns the folder, it was made here.
            "safe.directory=*",
        ];
        let mut all: Vec<OsString> = Vec::new();
        for setting in settings {
            all.extend(["-c".into(), setting.into()]);
        }
        all.extend(args.iter().map(Into::into));
        let mut environment = environment::allowed(&self.also);
        for (name, value) in [
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"),
        ] {
            if !environment.iter().any(|(known, _)| known == name) {
                environment.push((name.into(), value.into()));
            }
        }
        let program = Path::new("git");
        let mut said = Vec::new();
        let mut keep = |line: &str| {
            if said.len() < 100 {
                said.push(line.to_owned());
            }
            true
        };
        let ended = child::run(program, &all, folder, &environment, DEADLINE, &mut keep).await;
        let what = args
            .iter()
            .find(|arg| !arg.starts_with('-'))
            .copied()
            .unwrap_or_default();
        let text = said.join("\n");
        match ended {
            Ok(Ended::Status(status)) if status.success() => Ok(text),
            Ok(Ended::Status(_)) => {
                let text = pudato_handler::redact(&text).into_owned();
                let text = text.replace(&self.logic.url, &self.logic.name());
                let why = format!("the data logic: git {what}: {}", text.trim());
                Err(match is_unreachable(&text) {
                    true => Missing::Unreachable(why),
                    false => Missing::Wrong(why),
                })
            }
            Ok(Ended::TimedOut) => Err(Missing::Unreachable(format!(
                "the data logic: git {what} took longer than {} s",
                DEADLINE.as_secs()
            ))),
            Err(error) => Err(Missing::Wrong(format!("git: {error}; install it"))),
        }
    }
}

/// What git says where trying again may help.
fn is_unreachable(text: &str) -> bool {
    const SIGNS: [&str; 9] = [
        "Could not resolve host",
        "Couldn't resolve host",
        "Connection refused",
        "Connection timed out",
        "Connection reset",
        "Failed to connect",
        "unable to access",
        "early EOF",
        "Network is unreachable",
    ];
    SIGNS.iter().any(|sign| text.contains(sign))
}

/// Makes a folder that only this user may enter.
fn make_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Writes a file unless it is there.
fn write_once(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    if path.exists() {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

/// A job's id as a name of a file.
fn file_name(job: &str) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    Sha256::digest(job)
        .iter()
        .fold(String::new(), |mut all, byte| {
            let _ = write!(all, "{byte:02x}");
            all
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logic(url: &str) -> Logic {
        Logic {
            url: url.into(),
            branch: None,
            revision: None,
            subdirectory: None,
            allows_file: false,
        }
    }

    #[test]
    fn only_https_and_ssh_are_fetched_from_and_nothing_looks_like_an_option() {
        for url in ["https://h/r.git", "ssh://git@h/r.git", "git@h:team/r.git"] {
            logic(url).check().expect(url);
        }
        for url in [
            "ext::sh -c id",
            "file:///r",
            "/r",
            "http://h/r",
            "git://h/r",
            "-u@h:x",
            "--upload-pack=x",
            "",
        ] {
            assert!(
                logic(url)
                    .check()
                    .expect_err(url)
                    .starts_with("PUDATO_LOGIC_REPO_URL"),
                "{url}"
            );
        }
        let allowed = Logic {
            allows_file: true,
            ..logic("file:///r")
        };
        allowed.check().expect("allowed");
        for (field, wrong) in [
            (
                "_REVISION",
                Logic {
                    revision: Some("main".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_REVISION",
                Logic {
                    revision: Some("--x".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_BRANCH",
                Logic {
                    branch: Some("--upload-pack=x".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_BRANCH",
                Logic {
                    branch: Some("a..b".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_SUBDIR",
                Logic {
                    subdirectory: Some("../x".into()),
                    ..logic("https://h/r")
                },
            ),
            (
                "_SUBDIR",
                Logic {
                    subdirectory: Some("/x".into()),
                    ..logic("https://h/r")
                },
            ),
        ] {
            assert!(wrong.check().expect_err(field).contains(field), "{wrong:?}");
        }
    }

    #[test]
    fn names_in_lineage_have_no_credentials() {
        assert_eq!(
            logic("https://me:secret@h/r.git").name(),
            "git+https://h/r.git"
        );
        assert_eq!(logic("git@h:team/r.git").name(), "git+ssh://h/team/r.git");
    }
}
