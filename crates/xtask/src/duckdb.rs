//! Gets libduckdb, which the query service is linked against: compiling it takes more than 40 minutes on 2 cores.

use crate::tools::{output, root, run};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// DuckDB's version. The crate `duckdb` has it in its own (1.10506), and the Python package must have the same, or one
/// cannot open the other's file.
const VERSION: &str = "1.5.6";

/// Where cargo looks for the library unless DUCKDB_LIB_DIR says otherwise (.cargo/config.toml).
const FOLDER: &str = "target/duckdb";

/// How the library is linked.
pub enum Linking {
    /// It is this file, in the folder that cargo looks in.
    Ready(PathBuf),
    /// It is compiled.
    Bundled,
}

/// Sees to it that the library is there; says where it came from when it had to be fetched.
pub fn ensure() -> Result<Linking, String> {
    let folder = env::var_os("DUCKDB_LIB_DIR").map_or_else(|| root().join(FOLDER), PathBuf::from);
    let here = Platform::HERE;
    let library = here.library();
    let wanted = folder.join(library);
    if wanted.is_file() {
        return Ok(Linking::Ready(wanted));
    }
    let is_free = fs::read_dir(&folder).map_or(true, |mut entries| entries.next().is_none());
    if !is_free {
        return Err(format!(
            "DUCKDB_LIB_DIR is {}, which has no {library}; unset it, or name a folder that has it",
            folder.display()
        ));
    }
    let (cached, from) = match fetch(here) {
        Ok(fetched) => fetched,
        Err(why) => {
            eprintln!("xtask: {why}");
            eprintln!(
                "xtask: DuckDB is compiled from its source now: more than 40 minutes on 2 cores"
            );
            return Ok(Linking::Bundled);
        }
    };
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    fs::copy(cached, &wanted).map_err(|error| format!("{}: {error}", wanted.display()))?;
    eprintln!(
        "xtask: libduckdb {VERSION}: from {from}, in {}",
        folder.display()
    );
    Ok(Linking::Ready(wanted))
}

/// What the library is for.
#[derive(Clone, Copy)]
pub struct Platform {
    /// As Rust calls it, e.g. `linux`.
    pub os: &'static str,
    /// Likewise, e.g. `aarch64`.
    pub arch: &'static str,
}

impl Platform {
    const HERE: Self = Self {
        os: env::consts::OS,
        arch: env::consts::ARCH,
    };

    fn library(self) -> &'static str {
        match self.os {
            "macos" => "libduckdb.dylib",
            _ => "libduckdb.so",
        }
    }
}

/// The library for a platform, in the cache, and where it came from.
pub fn fetch(platform: Platform) -> Result<(PathBuf, &'static str), String> {
    let cache = cache(platform);
    let library = cache.join(platform.library());
    if library.is_file() {
        return Ok((library, "the cache"));
    }
    let by_npm = match npm(&cache, platform) {
        Ok(()) => return Ok((library, "npm")),
        Err(why) => why,
    };
    match release(&cache, platform) {
        Ok(()) => Ok((library, "DuckDB's releases")),
        Err(why) => Err(format!(
            "libduckdb by npm: {by_npm}; from DuckDB's releases: {why}"
        )),
    }
}

/// Shared by all clones of this user.
fn cache(Platform { os, arch }: Platform) -> PathBuf {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(home);
    let base = base.unwrap_or_else(|| root().join("target"));
    base.join("pudato")
        .join(format!("duckdb-{VERSION}-{os}-{arch}"))
}

/// DuckDB's own package for Node.js has the library in it; npm checks its hash.
fn npm(cache: &Path, platform: Platform) -> Result<(), String> {
    let os = match platform.os {
        "macos" => "darwin",
        os => os,
    };
    let arch = match platform.arch {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => return Err(format!("there is no package for {other}")),
    };
    let work = work(cache)?;
    let package = format!("@duckdb/node-bindings-{os}-{arch}@{VERSION}-r.1");
    let packed = output(
        Command::new("npm")
            .args(["pack", "--silent", &package])
            .current_dir(&work),
    )?;
    let archive = packed.lines().last().unwrap_or_default().trim();
    run(Command::new("tar")
        .args(["-xzf", archive])
        .current_dir(&work))?;
    keep(&work.join("package"), cache, platform)
}

/// The archive that the crate's own download takes.
fn release(cache: &Path, platform: Platform) -> Result<(), String> {
    let name = match (platform.os, platform.arch) {
        ("macos", _) => "osx-universal",
        ("linux", "x86_64") => "linux-amd64",
        ("linux", "aarch64") => "linux-arm64",
        (os, arch) => return Err(format!("there is no archive for {os} on {arch}")),
    };
    let work = work(cache)?;
    let url = format!(
        "https://github.com/duckdb/duckdb/releases/download/v{VERSION}/libduckdb-{name}.zip"
    );
    let mut curl = Command::new("curl");
    curl.args([
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--max-time",
        "600",
        "--output",
        "duckdb.zip",
    ]);
    run(curl.arg(url).current_dir(&work))?;
    run(Command::new("python3")
        .args(["-m", "zipfile", "-e", "duckdb.zip", "."])
        .current_dir(&work))?;
    keep(&work, cache, platform)
}

fn work(cache: &Path) -> Result<PathBuf, String> {
    let work = cache.join(format!("work-{}", std::process::id()));
    fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    Ok(work)
}

/// Moves the library into the cache in one step, so that two at once do no harm.
fn keep(from: &Path, cache: &Path, platform: Platform) -> Result<(), String> {
    let library = platform.library();
    let moved = fs::rename(from.join(library), cache.join(library));
    let _ = fs::remove_dir_all(cache.join(format!("work-{}", std::process::id())));
    moved.map_err(|error| format!("{library}: {error}"))
}
