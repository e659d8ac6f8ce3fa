//! `cargo xtask install`: the program and the library that it is linked against, in one folder.

use crate::duckdb::{self, Linking};
use crate::tools::build;
use std::env;
use std::fs;
use std::path::PathBuf;

/// Installs where `cargo install` would.
pub fn install() -> Result<(), String> {
    let folder = folder()?;
    let root = folder.display().to_string();
    let args = ["install", "--path", "crates/cli", "--locked", "--root"];
    build("installing pudato", &[&args[..], &[&root]].concat())?;
    if let Linking::Ready(library) = duckdb::ensure()? {
        let name = library.file_name().ok_or("libduckdb has no name")?;
        let beside = folder.join("bin").join(name);
        // A program that runs keeps the file that it has open.
        let _ = fs::remove_file(&beside);
        fs::copy(&library, &beside).map_err(|error| format!("{}: {error}", beside.display()))?;
        eprintln!("xtask: {} is beside it, where it looks", beside.display());
    }
    Ok(())
}

/// By the variables that `cargo install` knows.
fn folder() -> Result<PathBuf, String> {
    let of = |name| env::var_os(name).map(PathBuf::from);
    let home = || of("HOME").map(|home| home.join(".cargo"));
    let folder = of("CARGO_INSTALL_ROOT").or_else(|| of("CARGO_HOME"));
    folder
        .or_else(home)
        .ok_or("HOME is not set; say CARGO_INSTALL_ROOT".to_owned())
}
