//! The repository of the data logic: which commit runs, and which parts of a repository never run.

use crate::project::{Bench, dbt, names, ok, write_project};
use crate::support::check_openlineage;
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
    // Seeds are named by their origin, and not by the place of the checkout.
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

    // The OpenLineage events have the commit, the repository and the folder in it.
    let file = repo.bench.installation.folder.path().join("told.jsonl");
    let output = file.display().to_string();
    ok(&mut repo
        .bench
        .installation
        .command(&["lineage", "export", "--output", &output]));
    let told = std::fs::read_to_string(&file).expect("events");
    let told: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect();
    let source = |event: &Value| event["job"]["facets"].get("sourceCodeLocation").cloned();
    let sources: Vec<Value> = told.iter().filter_map(source).collect();
    // Only the final Result has them: a progress report does not know them yet.
    assert_eq!(sources.len(), 1, "{told:#?}");
    for source in &sources {
        let remote = format!("file://{}", repo.folder.display());
        assert_eq!(source["version"], first.as_str());
        assert_eq!(
            (&source["repoUrl"], &source["type"]),
            (&Value::from(remote), &Value::from("git"))
        );
        assert_eq!(source["path"], "warehouse");
    }
    check_openlineage(&file);

    // The files that a killed git leaves behind block nothing.
    let mirror = (repo.bench.installation.data()).join("transform/logic/mirror.git");
    for name in ["index.lock", "refs/pudato/branch.lock", "config.lock"] {
        std::fs::write(mirror.join(name), "").expect("written");
    }
    repo.write("models/b.sql", "select 2 as n");
    let second = repo.commit("second");
    assert_eq!(
        repo.build("job-1", "two")["data"]["logic_version"],
        first.as_str()
    );
    let other = repo.build("job-2", "one");
    assert_eq!(other["data"]["logic_version"], second.as_str());
    assert!(names(&other, "outputs").contains(&"warehouse.main.b".to_owned()));

    // The branch is rewritten, and the old commit is no longer on it: the job still uses its own.
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
fn a_pinned_commit_is_used_and_a_missing_one_is_named() {
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
            .is_some_and(|why| why.contains(gone) && why.contains("does not exist")),
        "{missing}"
    );
}

