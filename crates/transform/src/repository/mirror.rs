//! A bare copy of the remote, private to this installation.

use crate::repository::git::{FetchError, Git};
use crate::repository::logic::is_commit;
use std::io::Write;
use std::path::Path;

/// The last known commit of the branch. The name does not depend on the branch, so that an old branch name cannot block a new one (`rel`
/// and `rel/1` cannot coexist).
const BRANCH: &str = "refs/pudato/branch";

/// All branches, in which a commit is searched.
const ALL: &str = "+refs/heads/*:refs/pudato/all/*";

/// Overrides all other attributes (gitattributes(5)): files are written as they were committed, whatever a `.gitattributes` and the user's
/// settings say about filters, line endings and encodings.
const ATTRIBUTES: &str = "* -filter -text -crlf -ident !eol !working-tree-encoding\n";

/// The mirror of the configured remote.
pub(crate) struct Mirror<'a> {
    git: Git<'a>,
}

impl<'a> Mirror<'a> {
    /// Opens the mirror, or creates it if it is incomplete or belongs to another remote.
    pub(crate) async fn open(git: Git<'a>) -> Result<Self, FetchError> {
        let mirror = git.mirror;
        let (config, remote) = (mirror.join("config"), remote(&git.logic.url));
        // The remote is written last. A configuration that does not end with it is incomplete or belongs to another repository, whose
        // contents must not be reused.
        let is_ours = std::fs::read_to_string(&config).is_ok_and(|text| text.ends_with(&remote));
        if is_ours {
            return Ok(Self { git });
        }
        let failed = |error: std::io::Error| {
            FetchError::Unreachable(format!("{}: {error}", mirror.display()))
        };
        match std::fs::remove_dir_all(mirror) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(error));
            }
            _ => {}
        }
        let init = [
            "-c",
            "init.defaultObjectFormat=sha1",
            "-c",
            "init.defaultRefFormat=files",
            "init",
            "--quiet",
            "--bare",
            "--template=",
        ];
        git.run(&init).await?;
        let written = std::fs::create_dir_all(mirror.join("info"))
            .and_then(|()| std::fs::write(mirror.join("info/attributes"), ATTRIBUTES))
            .and_then(|()| add_remote(&config, &remote));
        written.map_err(failed)?;
        Ok(Self { git })
    }

    /// Fetches the current commit of the branch.
    pub(crate) async fn latest(&self) -> Result<String, FetchError> {
        let branch = self.git.logic.branch();
        self.fetch(&[&format!("+refs/heads/{branch}:{BRANCH}")])
            .await?;
        let name = format!("{BRANCH}^{{commit}}");
        let look = ["rev-parse", "--verify", "--end-of-options", &name];
        let said = self.git.run(&look).await?;
        // The output may contain warnings as well.
        let commit = said.lines().map(str::trim).find(|line| is_commit(line));
        commit.map(str::to_owned).ok_or_else(|| {
            FetchError::Invalid(format!("the data logic: {branch} is not a commit: {said}"))
        })
    }

    /// Makes sure that a commit is in the mirror.
    pub(crate) async fn present(&self, commit: &str) -> Result<String, FetchError> {
        let commit = commit.to_ascii_lowercase();
        let object = format!("{commit}^{{commit}}");
        let look = ["cat-file", "-e", object.as_str()];
        if self.git.run(&look).await.is_ok() {
            return Ok(commit);
        }
        // Some servers return a commit by its name; otherwise it is on a branch. Deleted branches are removed first, because a new branch
        // may have a name below an old one.
        if self.fetch(&[&commit]).await.is_err() {
            self.fetch(&["--prune", ALL]).await?;
        }
        match self.git.run(&look).await {
            Ok(_) => Ok(commit),
            Err(_) => Err(FetchError::Invalid(format!(
                "the data logic: the commit {commit} does not exist (any more): was the branch rewritten?"
            ))),
        }
    }

    /// `what` holds options, followed by one name.
    async fn fetch(&self, what: &[&str]) -> Result<(), FetchError> {
        let (names, options): (Vec<&str>, Vec<&str>) =
            what.iter().partition(|one| !one.starts_with("--"));
        let mut args = vec![
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ];
        args.extend(options);
        args.extend(["--", "origin"]);
        args.extend(names);
        self.git.run_remote(&args).await.map(|_| ())
    }

    /// Writes the files of a commit into `files`, and git's index of them to `index`.
    pub(crate) async fn write(
        &self,
        commit: &str,
        index: &Path,
        files: &Path,
    ) -> Result<(), FetchError> {
        let index = format!("--index-output={}", index.display());
        let tree = format!("--work-tree={}", files.display());
        let args = [
            &tree,
            "read-tree",
            "--reset",
            "-u",
            &index,
            "--end-of-options",
            commit,
        ];
        self.git.run(&args).await.map(|_| ())
    }
}

/// The remote in the format of git's configuration.
fn remote(url: &str) -> String {
    let url = url.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[remote \"origin\"]\n\turl = \"{url}\"\n")
}

/// Adds the remote to the configuration. It does not use `git config`, because all users of this machine can read a program's arguments,
/// and the URL may contain a password. The new file is private to this user and appears as a whole.
fn add_remote(config: &Path, remote: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(config)?;
    let folder = config.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.write_all(remote.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(config)?;
    Ok(())
}

/// Removes what a killed git left behind: locks, for which the next one would wait for ever, and half-written objects. The caller must have
/// exclusive access.
pub(crate) fn sweep(mirror: &Path) -> std::io::Result<()> {
    let objects = mirror.join("objects");
    let mut open = vec![mirror.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // A branch may have such a name, an object never does.
            let is_new = name.starts_with("tmp_") || name.starts_with(".tmp-");
            let is_left = name.ends_with(".lock") || is_new && path.starts_with(&objects);
            match (is_left, is_folder) {
                (true, true) => std::fs::remove_dir_all(path)?,
                (true, false) => std::fs::remove_file(path)?,
                (false, true) => open.push(path),
                (false, false) => {}
            }
        }
    }
    Ok(())
}
