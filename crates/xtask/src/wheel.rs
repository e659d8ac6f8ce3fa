//! `cargo xtask wheel`: builds the wheel of the Python package, with the core, libduckdb and the licences.
//!
//! A portable Linux wheel must not need more than glibc 2.28, so zig links it against that version, regardless of this machine's.

use crate::duckdb::{self, Platform};
use crate::python;
use crate::tools::{as_by_hand, output, path_with, root, run, target};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The glibc version that every maintained Linux distribution has.
const COMPATIBILITY: &str = "manylinux_2_28";

/// The maximum size of a wheel. PyPI accepts 100 MB per file and 10 GB for all versions of a project.
const MEGABYTES_MAX: f64 = 45.0;

/// The files that a wheel must contain, by part of their names.
const CONTENT: [&str; 9] = [
    "pudato/_core.abi3.so",
    "pudato/_core.pyi",
    "pudato/py.typed",
    "pudato/protocol/messages.py",
    "pudato.libs/libduckdb",
    "licenses/licenses/DuckDB.txt",
    "licenses/licenses/third-party.txt",
    "licenses/LICENSE-MIT",
    "sboms/",
];

/// The system libraries that the module must link, besides the C library. Without libgcc_s the wheel contains zig's unwinder, and a process
/// crashes if it exits while threads wait in the module.
const LINKED: [&str; 1] = ["links libgcc_s.so.1"];

/// Prints the names of the files in a wheel, and which of [`LINKED`] its module links.
const LIST: &str = "
import sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
print(*wheel.namelist(), sep='\\n')
if b'libgcc_s.so.1' in wheel.read('pudato/_core.abi3.so'):
    print('links libgcc_s.so.1')
";

/// How a wheel is built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For distribution: optimised and stripped.
    Release,
    /// For this machine only: with the options of everyday builds.
    Dev,
}

/// Builds the wheel for this machine, and for arm64 if its Rust target is installed. Prints their paths and sizes.
///
/// # Errors
/// It cannot be built, something is missing in it, or it is too large.
pub fn build(kind: Kind) -> Result<(), String> {
    let folder = folder();
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // A failed build may have left a truncated wheel, and an old one must not be published.
    for old in wheels(&folder)? {
        fs::remove_file(&old).map_err(|error| format!("{}: {error}", old.display()))?;
    }
    licences()?;
    if kind == Kind::Dev || !cfg!(target_os = "linux") {
        return one(kind, None, &folder);
    }
    one(kind, Some(std::env::consts::ARCH), &folder)?;
    let arm = "aarch64-unknown-linux-gnu";
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let installed = Path::new(sysroot.trim()).join("lib/rustlib").join(arm);
    match installed.is_dir() && unwinder("aarch64").is_ok() {
        _ if cfg!(target_arch = "aarch64") => Ok(()),
        true => one(kind, Some("aarch64"), &folder),
        false => {
            eprintln!(
                "xtask: not built for arm64, which needs `rustup target add {arm}` and its libgcc_s.so.1"
            );
            Ok(())
        }
    }
}

/// The folder with libgcc_s.so.1 for an architecture. Every Linux has it, and the module links against it (`crates/python/build.rs`).
fn unwinder(arch: &str) -> Result<PathBuf, String> {
    let places = [
        format!("/lib/{arch}-linux-gnu"),
        format!("/usr/lib/{arch}-linux-gnu"),
        format!("/usr/{arch}-linux-gnu/lib"),
        "/usr/lib64".to_owned(),
    ];
    let mut found = places.iter().map(PathBuf::from);
    found
        .find(|folder| folder.join("libgcc_s.so.1").exists())
        .ok_or_else(|| {
            format!(
                "the wheel for {arch} needs libgcc_s.so.1, which was not found in {}",
                places.join(", ")
            )
        })
}

/// The output folder for wheels.
pub fn folder() -> PathBuf {
    target().join("wheels")
}

/// The wheels in `folder`.
///
/// # Errors
/// The folder cannot be read.
pub fn wheels(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension() == Some(OsStr::new("whl")))
        .collect();
    found.sort();
    Ok(found)
}

