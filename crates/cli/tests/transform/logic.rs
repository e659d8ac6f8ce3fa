//! The repository of the data logic: which commit runs, and what of a repository is never run.

use crate::project::{Bench, names, ok, write_project};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository beside the installation, and an installation that uses it.
struct Repo {
    bench: Bench,
    folder: PathBuf,
}

fn git(folder: &Path, args: &[&str]) -> String {
    let mut git = Command::new("git");
    git.current_dir(folder).args([
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "init.defaultBranch=main",
    ]);
    git.args([
        "-c",
        "protocol.file.allow=always",
        "-c",
        "commit.gpgsign=false",
    ]);
    ok(git.args(args)).trim().to_owned()
}

impl Repo {
    fn new(files: &[(&str, &str)]) -> Option<Self> {
        let mut bench = Bench::new(&[])?;
        let folder = bench.installation.folder.path().join("remote");
        write_project(&folder.join("warehouse"), files);
        git(&folder, &["init", "--quiet"]);
        let url = format!("file://{}", folder.display());
        bench.installation.set("PUDATO_LOGIC_REPO_URL", &url);
        bench
            .installation
            .set("PUDATO_LOGIC_REPO_SUBDIR", "warehouse");
        bench
            .installation
            .set("PUDATO_LOGIC_REPO_ALLOW_FILE", "true");
        let repo = Self { bench, folder };
        repo.commit("first");
        Some(repo)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.join("warehouse").join(name), text).expect("written");
    }

    fn commit(&self, message: &str) -> String {
        git(&self.folder, &["add", "--all"]);
        git(
            &self.folder,
            &["commit", "--quiet", "--allow-empty", "-m", message],
        );
        git(&self.folder, &["rev-parse", "HEAD"])
    }

    fn build(&self, job: &str, step: &str) -> Value {
        let built = self.bench.call("build", &["--job", job, "--step", step]);
        assert_eq!(
            built["status"],
            "success",
            "{built}\n{}",
            self.bench.installation.logged()
        );
        built
    }
}

