//! `cargo xtask bench compare`: the same measurement with the programs of a revision and with those of the working tree, in turn, so that both
//! see the same machine.

mod figures;
mod worktree;

use crate::duckdb::{self, Linking};
use crate::tools::{as_by_hand, cargo, output, root, run, target};
use figures::Figures;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use worktree::Worktree;

/// How many times each side is measured unless `--pairs` says otherwise.
const PAIRS: usize = 5;

/// What the measurement runs; the library lies beside the programs.
const PROGRAMS: [&str; 2] = ["pudato", "pudato-bench"];

/// What is compared, as the command line says it.
#[derive(Debug, PartialEq)]
struct Request<'a> {
    revision: &'a str,
    name: &'a str,
    pairs: usize,
    is_json: bool,
}

impl<'a> Request<'a> {
    fn read(args: &[&'a str]) -> Result<Self, String> {
        let (mut words, mut pairs, mut is_json) = (Vec::new(), PAIRS, false);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match *arg {
                "--json" => is_json = true,
                "--pairs" => {
                    let number = args.next().copied().unwrap_or_default();
                    pairs = match number.parse() {
                        Ok(pairs) if pairs > 0 => pairs,
                        _ => {
                            return Err(format!(
                                "--pairs: expected a number from 1 on, found {number:?}"
                            ));
                        }
                    };
                }
                word => words.push(word),
            }
        }
        let [revision, name] = words[..] else {
            return Err(format!(
                "bench compare: expected a revision and the name of a measurement, found {words:?}"
            ));
        };
        // These two are no measurements of the program alone.
        let known = || {
            let is_other = |known: &&&str| ["lambda", "python"].contains(*known);
            crate::BENCHES.iter().filter(move |known| !is_other(known))
        };
        if !known().any(|known| *known == name) {
            let known = known().copied().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "bench compare: expected one of {known}, found {name:?}"
            ));
        }
        Ok(Self {
            revision,
            name,
            pairs,
            is_json,
        })
    }
}

/// Builds both sides, measures them in turn and prints the medians. Both are linked with the libduckdb of the working tree.
///
/// # Errors
/// The arguments name no revision or no measurement, another comparison runs, or something cannot be built or measured.
pub fn compare(args: &[&str]) -> Result<(), String> {
    let request = Request::read(args)?;
    let commit = format!("{}^{{commit}}", request.revision);
    let mut git = Command::new("git");
    git.args(["rev-parse", "--verify", "--quiet", "--end-of-options"]);
    let commit = output(git.arg(&commit).current_dir(root()))
        .map_err(|why| format!("{}: no commit of this repository: {why}", request.revision))?;
    crate::install_for_bench(request.name)?;

    let folder = target().join("compare");
    let worktree = Worktree::add(&root(), &folder, commit.trim())?;
    let base = folder.join("base");
    let new = folder.join("new");
    let what = format!("building {} ({})", request.revision, &commit[..8]);
    // Cargo tells trees apart by their paths from the root of the workspace, which are the same here: in one target folder it would take
    // the programs of the one for those of the other. So the revision is built in a folder of its own, which stays for the next time.
    let apart = target().join("compare-base");
    build(&what, worktree.path(), &apart, &base)?;
    build("building the working tree", &root(), &target(), &new)?;

    let mut pairs = Vec::new();
    for pair in 1..=request.pairs {
        eprintln!("xtask: pair {pair} of {}", request.pairs);
        // Who goes first changes, so that what the first run warms helps both.
        if pair % 2 == 1 {
            let first = measure(&base, request.name)?;
            pairs.push((first, measure(&new, request.name)?));
        } else {
            let first = measure(&new, request.name)?;
            pairs.push((measure(&base, request.name)?, first));
        }
    }
    let printed = figures::print(&pairs, request.is_json);
    worktree.remove().and(printed)
}

/// Builds the programs of the tree at `root` as `cargo xtask bench` does, below `built`, and puts them into `to`.
fn build(what: &str, root: &Path, built: &Path, to: &Path) -> Result<(), String> {
    let failed = |path: &Path, error: std::io::Error| format!("{}: {error}", path.display());
    let Linking::Ready(library) = duckdb::ensure()? else {
        return Err("bench compare: libduckdb cannot be had, and it is not compiled here".into());
    };
    eprintln!("xtask: {what}");
    let mut build = Command::new(cargo());
    as_by_hand(&mut build).current_dir(root);
    build.env("CARGO_TARGET_DIR", built);
    build.env("DUCKDB_LIB_DIR", library.parent().unwrap_or(&library));
    run(build.args(crate::BENCH_BUILD))?;
    fs::create_dir_all(to).map_err(|error| failed(to, error))?;
    let programs = PROGRAMS.map(|name| built.join("release").join(name));
    for file in programs.iter().chain([&library]) {
        let copy = to.join(file.file_name().unwrap_or_default());
        fs::copy(file, &copy).map_err(|error| failed(file, error))?;
    }
    Ok(())
}

/// Runs the programs in `folder` once.
fn measure(folder: &Path, name: &str) -> Result<Figures, String> {
    let program: PathBuf = folder.join("pudato-bench");
    let printed = output(Command::new(program).args([name, "--json"]))?;
    figures::read(&printed)
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn a_request_names_what_it_lacks() {
        let read = Request::read(&["HEAD~1", "--pairs", "3", "codec", "--json"]);
        let expected = Request {
            revision: "HEAD~1",
            name: "codec",
            pairs: 3,
            is_json: true,
        };
        assert_eq!(read, Ok(expected));
        for (args, part) in [
            (&["HEAD"][..], "expected a revision and the name"),
            (&["HEAD", "speed"], "expected one of aws, e2e"),
            (&["HEAD", "codec", "--pairs", "0"], "--pairs: expected"),
            (&["HEAD", "codec", "--pairs"], "--pairs: expected"),
            // What it measures is built by another command.
            (&["HEAD", "lambda"], "found \"lambda\""),
        ] {
            let error = Request::read(args).expect_err("refused");
            assert!(error.contains(part), "{error}");
        }
    }
}
