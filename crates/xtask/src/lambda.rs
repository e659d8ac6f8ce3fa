//! Builds what AWS Lambda runs: `core.zip` (storage, registry, results consumer) and `query.zip`, which has libduckdb beside it.
//!
//! Lambda's `provided.al2023` has glibc 2.34, so the program is linked against that by zig, whatever this machine has.

use crate::duckdb::{self, Platform};
use crate::python;
use crate::tools::{as_by_hand, output, path_with, run, target};
use std::fs;
use std::path::Path;
use std::process::Command;

/// The newest glibc that the program may need (AL2023's).
const GLIBC: &str = "2.34";
const PROGRAM: &str = "pudato-lambda";

/// How the packages are built.
struct Kind {
    profile: &'static str,
    /// Below the target folder.
    folder: &'static str,
    /// How hard zip tries, from 1 to 9.
    compression: &'static str,
}

/// What is deployed: small, which takes minutes.
const RELEASED: Kind = Kind {
    profile: "lambda",
    folder: "packages",
    compression: "9",
};

/// What the tests deploy on an emulator: the same program and the same glibc, built in the time of a development build.
const TESTED: Kind = Kind {
    profile: "lambda-test",
    folder: "test-packages",
    compression: "1",
};

/// Each with what it is built with beside the program itself.
const PACKAGES: [(&str, &str); 2] = [("core", "lambda"), ("query", "lambda,duckdb")];

/// Writes the same bytes for the same content: Terraform compares their hash.
const ZIP: &str = "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED, compresslevel=int(sys.argv[2])) as package:
    for path in sys.argv[3:]:
        entry = zipfile.ZipInfo(path.rsplit('/', 1)[-1], (1980, 1, 1, 0, 0, 0))
        entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
        with open(path, 'rb') as file:
            package.writestr(entry, file.read())
";

/// Builds the packages for x86_64, and for arm64 where its Rust target is installed; says where they are.
pub fn build() -> Result<(), String> {
    let folder = target().join(RELEASED.folder);
    all(&RELEASED, "x86_64", &folder)?;
    let arm = "aarch64-unknown-linux-gnu";
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    if Path::new(sysroot.trim())
        .join("lib/rustlib")
        .join(arm)
        .is_dir()
    {
        all(&RELEASED, "aarch64", &folder.join("arm64"))?;
    } else {
        eprintln!("xtask: not built for arm64: `rustup target add {arm}` installs what it needs");
    }
    Ok(())
}

/// Builds the packages that the tests deploy, for x86_64.
pub fn build_for_tests() -> Result<(), String> {
    all(&TESTED, "x86_64", &target().join(TESTED.folder))
}

fn all(kind: &Kind, architecture: &'static str, folder: &Path) -> Result<(), String> {
    for (name, features) in PACKAGES {
        package(kind, architecture, name, features, folder)?;
    }
    Ok(())
}

fn package(
    kind: &Kind,
    architecture: &'static str,
    name: &str,
    features: &str,
    folder: &Path,
) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let triple = format!("{architecture}-unknown-linux-gnu");
    let mut files = Vec::new();
    let bin = python::ensure_zig()?;
    let mut build = Command::new(bin.join("cargo-zigbuild"));
    build.args(["zigbuild", "--locked", "--profile", kind.profile]);
    build.args(["--target", &format!("{triple}.{GLIBC}")]);
    build.args(["--package", "pudato-runtime", "--bin", PROGRAM]);
    build.args(["--no-default-features", "--features", features]);
    as_by_hand(&mut build).env("PATH", path_with(&bin));
    if features.contains("duckdb") {
        let platform = Platform {
            os: "linux",
            arch: architecture,
        };
        let (library, _) = duckdb::fetch(platform).map_err(|failure| {
            let why = String::from(failure);
            format!("query.zip needs libduckdb for {architecture}: {why}")
        })?;
        build.env("DUCKDB_LIB_DIR", library.parent().unwrap_or(Path::new(".")));
        files.push(library);
    }
    eprintln!("xtask: building {name}.zip for {architecture}");
    run(&mut build)?;
    let program = target().join(triple).join(kind.profile).join(PROGRAM);
    let made = folder.join(name);
    fs::create_dir_all(&made).map_err(|error| failed(&made, error))?;
    // Lambda starts what is called so.
    let bootstrap = made.join("bootstrap");
    fs::copy(&program, &bootstrap).map_err(|error| failed(&program, error))?;
    files.insert(0, bootstrap);
    let zip = folder.join(format!("{name}.zip"));
    let mut pack = Command::new(bin.join("python"));
    pack.args(["-c", ZIP]).arg(&zip).arg(kind.compression);
    run(pack.args(&files))?;
    let bytes = fs::metadata(&zip).map_err(|error| failed(&zip, error))?;
    let megabytes = bytes.len() as f64 / 1e6;
    println!("{}  {megabytes:.1} MB", zip.display());
    Ok(())
}
