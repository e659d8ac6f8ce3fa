//! A bare copy of the remote, private to this installation.

use crate::repository::git::{Git, Missing};
use crate::repository::logic::is_commit;
use std::io::Write;
use std::path::Path;

/// What the branch said last. The name is the same whatever the branch is called, so that no name of today stands in the way of one
/// of tomorrow (`rel` and `rel/1` cannot be beside each other).
const BRANCH: &str = "refs/pudato/branch";

/// Every branch, where a commit is looked for.
const ALL: &str = "+refs/heads/*:refs/pudato/all/*";

/// Has the last word on attributes (gitattributes(5)): files are written as they were committed, whatever a `.gitattributes` of theirs
/// and the user's settings say of filters, ends of lines and encodings.
const ATTRIBUTES: &str = "* -filter -text -crlf -ident !eol !working-tree-encoding\n";

/// The mirror of the remote that the settings name.
pub(crate) struct Mirror<'a> {
    git: Git<'a>,
}

impl<'a> Mirror<'a> {
    /// Makes the mirror, or sees to it that it is whole and of this remote.
    pub(crate) async fn open(git: Git<'a>) -> Result<Self, Missing> {
        let mirror = git.mirror;
        let (config, remote) = (mirror.join("config"), remote(&git.logic.url));
        // The remote is written last: what does not end with it was cut off, or is of another repository, and nothing of that one
        // may be taken for this one's.
        let is_ours = std::fs::read_to_string(&config).is_ok_and(|text| text.ends_with(&remote));
        if is_ours {
            return Ok(Self { git });
        }
        let failed =
            |error: std::io::Error| Missing::Unreachable(format!("{}: {error}", mirror.display()));
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

    /// The commit that the branch has now.
    pub(crate) async fn latest(&self) -> Result<String, Missing> {
        let branch = self.git.logic.branch();
        self.fetch(&[&format!("+refs/heads/{branch}:{BRANCH}")])
            .await?;
        let name = format!("{BRANCH}^{{commit}}");
        let look = ["rev-parse", "--verify", "--end-of-options", &name];
        let said = self.git.run(&look).await?;
        // Warnings stand beside what was asked for.
        let commit = said.lines().map(str::trim).find(|line| is_commit(line));
        commit.map(str::to_owned).ok_or_else(|| {
            Missing::Wrong(format!("the data logic: {branch} is not a commit: {said}"))
        })
    }

    /// Sees to it that a commit is there.
    pub(crate) async fn present(&self, commit: &str) -> Result<String, Missing> {
        let commit = commit.to_ascii_lowercase();
        let object = format!("{commit}^{{commit}}");
        let look = ["cat-file", "-e", object.as_str()];
        if self.git.run(&look).await.is_ok() {
            return Ok(commit);
        }
        // A server may give a commit by its name, and else it is on a branch. Branches that are gone go first: one of today may have
        // a name that theirs is a folder of.
        if self.fetch(&[&commit]).await.is_err() {
            self.fetch(&["--prune", ALL]).await?;
        }
        match self.git.run(&look).await {
            Ok(_) => Ok(commit),
            Err(_) => Err(Missing::Wrong(format!(
                "the data logic: the commit {commit} does not exist (any more): was the branch rewritten?"
            ))),
        }
    }

    /// `what` are options and then one name.
    async fn fetch(&self, what: &[&str]) -> Result<(), Missing> {
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

    /// Writes the files of a commit into `files`, and the index that git makes for it at `index`.
    pub(crate) async fn write(
        &self,
        commit: &str,
        index: &Path,
        files: &Path,
    ) -> Result<(), Missing> {
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

/// The remote as git's settings have it.
fn remote(url: &str) -> String {
    let url = url.replace('\\', "\\\\").replace('"', "\\\"");
    format!("[remote \"origin\"]\n\turl = \"{url}\"\n")
}

/// Adds the remote to the mirror's settings: not with `git config`, whose arguments every user of this machine may read, and the URL may
/// have a password. The new file is this user's alone, and is there as a whole or not at all.
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

/// Removes what a git left that was killed: locks, for which the next one would wait for ever, and objects that it was just writing.
/// Only for who is alone with the mirror.
pub(crate) fn sweep(mirror: &Path) -> std::io::Result<()> {
    let objects = mirror.join("objects");
    let mut open = vec![mirror.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let name = name.to_string_lossy();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            // A branch may be called so; an object may not.
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
