//! Gets libduckdb, which the query service is linked against: compiling it takes more than 40 minutes on 2 cores.

use crate::pins::{self, Failure};
use crate::tools::{output, root, run};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// DuckDB's version. The crate `duckdb` has it in its own (1.10506), and the Python package must have the same, or one
/// cannot open the other's file.
pub const VERSION: &str = "1.5.6";

/// Where cargo looks for the library unless DUCKDB_LIB_DIR says otherwise (.cargo/config.toml).
const FOLDER: &str = "target/duckdb";

/// Set to anything, it lets `DUCKDB_LIB_DIR` name another library than the pinned one.
const UNPINNED: &str = "PUDATO_DUCKDB_UNPINNED";

/// What is fetched for a platform, by its SHA-256. npm's packages have the library of DuckDB's own releases in them (for both kinds of Mac it
/// is the same file, as the release has one for both), so one hash holds whichever source it comes from. Those of the archives, too, so
/// that nothing unpacks another one.
struct Pin {
    os: &'static str,
    arch: &'static str,
    /// Of npm.
    package: &'static str,
    archive: &'static str,
    library: &'static str,
}

const PINS: [Pin; 4] = [
    Pin {
        os: "linux",
        arch: "x86_64",
        package: "@duckdb/node-bindings-linux-x64",
        archive: "1b9f82478539bb9a1d1df44bd103121a12ae52142c07158dc52b97d2ec1d69ff",
        library: "3f4962cdd266eab2b479a5b5a4a6d063d279b2954ae814ed00385d553b747633",
    },
    Pin {
        os: "linux",
        arch: "aarch64",
        package: "@duckdb/node-bindings-linux-arm64",
        archive: "3a45a6305b3235a781ed9de25aa795a3862acd042782d1f864e1bdb656de212b",
        library: "23686593dba4ec22c6e581bb1c843b3964e84c4bc4d0063d8b4daddd2e20e30a",
    },
    Pin {
        os: "macos",
        arch: "x86_64",
        package: "@duckdb/node-bindings-darwin-x64",
        archive: "1004f6a9ec624612e8d30e25010070e7e3aac23fc807146a470c5a4f6f6e38e0",
        library: "75a519cb914ae36ca22cff0995a8a2e8c9a46990b8c0a479514f741a0d93f344",
    },
    Pin {
        os: "macos",
        arch: "aarch64",
        package: "@duckdb/node-bindings-darwin-arm64",
        archive: "6ca33c2c6566246d6a452e24194f004010dd860d5b2764c7143ff255555862ca",
        library: "75a519cb914ae36ca22cff0995a8a2e8c9a46990b8c0a479514f741a0d93f344",
    },
];

/// In the name of a copy that is not complete.
const PART: &str = ".part-";

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
        if env::var_os(UNPINNED).is_none()
            && let Some(pin) = here.pin()
        {
            let advice = format!(
                "delete it and say `cargo xtask duckdb`, or set {UNPINNED}=1 if it is a library of your own choice"
            );
            pins::check(&wanted, pin.library, &advice)?;
        }
        return Ok(Linking::Ready(wanted));
    }
    // What a copy that was cut off left is no library of somebody's.
    let is_part = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().contains(PART);
    let is_free = fs::read_dir(&folder).map_or(true, |entries| {
        entries.flatten().all(|entry| is_part(&entry))
    });
    if !is_free {
        return Err(format!(
            "DUCKDB_LIB_DIR is {}, which has no {library}; unset it, or name a folder that has it",
            folder.display()
        ));
    }
    let (cached, from) = match fetch(here) {
        Ok(fetched) => fetched,
        Err(other @ Failure::Other(_)) => return Err(other.into()),
        Err(Failure::Missing(why)) => {
            eprintln!("xtask: {why}");
            eprintln!(
                "xtask: DuckDB is compiled from its source now: more than 40 minutes on 2 cores"
            );
            return Ok(Linking::Bundled);
        }
    };
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // In one step, so that a copy that was cut off is not taken for the library.
    let part = folder.join(format!("{library}{PART}{}", std::process::id()));
    let copied = fs::copy(cached, &part).and_then(|_| fs::rename(&part, &wanted));
    copied.map_err(|error| format!("{}: {error}", wanted.display()))?;
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

    fn pin(self) -> Option<&'static Pin> {
        PINS.iter()
            .find(|pin| (pin.os, pin.arch) == (self.os, self.arch))
    }

    fn library(self) -> &'static str {
        match self.os {
            "macos" => "libduckdb.dylib",
            _ => "libduckdb.so",
        }
    }
}

