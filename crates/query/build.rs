//! Puts libduckdb beside the programs that are built, where their loader looks for it.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The library's file name on each platform that DuckDB publishes.
const NAMES: [&str; 3] = ["libduckdb.so", "libduckdb.dylib", "duckdb.dll"];

fn main() {
    println!("cargo::rerun-if-env-changed=DUCKDB_LIB_DIR");
    let is_linked = env::var_os("CARGO_FEATURE_DUCKDB").is_some();
    if !is_linked || env::var_os("CARGO_FEATURE_BUNDLED").is_some() {
        return;
    }
    let folder = env::var_os("DUCKDB_LIB_DIR").map(PathBuf::from);
    let found = folder.as_deref().and_then(library);
    let Some(library) = found else {
        let folder = folder.unwrap_or_default();
        panic!(
            "libduckdb is not in {:?}: run `cargo xtask duckdb` once, or let DUCKDB_LIB_DIR name the folder that has it",
            folder
        );
    };
    println!("cargo::rerun-if-changed={}", library.display());
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let profile = out
        .ancestors()
        .nth(3)
        .expect("OUT_DIR lies in the profile's folder");
    let beside = profile.join(library.file_name().expect("a file"));
    if fs::canonicalize(&beside).ok() == fs::canonicalize(&library).ok() {
        return;
    }
    let _ = fs::remove_file(&beside);
    fs::copy(&library, &beside).expect("libduckdb can be copied beside the programs");
}

fn library(folder: &Path) -> Option<PathBuf> {
    let mut files = NAMES.iter().map(|name| folder.join(name));
    files.find(|file| file.is_file())
}
