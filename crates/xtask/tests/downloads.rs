//! Nothing that is downloaded is used unless it is what this repository pins.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const LIBRARY: &str = if cfg!(target_os = "macos") {
    "libduckdb.dylib"
} else {
    "libduckdb.so"
};

/// A home without anything in it, and a folder for the library.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().expect("a folder"));
        for name in ["library", "bin"] {
            fs::create_dir(home.path(name)).expect("a folder");
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a program in the place of one that is called `name`.
    fn program(&self, name: &str, script: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).expect("written");
        let everybody = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&file, everybody).expect("a program");
    }

    /// `cargo xtask duckdb`; whether it succeeded, and what it said.
    fn duckdb(&self, more: &[(&str, &str)]) -> (bool, String) {
        let path = std::env::var("PATH").expect("a PATH");
        let output = Command::new(env!("CARGO_BIN_EXE_pudato-xtask"))
            .arg("duckdb")
            .env_remove("PUDATO_DUCKDB_UNPINNED")
            .env("DUCKDB_LIB_DIR", self.path("library"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .envs(more.iter().copied())
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.success(), said)
    }
}

/// Whether a library is pinned for this machine.
fn is_pinned() -> bool {
    let source = include_str!("../src/duckdb.rs");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    source.contains(&format!("os: \"{os}\",\n        arch: \"{arch}\""))
}

/// The SHA-256 of the text `another` (`printf another | sha256sum`).
const FOUND: &str = "ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5";

fn must_say(said: &str, file: &Path, advice: &str) {
    let file = file.display().to_string();
    for part in [&file, "expected the file with SHA-256", FOUND, advice] {
        assert!(said.contains(part), "{part:?} is missing in: {said}");
    }
}

#[test]
fn a_library_that_is_another_is_not_linked_unless_somebody_says_so() {
    if !is_pinned() {
        return;
    }
    let home = Home::new();
    let library = home.path("library").join(LIBRARY);
    fs::write(&library, "another").expect("written");
    let (is_taken, said) = home.duckdb(&[]);
    assert!(!is_taken, "{said}");
    must_say(&said, &library, "set PUDATO_DUCKDB_UNPINNED=1");
    let (is_taken, said) = home.duckdb(&[("PUDATO_DUCKDB_UNPINNED", "1")]);
    assert!(is_taken, "one's own choice: {said}");
}

#[test]
fn a_library_that_was_changed_in_the_cache_is_not_taken_from_there() {
    if !is_pinned() {
        return;
    }
    let home = Home::new();
    let source = include_str!("../src/duckdb.rs");
    let version = source.split("VERSION: &str = \"").nth(1);
    let version = version.and_then(|rest| rest.split('"').next());
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let name = format!("cache/pudato/duckdb-{}-{os}-{arch}", version.expect("one"));
    fs::create_dir_all(home.path(&name)).expect("a folder");
    let cached = home.path(&name).join(LIBRARY);
    fs::write(&cached, "another").expect("written");
    let (is_taken, said) = home.duckdb(&[]);
    assert!(!is_taken, "{said}");
    must_say(&said, &cached, "delete it, and it is fetched anew");
    assert!(!home.path("library").join(LIBRARY).exists(), "it is copied");
}

#[test]
fn a_download_that_is_another_ends_the_command_and_no_other_source_is_asked() {
    if !is_pinned() {
        return;
    }
    let home = Home::new();
    // A registry that answers with an archive of its own: only the client can be put in its place here.
    home.program(
        "npm",
        &format!(
            "mkdir package && echo another > package/{LIBRARY} && tar -czf other.tgz package && echo other.tgz"
        ),
    );
    home.program("curl", &format!("touch {:?}", home.path("asked")));
    let (is_taken, said) = home.duckdb(&[]);
    assert!(!is_taken, "{said}");
    assert!(
        said.contains("other.tgz: expected the file with SHA-256"),
        "{said}"
    );
    assert!(said.contains("do not use the file"), "{said}");
    assert!(!home.path("asked").exists(), "another source was asked");
    assert!(!home.path("library").join(LIBRARY).exists(), "it is there");
    assert!(!said.contains("compiled"), "{said}");
}

/// The versions that a lock names; each must have a hash.
fn locked(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let text = fs::read_to_string(file.join(name)).expect("a lock");
    let joined = text.replace("\\\n", " ");
    let mut locked = BTreeMap::<_, BTreeSet<String>>::new();
    for line in joined.lines() {
        if line.is_empty() || line.starts_with(['#', '-']) {
            continue;
        }
        let (package, rest) = line.split_once("==").expect("an exact version");
        assert!(rest.contains("--hash=sha256:"), "{name}: {line}: no hash");
        let version = rest.split([' ', ';']).next().unwrap_or_default();
        let versions = locked.entry(package.to_lowercase()).or_default();
        versions.insert(version.to_owned());
    }
    locked
}

#[test]
fn every_python_package_is_locked_with_its_hashes() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures");
    let mut lists = 0;
    for entry in fs::read_dir(fixtures).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        let name = name.to_string_lossy();
        if !name.starts_with("requirements") || !name.ends_with(".txt") {
            continue;
        }
        lists += 1;
        let locked = locked(&name.replace(".txt", ".lock"));
        let wanted = fs::read_to_string(format!("{fixtures}/{name}")).expect("a list");
        for line in wanted.lines().filter(|line| !line.starts_with(['#', '-'])) {
            let (package, _) = line.split_at(line.find(['=', '<', '>']).unwrap_or(line.len()));
            let versions = locked.get(&package.to_lowercase().replace('_', "-"));
            let versions = versions
                .unwrap_or_else(|| panic!("{name}: {line} is in no lock: cargo xtask lock"));
            if let Some((_, version)) = line.split_once("==") {
                assert!(
                    versions.contains(version),
                    "{name}: {line}, and its lock has {versions:?}: cargo xtask lock"
                );
            }
        }
    }
    assert!(lists >= 5, "{lists} lists");
}

#[test]
fn what_shares_an_environment_is_locked_to_the_same_versions() {
    let dbt = locked("requirements-dbt.lock");
    for (package, versions) in locked("requirements.lock") {
        if let Some(other) = dbt.get(&package) {
            assert_eq!(&versions, other, "{package}");
        }
    }
}

#[test]
fn providers_of_terraform_are_locked_for_every_platform() {
    let terraform = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../terraform");
    for folder in [
        "environments/aws",
        "environments/local",
        "examples/transform-worker",
    ] {
        let file = terraform.join(folder).join(".terraform.lock.hcl");
        let lock = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{folder}: {error}"));
        // The hashes of the archives that HashiCorp released; one hash of an unpacked one serves one platform alone.
        let archives = lock.matches("\"zh:").count();
        assert!(archives >= 10, "{folder}: {archives} archives");
    }
}
