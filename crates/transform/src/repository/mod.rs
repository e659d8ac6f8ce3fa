//! The repository of the data logic: one commit of it for all steps of a job.

pub(crate) mod checkouts;
pub(crate) mod git;
pub(crate) mod logic;
pub(crate) mod mirror;
pub(crate) mod pins;

use crate::process::private;
use crate::repository::checkouts::Checkouts;
use crate::repository::git::{FetchError, Git};
use crate::repository::logic::Logic;
use crate::repository::mirror::Mirror;
use crate::repository::pins::Pins;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Mutex;

/// How often old pins are removed. There is one pin for each job.
const PINS_LOOKED_AT: Duration = Duration::from_secs(3_600);

/// A checkout, whose files never change.
#[derive(Debug)]
pub(crate) struct Checkout {
    /// The commit.
    pub(crate) commit: String,
    /// The folder of the project.
    pub(crate) project: PathBuf,
    /// The name of the repository in lineage.
    pub(crate) name: String,
    /// The checkout is not removed as long as this lock is held.
    _in_use: File,
}

/// A mirror of the repository in a folder of this installation, with its checkouts.
pub(crate) struct Repository {
    logic: Logic,
    folder: PathBuf,
    /// Environment variables that git may see in addition to the usual ones.
    also: Vec<String>,
    /// Allows one git at a time to write to the mirror, and holds the time of the last pruning of pins.
    fetching: Mutex<Option<Instant>>,
}

impl Repository {
    pub(crate) fn new(logic: Logic, folder: &Path, also: Vec<String>) -> Self {
        Self {
            logic,
            // git runs in a different folder, so the path must be absolute.
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            also,
            fetching: Mutex::default(),
        }
    }

    /// Returns the checkout for a job: the commit that it had before, or the current one of the branch.
    pub(crate) async fn checkout(&self, job: Option<&str>) -> Result<Checkout, FetchError> {
        self.logic.check().map_err(FetchError::Invalid)?;
        let mut pruned = self.fetching.lock().await;
        let failed = |error: std::io::Error| {
            FetchError::Unreachable(format!("{}: {error}", self.folder.display()))
        };
        private::make_folder(&self.folder).map_err(failed)?;
        let bare = self.folder.join("mirror.git");
        let _only = only(&self.folder, &bare).await.map_err(failed)?;
        let mirror = Mirror::open(Git {
            logic: &self.logic,
            mirror: &bare,
            also: &self.also,
        });
        let mirror = mirror.await?;
        let pins = Pins {
            folder: self.folder.join("jobs"),
        };
        let known = job.and_then(|job| pins.read(job, SystemTime::now()));
        let commit = match (&known, &self.logic.revision) {
            (Some(commit), _) => mirror.present(commit).await?,
            (None, Some(revision)) => mirror.present(revision).await?,
            (None, None) => mirror.latest().await?,
        };
        if let (Some(job), None) = (job, known) {
            pins.write(job, &commit).map_err(failed)?;
            if pruned.is_none_or(|last| last.elapsed() > PINS_LOOKED_AT) {
                *pruned = Some(Instant::now());
                let old = move || Pins::prune(&pins.folder, SystemTime::now());
                let _ = tokio::task::spawn_blocking(old).await;
            }
        }
        let checkouts = Checkouts::open(self.folder.join("checkouts")).map_err(failed)?;
        let (folder, in_use) = checkouts.take(&mirror, &commit).await?;
        let project = match &self.logic.subdirectory {
            Some(below) => folder.join(below),
            None => folder,
        };
        if !project.join("dbt_project.yml").is_file() {
            let below = self.logic.subdirectory.as_deref().unwrap_or(".");
            return Err(FetchError::Invalid(format!(
                "the data logic: {commit} has no dbt_project.yml in {below} (PUDATO_LOGIC_REPO_SUBDIR)"
            )));
        }
        Ok(Checkout {
            commit,
            project,
            name: self.logic.name(),
            _in_use: in_use,
        })
    }
}

