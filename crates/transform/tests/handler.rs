//! The handler with a script in place of dbt: how dbt is called, and how its end is answered.

use async_trait::async_trait;
use pudato_handler::{Answer, Failure, Handler, Request, Waits};
use pudato_protocol::Command;
use pudato_transform::{Logic, NoWarehouse, Settings, TransformHandler, Warehouse};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// Prints its version, and writes the artifacts of a run that built one table.
const BUILDS: &str = r#"
for arg; do case $arg in --target-path=*) out=${arg#*=};; esac; done
echo '{"info": {"name": "MainReportVersion"}, "data": {"version": "=1.11.0"}}'
mkdir -p "$out"
echo '{"metadata": {"invocation_id": "i"}, "nodes": {"model.p.a": {"resource_type": "model", "database": "w", "schema": "main", "name": "a"}}}' > "$out/manifest.json"
echo '{"metadata": {"invocation_id": "i"}, "results": [{"unique_id": "model.p.a", "status": "success"}]}' > "$out/run_results.json"
"#;

fn program(path: &Path, script: &str) {
    let folder = path.parent().expect("a parent");
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(path, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("executable");
}

fn project(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
    std::fs::write(folder.join("dbt_project.yml"), "name: p\nprofile: p\n").expect("written");
    let profile = "p: {target: dev, outputs: {dev: {type: duckdb, path: w.duckdb}}}\n";
    std::fs::write(folder.join("profiles.yml"), profile).expect("written");
}

/// A project with a script in place of dbt.
struct Bench {
    folder: TempDir,
    settings: Settings,
}

impl Bench {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (dbt, of_project) = (folder.path().join("dbt"), folder.path().join("project"));
        program(&dbt, script);
        project(&of_project);
        let settings = Settings {
            project: Some(of_project),
            profiles: None,
            target: None,
            program: Some(dbt),
            deadline: Duration::from_secs(60),
            memory_bytes: 1 << 30,
            variables: Vec::new(),
            logic: None,
            folder: folder.path().join("transform"),
            warehouse_file: None,
        };
        Self { folder, settings }
    }

    fn handler(&self, warehouse: Arc<dyn Warehouse>) -> TransformHandler {
        TransformHandler::new(self.settings.clone(), warehouse)
    }

    async fn build(&self, payload: Value) -> Result<Answer, Failure> {
        build(&self.handler(Arc::new(NoWarehouse)), payload).await
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn build(handler: &TransformHandler, payload: Value) -> Result<Answer, Failure> {
    let payload = payload.as_object().cloned().expect("an object");
    let command = Command::new("transform", "build", payload);
    handler.handle(Request::new("build", &command)).await
}

fn errors(answer: Result<Answer, Failure>) -> String {
    match answer {
        Err(Failure::Final { errors, .. }) => errors.join("\n"),
        Err(other) => panic!("{other:?}"),
        Ok(answer) => panic!("{:?}", answer.data),
    }
}

/// Records what it is asked. While it counts, others get their turn if they are allowed to.
#[derive(Default)]
struct Asked(Arc<Mutex<Vec<&'static str>>>);

struct Loan(Arc<Mutex<Vec<&'static str>>>);

fn note(asked: &Mutex<Vec<&'static str>>, what: &'static str) {
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.push(what);
}

impl Drop for Loan {
    fn drop(&mut self) {
        note(&self.0, "back");
    }
}

#[async_trait]
impl Warehouse for Asked {
    async fn lend(
        &self,
        _file: &Path,
        _borrower: &str,
        _waits: &Waits,
    ) -> Result<Option<Box<dyn Send>>, String> {
        note(&self.0, "lent");
        Ok(Some(Box::new(Loan(Arc::clone(&self.0)))))
    }

    async fn rows(&self, _file: &Path, tables: &[[String; 3]]) -> Vec<Option<u64>> {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        note(&self.0, "counted");
        tables.iter().map(|_| Some(7)).collect()
    }
}

#[tokio::test]
async fn rows_are_counted_before_the_next_dbt_has_the_warehouse() {
    let bench = Bench::new(BUILDS);
    let warehouse = Asked::default();
    let asked = Arc::clone(&warehouse.0);
    let handler = bench.handler(Arc::new(warehouse));
    let (one, other) = tokio::join!(build(&handler, json!({})), build(&handler, json!({})));
    for built in [one, other] {
        let built = built.expect("built");
        assert_eq!(built.outputs[0].metadata["row_count"], 7);
    }
    let turn = ["lent", "back", "counted"];
    assert_eq!(
        *asked.lock().unwrap_or_else(PoisonError::into_inner),
        [turn, turn].concat()
    );
}

#[tokio::test]
async fn dbt_is_asked_whether_it_has_the_version_that_the_project_wants() {
    let bench = Bench::new(&format!("printf '%s\\n' \"$@\" > args\n{BUILDS}"));
    bench.build(json!({})).await.expect("built");
    let args = std::fs::read_to_string(bench.path("project/args")).expect("args");
    assert!(args.contains("--log-format=json"), "{args}");
    assert!(!args.contains("version-check"), "{args}");
}

#[tokio::test]
async fn what_is_no_dbt_or_too_old_is_an_error_that_says_what_to_install() {
    let silent = Bench::new("exit 0");
    let said = errors(silent.build(json!({})).await);
    assert!(said.contains("pip install"), "{said}");
    let old = Bench::new("echo 'Error: No such option: --log-level-file' >&2; exit 2");
    let said = errors(old.build(json!({})).await);
    assert!(
        said.contains("No such option") && said.contains("pip install"),
        "{said}"
    );
}

#[tokio::test]
async fn vars_that_are_too_large_for_a_program_are_named() {
    let bench = Bench::new(BUILDS);
    let vars = json!({"vars": {"all": "x".repeat(3_000_000)}});
    let said = errors(bench.build(vars).await);
    assert!(said.contains("payload.vars"), "{said}");
    assert!(!said.contains("pip install"), "{said}");
}

#[tokio::test]
async fn a_program_that_a_repository_has_committed_is_not_run() {
    let mut bench = Bench::new("exit 1");
    let remote = bench.path("remote");
    project(&remote.join("warehouse"));
    let owned = bench.path("owned");
    for place in [".venv/bin/dbt", "warehouse/.venv/bin/dbt"] {
        let script = format!("touch {}\n{BUILDS}", owned.display());
        program(&remote.join(place), &script);
    }
    for args in [
        &["init", "--quiet", "--initial-branch=main"][..],
        &["add", "--all"],
        &["commit", "--quiet", "-m", "malicious"],
    ] {
        let mut git = std::process::Command::new("git");
        git.current_dir(&remote)
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(args);
        assert!(git.status().expect("git").success(), "{args:?}");
    }
    bench.settings.program = None;
    bench.settings.logic = Some(Logic {
        url: format!("file://{}", remote.display()),
        branch: None,
        revision: None,
        subdirectory: Some("warehouse".into()),
        allows_file: true,
    });
    // Whether or not this machine has a dbt, it is not this one.
    let _ = bench.build(json!({})).await;
    assert!(bench.path("transform/logic/checkouts").is_dir(), "fetched");
    assert!(!owned.exists(), "the repository's own dbt ran");
}

#[test]
fn a_lease_is_longer_than_the_longest_run() {
    let bench = Bench::new(BUILDS);
    let handler = bench.handler(Arc::new(NoWarehouse));
    // The longest `PUDATO_TRANSFORM_SECONDS`.
    let longest = Duration::from_secs(43_200);
    for action in handler.actions() {
        assert!(action.lease_max > longest, "{}", action.name);
    }
}

/// A warehouse of DuckDB 1.5.6.
struct Older;

#[async_trait]
impl Warehouse for Older {
    fn version(&self, _file: &Path) -> Option<String> {
        Some("v1.5.6".into())
    }

    async fn lend(
        &self,
        _file: &Path,
        _borrower: &str,
        _waits: &Waits,
    ) -> Result<Option<Box<dyn Send>>, String> {
        Ok(None)
    }

    async fn rows(&self, _file: &Path, tables: &[[String; 3]]) -> Vec<Option<u64>> {
        tables.iter().map(|_| None).collect()
    }
}

/// A separate Python in which pip has put the metadata of packages with these versions, and a program of it in place of dbt, which records
/// that it ran. `None`, with a message, if there is no Python.
fn python_dbt(bench: &mut Bench) -> Option<PathBuf> {
    let venv = bench.path("venv");
    let mut python = std::process::Command::new("python3");
    python.args(["-m", "venv", "--without-pip"]).arg(&venv);
    if !python.status().is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "there is no python3");
        eprintln!("SKIPPED: there is no python3 that makes environments");
        return None;
    }
    let dbt = venv.join("bin/dbt");
    let text = format!(
        "#!{}\nopen({:?}, 'w').close()\n",
        venv.join("bin/python").display(),
        bench.path("ran")
    );
    std::fs::write(&dbt, text).expect("written");
    std::fs::set_permissions(&dbt, PermissionsExt::from_mode(0o755)).expect("executable");
    bench.settings.program = Some(dbt);
    let mut folders = std::fs::read_dir(venv.join("lib")).expect("a folder");
    let own = folders.next().expect("one").expect("one").path();
    Some(own.join("site-packages"))
}

/// As pip does it: the metadata of the previous version is removed.
fn installs(site: &Path, name: &str, version: &str) {
    for entry in std::fs::read_dir(site).expect("a folder").flatten() {
        let file = entry.file_name();
        if file.to_string_lossy().starts_with(&format!("{name}-")) {
            std::fs::remove_dir_all(entry.path()).expect("removed");
        }
    }
    let folder = site.join(format!("{name}-{version}.dist-info"));
    std::fs::create_dir_all(&folder).expect("a folder");
    let text = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    std::fs::write(folder.join("METADATA"), text).expect("written");
}

#[tokio::test]
async fn a_dbt_whose_duckdb_is_newer_does_not_run_on_the_warehouse() {
    let mut bench = Bench::new("exit 1");
    let Some(site) = python_dbt(&mut bench) else {
        return;
    };
    installs(&site, "dbt_core", "1.11.16");
    installs(&site, "dbt_duckdb", "1.11.1");
    installs(&site, "duckdb", "2.0.1");
    let file = bench.path("project/w.duckdb");
    bench.settings.warehouse_file = Some(file);
    let handler = bench.handler(Arc::new(Older));
    let said = errors(build(&handler, json!({})).await);
    for part in [
        "DuckDB 2.0.1",
        "DuckDB 1.5.6",
        "pip install 'duckdb==1.5.*'",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!bench.path("ran").exists(), "it ran");
    // `pudato doctor` finds it before any run. Another warehouse does not matter.
    let findings = bench.settings.examine(Some("v1.5.6")).await;
    assert!(
        findings.len() == 1 && findings[0].contains("DuckDB 2.0.1"),
        "{findings:?}"
    );
    let mut other = bench.settings.clone();
    other.warehouse_file = Some(bench.path("other.duckdb"));
    assert_eq!(other.examine(Some("v1.5.6")).await, Vec::<String>::new());
    // Following the advice helps, even while this program runs.
    installs(&site, "duckdb", "1.5.9");
    assert_eq!(
        bench.settings.examine(Some("v1.5.6")).await,
        Vec::<String>::new()
    );
    let said = errors(build(&handler, json!({})).await);
    assert!(said.contains("did nothing"), "{said}");
    assert!(bench.path("ran").exists(), "it did not run");
}

/// Before dbt runs, Python does not search for modules in the project's own folder.
#[tokio::test]
async fn asking_for_versions_runs_nothing_of_the_project() {
    let mut bench = Bench::new("exit 1");
    let Some(site) = python_dbt(&mut bench) else {
        return;
    };
    installs(&site, "duckdb", "1.5.6");
    let planted = bench.path("planted");
    let module = format!("open({planted:?}, 'w').close()\n");
    for name in ["json.py", "importlib.py"] {
        std::fs::write(bench.path("project").join(name), &module).expect("written");
    }
    let _ = build(&bench.handler(Arc::new(Older)), json!({})).await;
    assert!(bench.path("ran").exists(), "it did not run");
    assert!(!planted.exists(), "it ran what the project has");
}
