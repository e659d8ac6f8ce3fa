//! Running other programs, and saying so.

use crate::duckdb::{self, Linking};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the repository: of the one that `cargo xtask` was said in, since clones that share a target folder share this program.
pub fn root() -> PathBuf {
    let built = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or(built, PathBuf::from);
    here.ancestors().nth(2).unwrap_or(&here).to_owned()
}

/// Where cargo builds.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => root().join(target),
        None => root().join("target"),
    }
}

/// Says what is about to happen, builds with cargo what needs libduckdb, and passes its verdict on.
pub fn build(what: &str, args: &[&str]) -> Result<(), String> {
    build_with(what, args, &[])
}

/// The same, with more variables for what it runs.
pub fn build_with(what: &str, args: &[&str], variables: &[(&str, PathBuf)]) -> Result<(), String> {
    let mut command = building(what, args)?;
    run(command.envs(variables.iter().map(|(name, value)| (name, value))))
}

/// The same as [`build`]; gives what cargo printed.
pub fn built(what: &str, args: &[&str]) -> Result<String, String> {
    output(&mut building(what, args)?)
}

fn building(what: &str, args: &[&str]) -> Result<Command, String> {
    let mut args = args.to_vec();
    if let Linking::Bundled = duckdb::ensure()? {
        args.splice(1..1, ["--features", "pudato-cli/duckdb-bundled"]);
    }
    eprintln!("xtask: {what}: cargo {}", args.join(" "));
    let mut command = Command::new(cargo());
    as_by_hand(&mut command).args(args);
    Ok(command)
}

/// The cargo that started this program.
pub fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs a cargo as whoever sits at the root runs it. What the cargo that started this program says of it in the environment is taken away:
/// build scripts look at some of these variables, so the same packages would be built again for each clone, and after each `cargo build` by hand.
pub fn as_by_hand(cargo: &mut Command) -> &mut Command {
    const OF_ITSELF: [&str; 5] = [
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_BIN_NAME",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
    ];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_ITSELF.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    cargo.current_dir(root())
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Result<(), String> {
    let name = name(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} ended with {status}")),
        Err(error) => Err(format!("{name} cannot be started: {error}")),
    }
}

/// Runs a command to its end and gives what it printed.
pub fn output(command: &mut Command) -> Result<String, String> {
    let name = name(command);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{name} cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("{name} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{name}: {error}"))
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.take(4).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// The path, with `bin` first: zig is found where Python's packages are.
pub fn path_with(bin: &Path) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let others = std::env::split_paths(&path).collect::<Vec<PathBuf>>();
    let all = [bin.to_owned()].into_iter().chain(others);
    std::env::join_paths(all).unwrap_or(path)
}