#[test]
fn nothing_of_a_repository_runs_but_dbt() {
    let Some(mut repo) = Repo::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    let folder = repo.bench.installation.folder.path().to_owned();
    let owned = folder.join("owned");
    // A hook, in every place where git might look for one; a filter; a submodule that would be fetched; links that point outside.
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
    std::os::unix::fs::symlink(&folder, repo.folder.join("warehouse/macros")).expect("a link");
    // The filter is the user's own; the repository may not use it.
    let filter = format!(
        "[filter \"evil\"]\n\tsmudge = \"touch {0}; cat\"\n\tprocess = \"touch {0}; false\"\n[core]\n\tautocrlf = true\n",
        owned.display()
    );
    std::fs::write(folder.join(".gitconfig"), filter).expect("written");
    repo.bench
        .installation
        .set("HOME", &folder.display().to_string());
    // A dbt of the repository's own, where pudato looks for one beside a project; there is another on the path.
    for place in [".venv/bin/dbt", "warehouse/.venv/bin/dbt"] {
        let path = repo.folder.join(place);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, &hook).expect("written");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("executable");
        git(&repo.folder, &["add", "--force", place]);
    }
    let known = std::env::var_os("PATH").unwrap_or_default();
    let real = dbt().parent().expect("a folder").to_owned();
    let path = std::env::join_paths([real].into_iter().chain(std::env::split_paths(&known)));
    let path = path.expect("a path").into_string().expect("text");
    repo.bench.installation.set("PATH", &path);
    repo.bench.installation.set("PUDATO_DBT", "");
    let commit = repo.commit("malicious");
    let _up = repo.bench.up();
    let built = repo.bench.call("build", &["--job", "job-1"]);
    assert!(!owned.exists(), "something of the repository ran");
    let checkouts = repo
        .bench
        .installation
        .data()
        .join("transform/logic/checkouts");
    let written = checkouts.join(commit).join("warehouse/models/a.sql");
    let written = std::fs::read_to_string(written).expect("written");
    assert_eq!(written, "select 1 as n", "as it was committed");
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
fn another_repository_in_its_place_starts_afresh_and_credentials_appear_in_no_log() {
    let Some(mut repo) = Repo::new(&[("models/a.sql", "select 1 as n")]) else {
        return;
    };
    {
        let _up = repo.bench.up();
        repo.build("job-1", "one");
    }
    // Nothing listens there. The command is retried, and the log gives the reason without the password.
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
    assert!(
        logged.contains("127.0.0.1:1/r.git#warehouse cannot be reached")
            && logged.contains("check PUDATO_LOGIC_REPO_URL"),
        "{logged}"
    );
    assert!(!logged.contains("planted-0123456789"), "{logged}");
    // Its sender is notified in the end. The test shortens the minutes between the six attempts in the tables of the fabric.
    crate::support::wait("the end of its attempts", || {
        let pudato = &repo.bench.installation;
        // A message that is hidden for longer than a lease is not in flight.
        let hurry = "UPDATE delivery SET receive_count = 5, visible_at_ms = 0
                     WHERE receive_count < 6 AND visible_at_ms > unixepoch('subsec') * 1000 + 2500";
        let hurried = pudato.open("fabric.db").execute(hurry, []);
        hurried.expect("the fabric's tables");
        pudato.count("registry.db", "SELECT COUNT(*) FROM result WHERE body LIKE '%gave up after 6 attempts%cannot be reached%'") == 1
    });
    let kept = repo.bench.installation.data().join("registry.db");
    assert!(
        !String::from_utf8_lossy(&std::fs::read(kept).expect("read"))
            .contains("planted-0123456789")
    );
    // A wrong setting is refused before anything starts.
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

#[test]
fn the_packages_of_a_commit_are_fetched_once_and_a_missing_one_is_named() {
    let Some(repo) = Repo::new(&[
        ("models/a.sql", "select {{ helpers.answer() }} as n"),
        ("packages.yml", "packages:\n  - local: ../helpers\n"),
    ]) else {
        return;
    };
    let helpers = repo.folder.join("helpers");
    std::fs::create_dir_all(helpers.join("macros")).expect("a folder");
    let project = "name: helpers\nversion: '1.0'\n";
    std::fs::write(helpers.join("dbt_project.yml"), project).expect("written");
    let answer = "{% macro answer() %}42{% endmacro %}";
    std::fs::write(helpers.join("macros/answer.sql"), answer).expect("written");
    let commit = repo.commit("a package");
    let _up = repo.bench.up();
    repo.build("job-1", "one");
    assert_eq!(repo.bench.rows("SELECT n FROM a")[0][0], 42);
    let checkout = (repo.bench.installation.data())
        .join("transform/logic/checkouts")
        .join(commit)
        .join("warehouse");
    let fetched = || {
        let lock = checkout.join("package-lock.yml").metadata();
        lock.and_then(|lock| lock.modified()).expect("fetched")
    };
    let first = fetched();
    repo.build("job-1", "two");
    assert_eq!(fetched(), first, "fetched once");

    // Packages that the repository has itself are not fetched again.
    repo.write("packages.yml", "packages:\n  - local: ../nowhere\n");
    let committed = repo.folder.join("warehouse/dbt_packages");
    std::fs::rename(&helpers, repo.folder.join("moved")).expect("moved");
    std::fs::create_dir_all(&committed).expect("a folder");
    std::fs::rename(repo.folder.join("moved"), committed.join("helpers")).expect("moved");
    repo.commit("the package itself");
    repo.build("job-2", "one");

    std::fs::remove_dir_all(&committed).expect("removed");
    repo.commit("no package");
    let refused = repo
        .bench
        .call("build", &["--job", "job-3", "--step", "one"]);
    assert_eq!(refused["status"], "error", "{refused}");
    let said = refused["errors"][0].as_str().expect("a text");
    assert!(
        said.contains("dbt deps") && said.contains("nowhere"),
        "{said}"
    );
    repo.bench.check_clean();
}