/// The size of a file in megabytes.
///
/// # Errors
/// It cannot be read.
pub fn megabytes(file: &Path) -> Result<f64, String> {
    let meta = fs::metadata(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(meta.len() as f64 / 1e6)
}

fn one(kind: Kind, arch: Option<&'static str>, folder: &Path) -> Result<(), String> {
    let before = wheels(folder)?;
    let bin = python::ensure_wheel()?;
    let mut build = Command::new(bin.join("maturin"));
    build.args(["build", "--locked", "--out"]).arg(folder);
    build.args(["--manifest-path", "crates/python/Cargo.toml"]);
    as_by_hand(&mut build).env("PATH", path_with(&bin));
    match kind {
        Kind::Release => build.args(["--profile", "wheel"]),
        Kind::Dev => build.args(["--profile", "dev", "--compatibility", "linux"]),
    };
    let library = match arch {
        Some(arch) => {
            let target = format!("{arch}-unknown-linux-gnu");
            build.args([
                "--zig",
                "--compatibility",
                COMPATIBILITY,
                "--target",
                &target,
            ]);
            build.env("PUDATO_LIBGCC_S_DIR", unwinder(arch)?);
            let platform = Platform { os: "linux", arch };
            let (library, _) = duckdb::fetch(platform).map_err(String::from)?;
            library
        }
        None => match duckdb::ensure()? {
            duckdb::Linking::Ready(library) => library,
            duckdb::Linking::Bundled => {
                return Err(
                    "a wheel needs libduckdb, which is not available for this machine".into(),
                );
            }
        },
    };
    let folder_of_library = library.parent().unwrap_or(Path::new("."));
    build.env("DUCKDB_LIB_DIR", folder_of_library);
    // Where maturin looks for libduckdb. cargo sets it to the folder of everyday builds.
    build.env("LD_LIBRARY_PATH", folder_of_library);
    let triple = arch.map(|arch| format!("{arch}-unknown-linux-gnu"));
    let profile = match kind {
        Kind::Release => "wheel",
        Kind::Dev => "debug",
    };
    forget_module(triple.as_deref(), profile)?;
    eprintln!(
        "xtask: building the wheel{}",
        arch.map_or(String::new(), |arch| format!(" for {arch}"))
    );
    let built = run(&mut build);
    forget_module(triple.as_deref(), profile)?;
    let now = wheels(folder)?;
    if built.is_err() {
        // Do not leave a truncated wheel behind.
        for cut_off in now.iter().filter(|file| !before.contains(file)) {
            let _ = fs::remove_file(cut_off);
        }
    }
    built?;
    let made: Vec<&PathBuf> = now.iter().filter(|file| !before.contains(file)).collect();
    let [wheel] = made[..] else {
        return Err(format!(
            "expected one new wheel in {}, found {made:?}",
            folder.display()
        ));
    };
    check(kind, &bin, wheel)
}

/// Makes cargo link the module again. maturin patches libduckdb's name in the wheel into the file that cargo built, so neither the next wheel
/// nor a test could use that file.
fn forget_module(triple: Option<&str>, profile: &str) -> Result<(), String> {
    let built = match triple {
        Some(triple) => target().join(triple).join(profile),
        None => target().join(profile),
    };
    let name = match cfg!(target_os = "macos") {
        true => "lib_core.dylib",
        false => "lib_core.so",
    };
    for folder in [target().join("maturin"), built.join("deps"), built] {
        let module = folder.join(name);
        match fs::remove_file(&module) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", module.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks the contents and the size of a wheel, and prints the size.
fn check(kind: Kind, bin: &Path, wheel: &Path) -> Result<(), String> {
    let names = output(
        Command::new(bin.join("python"))
            .args(["-c", LIST])
            .arg(wheel),
    )?;
    let linked = LINKED.iter().filter(|_| cfg!(target_os = "linux"));
    let missing: Vec<&str> = CONTENT
        .iter()
        .chain(linked)
        .copied()
        .filter(|part| !names.contains(part))
        .collect();
    if !missing.is_empty() {
        return Err(format!(
            "{}: it does not contain {}",
            wheel.display(),
            missing.join(", ")
        ));
    }
    let megabytes = megabytes(wheel)?;
    println!("{}  {megabytes:.1} MB", wheel.display());
    match kind == Kind::Release && megabytes > MEGABYTES_MAX {
        true => Err(format!(
            "{}: expected at most {MEGABYTES_MAX} MB",
            wheel.display()
        )),
        false => Ok(()),
    }
}

/// Writes the licences of the linked crates where the wheel expects them.
fn licences() -> Result<(), String> {
    let script = root().join("crates/python/licenses/third-party.py");
    run(Command::new("python3").arg(script).current_dir(root()))
}

#[cfg(test)]
mod tests {
    /// dbt writes to the warehouse with its own DuckDB, which must not be newer than the linked one.
    #[test]
    fn the_extra_for_dbt_asks_for_the_linked_duckdb() {
        let text = include_str!("../../python/pyproject.toml");
        let pin = format!("\"duckdb<={}\"", crate::duckdb::VERSION);
        assert!(text.contains(&pin), "expected {pin} in pyproject.toml");
    }
}
