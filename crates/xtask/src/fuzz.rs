//! Runs a fuzzer of `fuzz/` for a time. They are built apart from everything else, with the coverage that they look at.

use crate::duckdb::{self, Linking};
use crate::tools::{as_by_hand, cargo, root, run, target};
use std::fs;
use std::process::Command;

const TARGETS: [&str; 4] = ["engine_protocol", "messages", "sources", "statements"];

/// Most bytes of an input, and of memory in MiB. A larger input finds nothing that a smaller one does not, only later.
const LIMITS: [&str; 3] = ["-max_len=4096", "-rss_limit_mb=4096", "-timeout=60"];

/// Runs the fuzzer `name` for so many seconds. It goes on with what earlier runs found worth keeping, in `target/fuzz/corpus`.
pub fn fuzz(name: &str, seconds: &str) -> Result<(), String> {
    if !TARGETS.contains(&name) {
        let known = TARGETS.join(", ");
        return Err(format!("fuzz: expected one of {known}, found {name:?}"));
    }
    let seconds: u32 = seconds
        .parse()
        .map_err(|_| format!("fuzz: expected a number of seconds, found {seconds:?}"))?;
    let Linking::Ready(library) = duckdb::ensure()? else {
        return Err("fuzz: libduckdb cannot be had, and the fuzzers do not compile it".into());
    };
    let folder = library.parent().unwrap_or(&library);
    let own = root().join("fuzz");
    let built = target().join("fuzz");
    let kept = built.join("corpus").join(name);
    let found = own.join("found");
    for folder in [&kept, &found] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    eprintln!("xtask: fuzzing {name} for {seconds} s; what it finds goes to fuzz/found");
    let cargo = cargo();
    run(as_by_hand(&mut Command::new(cargo))
        .current_dir(&own)
        .env("CARGO_TARGET_DIR", &built)
        .env("DUCKDB_LIB_DIR", folder)
        .env("LD_LIBRARY_PATH", folder)
        .args(["run", "--release", "--locked", "--bin", name, "--"])
        .args(LIMITS)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!(
            "-dict={}",
            own.join("dictionaries").join(name).display()
        ))
        .arg(format!("-artifact_prefix={}/{name}-", found.display()))
        .arg(kept)
        .arg(own.join("corpus").join(name)))
}
