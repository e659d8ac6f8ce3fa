//! Edges that no manifest shows: a crate reaches another one through what a third re-exports.

use super::paths::{Found, paths};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The sources of a crate, each with the path of its module.
type Sources = Vec<(Vec<String>, Vec<Found>)>;

/// What a crate exports under a path that belongs to another: the path's own in that crate.
type Exports = BTreeMap<Vec<String>, Vec<String>>;

/// Which crate reaches which other one (user, through, other): the names that it uses there, each once however often it stands.
pub type Edges = BTreeMap<[String; 3], BTreeSet<String>>;

/// Reads `src` of a crate.
pub fn read(folder: &Path) -> Sources {
    let mut sources = Vec::new();
    read_into(folder, &[], &mut sources);
    sources
}

fn read_into(folder: &Path, module: &[String], sources: &mut Sources) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        let mut own = module.to_vec();
        if path.is_dir() {
            own.push(name);
            read_into(&path, &own, sources);
        } else if path.extension().is_some_and(|end| end == "rs") && name != "tests" {
            if !matches!(&*name, "lib" | "main" | "mod") {
                own.push(name);
            }
            let text = fs::read_to_string(&path).expect("a source");
            sources.push((own, paths(&text)));
        }
    }
}

/// The edges of all crates, by the names of their packages.
///
/// # Panics
/// A crate re-exports another one with a glob: what comes through it could not be seen.
pub fn edges(crates: &BTreeMap<String, Sources>) -> Edges {
    let exports: BTreeMap<&str, Exports> = crates
        .iter()
        .map(|(name, sources)| (name.as_str(), exports(name, sources)))
        .collect();
    let mut edges = Edges::new();
    for (user, sources) in crates {
        for found in sources.iter().flat_map(|(_, found)| found) {
            let mut path = found.path.clone();
            // What was re-exported may be a re-export itself.
            while let Some((through, next)) = follow(&path, &exports) {
                let other = next[0].clone();
                if through != *user && other != *user {
                    let names = edges.entry([user.clone(), through, other]).or_default();
                    names.insert(item(&next));
                }
                path = next;
            }
        }
    }
    edges
}

/// Up to the type, without what belongs to it: of `a::Type::new` it is `a::Type`.
fn item(path: &[String]) -> String {
    let is_type = |name: &String| name.starts_with(char::is_uppercase);
    let length = path
        .iter()
        .position(is_type)
        .map_or(path.len(), |at| at + 1);
    path[..length].join("::")
}

/// The crate that a path names first, and the path in the crate that it leads to.
fn follow(path: &[String], exports: &BTreeMap<&str, Exports>) -> Option<(String, Vec<String>)> {
    let (through, inner) = path.split_first()?;
    let known = exports.get(through.as_str())?;
    let length = (1..=inner.len()).find(|n| known.contains_key(&inner[..*n]))?;
    let next = [&known[&inner[..length]][..], &inner[length..]].concat();
    Some((through.clone(), next))
}

fn exports(name: &str, sources: &Sources) -> Exports {
    let mut exports = Exports::new();
    loop {
        let before = exports.len();
        for (module, found) in sources {
            for one in found {
                let Some(exported_as) = &one.exported_as else {
                    continue;
                };
                let at = |last: &str| [&module[..], &[last.to_owned()]].concat();
                if one.path[0].starts_with("pudato_") {
                    assert_ne!(
                        exported_as, "*",
                        "{name}: {one:?}: name what is re-exported"
                    );
                    exports.insert(at(exported_as), one.path.clone());
                    continue;
                }
                let local = local(module, &one.path);
                if exported_as == "*" {
                    let from = &local[..local.len() - 1];
                    let below = exports.clone().into_iter();
                    exports.extend(below.filter_map(|(path, to)| {
                        let rest = path.strip_prefix(from)?;
                        Some(([&module[..], rest].concat(), to))
                    }));
                } else if let Some(to) = exports.get(&local).cloned() {
                    exports.insert(at(exported_as), to);
                }
            }
        }
        if exports.len() == before {
            return exports;
        }
    }
}

/// A path of this crate, from its root.
fn local(module: &[String], path: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut rest = path;
    while let Some((first, more)) = rest.split_first() {
        match first.as_str() {
            "crate" => base.clear(),
            "super" => drop(base.pop()),
            "self" => {}
            _ => break,
        }
        rest = more;
    }
    [&base[..], rest].concat()
}

#[test]
fn an_edge_through_a_re_export_is_seen() {
    let source = |module: &str, text: &str| {
        let module = module.split_terminator("::").map(str::to_owned);
        (module.collect(), paths(text))
    };
    let crates = BTreeMap::from([
        ("pudato_low".to_owned(), vec![source("", "pub struct Low;")]),
        (
            "pudato_mid".to_owned(),
            vec![
                source("", "mod deep; pub use deep::*; pub use pudato_low as low;"),
                source("deep", "pub use pudato_low::Low as Renamed;"),
            ],
        ),
        (
            "pudato_top".to_owned(),
            vec![source(
                "",
                "use pudato_mid::{Own, Renamed}; fn f() { pudato_mid::low::Low::new(); pudato_mid::low::other(); }",
            )],
        ),
    ]);
    let edge = ["pudato_top", "pudato_mid", "pudato_low"].map(str::to_owned);
    let names = ["pudato_low::Low", "pudato_low::other"].map(str::to_owned);
    assert_eq!(edges(&crates), Edges::from([(edge, names.into())]));
}