#[test]
fn the_steps_of_a_job_have_one_commit_while_the_branch_moves() {
    let Some(repo) = Repo::new(&[
        (
            "models/a.sql",
            "select '{{ env_var(\"PUDATO_LOGIC_VERSION\") }}' as v",
        ),
        ("seeds/s.csv", "n\n1\n"),
    ]) else {
        return;
    };
    let first = git(&repo.folder, &["rev-parse", "HEAD"]);
    let _up = repo.bench.up();
    let one = repo.build("job-1", "one");
    assert_eq!(one["data"]["logic_version"], first.as_str());
    assert_eq!(
        repo.bench.rows("SELECT v FROM a")[0][0],
        first.as_str(),
        "dbt was told"
    );
    // Seeds are named by where they come from, and not by where they lie.
    let inputs = names(&one, "inputs");
    assert!(
        inputs.iter().any(|name| name.ends_with("s.csv")),
        "{inputs:?}"
    );
    assert!(
        one["inputs"][0]["location"]
            .as_str()
            .is_some_and(|at| at.starts_with("git+file://") && !at.contains("checkouts")),
        "{one}"
    );

    repo.write("models/b.sql", "select 2 as n");
    let second = repo.commit("second");
    assert_eq!(
        repo.build("job-1", "two")["data"]["logic_version"],
        first.as_str()
    );
    let other = repo.build("job-2", "one");
    assert_eq!(other["data"]["logic_version"], second.as_str());
    assert!(names(&other, "outputs").contains(&"warehouse.main.b".to_owned()));

    // The branch is rewritten, and the old commit is gone from it: the job still has its own.
    git(&repo.folder, &["checkout", "--quiet", "--orphan", "again"]);
    repo.write("models/c.sql", "select 3 as n");
    repo.commit("rewritten");
    git(&repo.folder, &["branch", "-M", "main"]);
    let third = git(&repo.folder, &["rev-parse", "HEAD"]);
    assert_eq!(
        repo.build("job-1", "three")["data"]["logic_version"],
        first.as_str()
    );
    assert_eq!(
        repo.build("job-3", "one")["data"]["logic_version"],
        third.as_str()
    );
    let folder = repo.bench.installation.data().join("transform/logic");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(folder).expect("there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o700, "private");
}

#[test]
fn a_pinned_commit_is_used_and_one_that_is_gone_is_named() {
    let Some(mut repo) = Repo::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    let first = git(&repo.folder, &["rev-parse", "HEAD"]);
    repo.write("models/b.sql", "select 2 as n");
    repo.commit("second");
    repo.bench
        .installation
        .set("PUDATO_LOGIC_REPO_REVISION", &first);
    {
        let _up = repo.bench.up();
        assert_eq!(
            repo.build("job-1", "one")["data"]["logic_version"],
            first.as_str()
        );
    }
    let gone = "0123456789abcdef0123456789abcdef01234567";
    repo.bench
        .installation
        .set("PUDATO_LOGIC_REPO_REVISION", gone);
    let _up = repo.bench.up();
    let missing = repo.bench.call("build", &["--job", "job-2"]);
    assert_eq!(missing["status"], "error");
    assert!(
        missing["errors"][0]
            .as_str()
            .is_some_and(|why| why.contains(gone) && why.contains("not there")),
        "{missing}"
    );
}

#[test]
fn nothing_of_a_repository_runs_but_dbt() {
    let Some(repo) = Repo::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    let folder = repo.bench.installation.folder.path();
    let owned = folder.join("owned");
    // A hook, wherever git might look for one; a filter; a submodule that would be fetched; links that lead out.
    let hook = format!("#!/bin/sh\ntouch {}\n", owned.display());
    for name in [
        ".git/hooks/post-checkout",
        "hooks/post-checkout",
        ".githooks/post-checkout",
        ".git/hooks/post-upload-pack",
    ] {
        let path = repo.folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, &hook).expect("written");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("executable");
    }
    std::fs::write(repo.folder.join(".gitattributes"), "*.sql filter=evil\n").expect("written");
    std::fs::write(
        repo.folder.join(".gitmodules"),
        format!(
            "[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c 'touch {}'\n",
            owned.display()
        ),
    )
    .expect("written");
    git(
        &repo.folder,
        &[
            "update-index",
            "--add",
            "--cacheinfo",
            &format!("160000,{},x", git(&repo.folder, &["rev-parse", "HEAD"])),
        ],
    );
    std::fs::write(folder.join("secret"), "planted-0123456789").expect("written");
    std::os::unix::fs::symlink(
        folder.join("secret"),
        repo.folder.join("warehouse/models/leak.md"),
    )
    .expect("a link");
    std::os::unix::fs::symlink(folder, repo.folder.join("warehouse/macros")).expect("a link");
    repo.commit("malicious");
    let _up = repo.bench.up();
    let built = repo.bench.call("build", &["--job", "job-1"]);
    assert!(!owned.exists(), "something of the repository ran");
    let checkouts = repo
        .bench
        .installation
        .data()
        .join("transform/logic/checkouts");
    let mut open = vec![checkouts];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let kind = entry.file_type().expect("a kind");
            assert!(!kind.is_symlink(), "{:?}: a link", entry.path());
            if kind.is_dir() {
                open.push(entry.path());
            }
        }
    }
    assert!(!built.to_string().contains("planted-0123456789"));
    assert_eq!(built["status"], "success", "{built}");
}

#[test]
fn another_repository_in_its_place_starts_anew_and_credentials_are_in_no_log() {
    let Some(mut repo) = Repo::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    {
        let _up = repo.bench.up();
        repo.build("job-1", "one");
    }
    // Nobody listens there: it is tried again, and the log says why without the password.
    repo.bench.installation.set(
        "PUDATO_LOGIC_REPO_URL",
        "https://me:planted-0123456789@127.0.0.1:1/r.git",
    );
    let _up = repo.bench.up();
    let sent = ["publish", "transform", "build"];
    repo.bench.installation.ok(&sent);
    crate::support::wait("a word about it", || {
        repo.bench.installation.logged().contains("git fetch")
    });
    let logged = repo.bench.installation.logged();
    assert!(logged.contains("127.0.0.1"), "{logged}");
    assert!(!logged.contains("planted-0123456789"), "{logged}");
    let kept = repo.bench.installation.data().join("registry.db");
    assert!(
        !String::from_utf8_lossy(&std::fs::read(kept).expect("read"))
            .contains("planted-0123456789")
    );
    // A setting that is wrong is refused before anything starts.
    repo.bench
        .installation
        .set("PUDATO_LOGIC_REPO_URL", "ext::sh -c id");
    let (code, said) = repo
        .bench
        .installation
        .fails(&["runner", "--handler", "transform"]);
    assert_eq!(code, 3);
    assert!(
        said.contains("PUDATO_LOGIC_REPO_URL: expected https://"),
        "{said}"
    );
}