/// The library for a platform, in the cache, and where it came from.
///
/// # Errors
/// It cannot be had; or what was had is not the pinned one.
pub fn fetch(platform: Platform) -> Result<(PathBuf, &'static str), Failure> {
    let Platform { os, arch } = platform;
    let pin = platform
        .pin()
        .ok_or_else(|| format!("no libduckdb {VERSION} is pinned for {os} on {arch}"))?;
    let cache = cache(platform);
    let library = cache.join(platform.library());
    if library.is_file() {
        let advice = "delete it, and it is fetched anew";
        pins::check(&library, pin.library, advice)?;
        return Ok((library, "the cache"));
    }
    let by_npm = match npm(&cache, pin, platform) {
        Ok(()) => return Ok((library, "npm")),
        Err(other @ Failure::Other(_)) => return Err(other),
        Err(Failure::Missing(why)) => why,
    };
    match release(&cache, pin, platform) {
        Ok(()) => Ok((library, "DuckDB's releases")),
        Err(other @ Failure::Other(_)) => Err(other),
        Err(Failure::Missing(why)) => Err(Failure::Missing(format!(
            "libduckdb by npm: {by_npm}; from DuckDB's releases: {why}"
        ))),
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

/// What to do about a download that is another than the pinned one.
fn advice(source: &str) -> String {
    format!(
        "{source} did not answer with the libduckdb {VERSION} that crates/xtask/src/duckdb.rs pins: look whether a proxy or a mirror stands in between; \
        do not use the file"
    )
}

/// DuckDB's own package for Node.js has the library in it.
fn npm(cache: &Path, pin: &Pin, platform: Platform) -> Result<(), Failure> {
    let work = Work::new(cache)?;
    let package = format!("{}@{VERSION}-r.1", pin.package);
    let packed = output(
        Command::new("npm")
            .args(["pack", "--silent", &package])
            .current_dir(&work.0),
    )?;
    let archive = packed.lines().last().unwrap_or_default().trim();
    pins::check(&work.0.join(archive), pin.archive, &advice("npm"))?;
    run(Command::new("tar")
        .args(["-xzf", archive])
        .current_dir(&work.0))?;
    keep(&work.0.join("package"), cache, pin, platform, "npm")
}

/// The archive that the crate's own download takes.
fn release(cache: &Path, pin: &Pin, platform: Platform) -> Result<(), Failure> {
    let name = match (platform.os, platform.arch) {
        ("macos", _) => "osx-universal",
        ("linux", "x86_64") => "linux-amd64",
        ("linux", "aarch64") => "linux-arm64",
        (os, arch) => return Err(format!("there is no archive for {os} on {arch}").into()),
    };
    let work = Work::new(cache)?;
    let url = format!(
        "https://github.com/duckdb/duckdb/releases/download/v{VERSION}/libduckdb-{name}.zip"
    );
    let mut curl = Command::new("curl");
    curl.args([
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--proto",
        "=https",
        "--max-time",
        "600",
        "--output",
        "duckdb.zip",
    ]);
    run(curl.arg(url).current_dir(&work.0))?;
    run(Command::new("python3")
        .args(["-m", "zipfile", "-e", "duckdb.zip", "."])
        .current_dir(&work.0))?;
    keep(&work.0, cache, pin, platform, "DuckDB's releases")
}

/// A folder beside the library, which is removed in the end, whatever was found in it.
struct Work(PathBuf);

impl Work {
    fn new(cache: &Path) -> Result<Self, String> {
        let work = cache.join(format!("work-{}", std::process::id()));
        fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
        Ok(Self(work))
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Moves the library into the cache in one step, so that two at once do no harm.
fn keep(
    from: &Path,
    cache: &Path,
    pin: &Pin,
    platform: Platform,
    source: &str,
) -> Result<(), Failure> {
    let name = platform.library();
    let library = from.join(name);
    pins::check(&library, pin.library, &advice(source))?;
    let moved = fs::rename(library, cache.join(name));
    moved.map_err(|error| format!("{name}: {error}").into())
}