/// Waits until no other process works on the repository, and removes what a killed process left behind.
async fn only(folder: &Path, mirror: &Path) -> std::io::Result<File> {
    let (path, mirror) = (folder.join("lock"), mirror.to_owned());
    let locked = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).append(true).open(path)?;
        file.lock()?;
        mirror::sweep(&mirror)?;
        Ok(file)
    });
    locked.await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A remote on this machine, and a repository of it.
    struct Bench {
        folder: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let bench = Self { folder };
            std::fs::create_dir(bench.remote()).expect("a folder");
            bench.git(&["init", "--quiet", "--initial-branch=main"]);
            bench.commit(&[("dbt_project.yml", "name: shop\n")]);
            bench
        }

        fn remote(&self) -> PathBuf {
            self.folder.path().join("remote")
        }

        fn logic(&self) -> PathBuf {
            self.folder.path().join("logic")
        }

        fn git(&self, args: &[&str]) -> String {
            let mut git = std::process::Command::new("git");
            git.current_dir(self.remote())
                .env("GIT_CONFIG_GLOBAL", "/dev/null");
            git.args(["-c", "user.name=a", "-c", "user.email=a@b"])
                .args(args);
            let output = git.output().expect("git");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{args:?}: {error}");
            let text = String::from_utf8(output.stdout).expect("text");
            text.trim().to_owned()
        }

        fn commit(&self, files: &[(&str, &str)]) -> String {
            for (name, text) in files {
                std::fs::write(self.remote().join(name), text).expect("written");
            }
            self.git(&["add", "--all"]);
            self.git(&["commit", "--quiet", "--allow-empty", "-m", "more"]);
            self.git(&["rev-parse", "HEAD"])
        }

        fn repository(&self, branch: &str) -> Repository {
            let logic = Logic {
                url: format!("file://{}", self.remote().display()),
                branch: Some(branch.into()),
                revision: None,
                subdirectory: None,
                allows_file: true,
            };
            Repository::new(logic, &self.logic(), Vec::new())
        }

        async fn checkout(&self, branch: &str) -> Checkout {
            let checkout = self.repository(branch).checkout(None).await;
            checkout.expect("a checkout")
        }
    }

    #[tokio::test]
    async fn a_mirror_that_was_cut_off_or_is_of_another_remote_is_made_again() {
        let bench = Bench::new();
        let commit = bench.git(&["rev-parse", "HEAD"]);
        // A repository encloses all of this; git must not use it instead of the mirror.
        std::fs::rename(
            bench.remote().join(".git"),
            bench.folder.path().join(".git"),
        )
        .expect("moved");
        let around = bench.folder.path().join(".git/config");
        let text = std::fs::read_to_string(&around).expect("read");
        let bench_url = format!("file://{}", bench.folder.path().display());
        let logic = Logic {
            url: bench_url,
            ..bench.repository("main").logic
        };
        let repository = Repository::new(logic, &bench.logic(), Vec::new());
        let mirror = bench.logic().join("mirror.git");
        // An init that was killed after each of its steps.
        for left in [&[][..], &["HEAD"], &["HEAD", "config"]] {
            let _ = std::fs::remove_dir_all(&mirror);
            std::fs::create_dir_all(mirror.join("refs")).expect("a folder");
            for name in left {
                std::fs::write(mirror.join(name), "").expect("written");
            }
            let checkout = repository.checkout(None).await.expect("made again");
            assert_eq!(checkout.commit, commit);
        }
        assert_eq!(std::fs::read_to_string(&around).expect("read"), text);
        // The URL may contain a password, so only the owner can read it.
        let config = mirror.join("config").metadata().expect("there");
        assert_eq!(config.permissions().mode() & 0o777, 0o600);
        // With another remote, the old contents must not be reused.
        std::fs::write(mirror.join("of-the-old-one"), "").expect("written");
        let other = Bench::new();
        let logic = other.repository("main").logic;
        let repository = Repository::new(logic, &bench.logic(), Vec::new());
        repository.checkout(None).await.expect("made again");
        assert!(!mirror.join("of-the-old-one").exists());
        // With the same remote, the mirror is not recreated.
        std::fs::write(mirror.join("of-this-one"), "").expect("written");
        repository.checkout(None).await.expect("kept");
        assert!(mirror.join("of-this-one").exists());
    }

    #[tokio::test]
    async fn files_are_written_as_they_were_committed_whatever_settings_say() {
        let bench = Bench::new();
        drop(bench.checkout("main").await);
        // Settings that a user may have.
        let owned = bench.folder.path().join("owned");
        let config = bench.logic().join("mirror.git/config");
        let text = std::fs::read_to_string(&config).expect("read");
        let filter = format!(
            "[filter \"evil\"]\n\tsmudge = \"touch {}; cat\"\n\trequired = true\n[core]\n\tautocrlf = true\n\teol = crlf\n",
            owned.display()
        );
        std::fs::write(&config, filter + &text).expect("written");
        let attributes = "* text=auto eol=crlf filter=evil ident\n*.md crlf\n*.csv working-tree-encoding=UTF-16\n";
        let committed = "-- $Id$\nselect 1\n";
        bench.git(&["config", "filter.evil.clean", "cat"]);
        // Attributes last, so that earlier files are added unchanged.
        bench.commit(&[
            ("a.sql", committed),
            ("a.md", committed),
            ("a.csv", committed),
        ]);
        std::fs::write(bench.remote().join(".gitattributes"), attributes).expect("written");
        bench.git(&["add", ".gitattributes"]);
        bench.git(&["commit", "--quiet", "-m", "attributes"]);
        let checkout = bench.checkout("main").await;
        for name in ["a.sql", "a.md", "a.csv"] {
            let written = std::fs::read_to_string(checkout.project.join(name));
            assert_eq!(written.expect("text"), committed, "{name}");
        }
        assert!(!owned.exists(), "a filter ran");
    }

    #[tokio::test]
    async fn the_ssh_that_the_user_has_set_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        // Nothing listens on this port.
        let logic = Logic {
            url: "ssh://a@127.0.0.1:1/r.git".into(),
            branch: None,
            revision: None,
            subdirectory: None,
            allows_file: false,
        };
        let repository = Repository::new(logic, folder.path(), Vec::new());
        repository.checkout(None).await.expect_err("nobody");
        let (config, used) = (
            folder.path().join("mirror.git/config"),
            folder.path().join("used"),
        );
        let text = std::fs::read_to_string(&config).expect("read");
        let own = format!(
            "[core]\n\tsshCommand = \"touch {}; false\"\n",
            used.display()
        );
        std::fs::write(&config, own + &text).expect("written");
        repository.checkout(None).await.expect_err("nobody");
        assert!(used.exists(), "another ssh was used");
    }

    #[tokio::test]
    async fn a_branch_that_became_a_folder_of_branches_is_fetched_all_the_same() {
        let bench = Bench::new();
        bench.git(&["branch", "rel"]);
        drop(bench.checkout("rel").await);
        let gone = "0123456789abcdef0123456789abcdef01234567";
        let mut repository = bench.repository("rel");
        repository.logic.revision = Some(gone.into());
        let missing = |found| match found {
            Err(FetchError::Invalid(why)) => why,
            other => panic!("{other:?}"),
        };
        let why = missing(repository.checkout(None).await);
        assert!(why.contains("does not exist"), "{why}");
        bench.git(&["branch", "-m", "rel", "rel/1"]);
        let commit = bench.commit(&[]);
        bench.git(&["branch", "-f", "rel/1", &commit]);
        assert_eq!(bench.checkout("rel/1").await.commit, commit);
        let why = missing(repository.checkout(None).await);
        assert!(why.contains("does not exist"), "{why}");
    }

    #[tokio::test]
    async fn what_killed_ones_left_goes_and_old_checkouts_with_it() {
        let bench = Bench::new();
        let first = bench.checkout("main").await;
        let logic = bench.logic();
        let (objects, checkouts) = (logic.join("mirror.git/objects"), logic.join("checkouts"));
        let left = [
            objects.join("pack/tmp_pack_x"),
            objects.join("pack/.tmp-1-pack-x.pack"),
            objects.join("tmp_objdir-incoming-x/a"),
            objects.join("ab/tmp_obj_x"),
            objects.join("info/commit-graph.lock"),
            logic.join("mirror.git/refs/pudato/branch.lock"),
            checkouts.join(".new-x/files"),
        ];
        for path in &left {
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, "").expect("written");
        }
        let kept = || {
            let all = std::fs::read_dir(&checkouts).expect("there").flatten();
            all.filter(|entry| entry.path().is_dir()).count()
        };
        // Only some of many commits are kept, plus the one in use. While another test starts a program, that program briefly holds a copy
        // of every lock, and prune skips what is locked.
        for n in 0..100 {
            bench.commit(&[]);
            drop(bench.checkout("main").await);
            if n >= 21 && kept() <= 21 {
                break;
            }
        }
        assert!(left.iter().all(|path| !path.exists()), "{left:?}");
        assert!(first.project.join("dbt_project.yml").is_file(), "in use");
        assert_eq!(kept(), 21, "20 and the one in use");
        drop(first);
        for _ in 0..100 {
            bench.commit(&[]);
            drop(bench.checkout("main").await);
            if kept() <= 20 {
                break;
            }
        }
        assert_eq!(kept(), 20);
        // A removed checkout is created again.
        let oldest = bench.git(&["rev-list", "--max-parents=0", "HEAD"]);
        let mut repository = bench.repository("main");
        repository.logic.revision = Some(oldest.clone());
        let again = repository.checkout(None).await.expect("made again");
        assert_eq!(again.commit, oldest);
    }
}
