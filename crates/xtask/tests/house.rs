//! The crates depend on each other as ARCHITECTURE.md says, and in no other way.

#[path = "house/paths.rs"]
mod paths;
#[path = "house/reexports.rs"]
mod reexports;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Which crates a crate may depend on directly. Tests may use more.
const CRATES: [(&str, &[&str]); 14] = [
    ("protocol", &[]),
    ("messaging", &["protocol"]),
    ("handler", &["protocol"]),
    ("storage", &["handler", "protocol"]),
    ("query", &["handler", "protocol"]),
    ("transform", &["handler", "protocol"]),
    ("registry", &["handler", "messaging", "protocol"]),
    ("engine", &["handler", "messaging", "protocol", "registry"]),
    (
        "runtime",
        &[
            "engine",
            "handler",
            "messaging",
            "protocol",
            "query",
            "registry",
            "storage",
            "transform",
        ],
    ),
    ("cli", &["runtime"]),
    (
        "python",
        &[
            "cli",
            "handler",
            "messaging",
            "protocol",
            "registry",
            "runtime",
        ],
    ),
    ("xtask", &[]),
    ("testing", &[]),
    ("bench", &["runtime", "testing"]),
];

/// Which crate reaches another one through what a third re-exports, and how many of its names at most. No manifest shows these
/// edges. The numbers go down, a line whose number is 0 is deleted, and no line is added. A crate may also take from a re-export what
/// it may depend on directly.
const REEXPORTED: [(&str, &str, &str, usize); 13] = [
    ("cli", "runtime", "engine", 2),
    ("cli", "runtime", "handler", 1),
    ("cli", "runtime", "messaging", 7),
    ("cli", "runtime", "protocol", 11),
    ("cli", "runtime", "query", 1),
    ("cli", "runtime", "registry", 15),
    ("bench", "runtime", "engine", 1),
    ("bench", "runtime", "messaging", 11),
    ("bench", "runtime", "protocol", 9),
    ("bench", "runtime", "query", 10),
    ("bench", "runtime", "registry", 13),
    ("custom_handler", "runtime", "handler", 6),
    ("custom_handler", "runtime", "protocol", 2),
];

/// The lines of `cargo tree`, without versions and paths.
fn tree(args: &[&str]) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--locked", "--prefix", "none", "--format", "{p}"])
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    names.map(str::to_owned).collect()
}

#[test]
fn crates_depend_on_each_other_as_the_table_says() {
    let allowed: BTreeMap<_, _> = CRATES.into_iter().collect();
    for (name, known) in &allowed {
        let package = format!("pudato-{name}");
        let used = tree(&[
            "--package",
            &package,
            "--depth",
            "1",
            "--edges",
            "normal,build",
        ]);
        for other in used
            .iter()
            .skip(1)
            .filter_map(|name| name.strip_prefix("pudato-"))
        {
            assert!(known.contains(&other), "{name} must not know {other}");
        }
    }
}

#[test]
fn nobody_reaches_further_through_a_re_export_than_the_table_says() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let folder_of = |name: &&str| match *name {
        "bench" => root.join("benches/src"),
        name => root.join("crates").join(name).join("src"),
    };
    let names = CRATES.iter().map(|(name, _)| name);
    let named = names.map(|name| (format!("pudato_{name}"), reexports::read(&folder_of(name))));
    let mut crates: BTreeMap<_, _> = named.collect();
    let example = reexports::read(&root.join("examples/custom-handler/src"));
    crates.insert("custom_handler".into(), example);
    let mut allowed: BTreeMap<_, _> = REEXPORTED
        .iter()
        .map(|(user, through, other, most)| ([*user, *through, *other], *most))
        .collect();
    let rooms: BTreeMap<_, _> = CRATES.into_iter().collect();
    let mut faults = Vec::new();
    let edges = reexports::edges(&crates);
    for (edge, names) in &edges {
        let edge @ [user, through, other] = edge
            .each_ref()
            .map(|name| name.trim_start_matches("pudato_"));
        let known = rooms.get(user).copied().unwrap_or(&["runtime"]);
        // The first step of a chain counts, for it is the one that this crate takes.
        if !known.contains(&through) || known.contains(&other) {
            continue;
        }
        let most = allowed.remove(&edge).unwrap_or(0);
        if names.len() > most {
            faults.push(format!(
                "{user} reaches {} names of {other} through {through}, and {most} are allowed: {names:?}",
                names.len()
            ));
        }
    }
    for [user, through, other] in allowed.into_keys() {
        faults.push(format!(
            "{user} reaches {other} through {through} no more: delete the line"
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_lints_of_query_are_those_of_the_workspace() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let table = |path: &str, name: &str| {
        let text = std::fs::read_to_string(format!("{root}/{path}")).expect("a manifest");
        let (_, after) = text.split_once(&format!("[{name}]\n")).expect("a table");
        let table = after.split("\n\n").next();
        table.unwrap_or_default().to_owned()
    };
    assert_eq!(
        table("crates/query/Cargo.toml", "lints.clippy"),
        table("Cargo.toml", "workspace.lints.clippy")
    );
}

#[test]
fn every_crate_is_in_the_table() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for entry in std::fs::read_dir(folder).expect("crates") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        assert!(
            CRATES.iter().any(|(known, _)| *known == name),
            "crates/{name} is not in the table"
        );
    }
}

#[test]
fn the_messages_need_no_runtime_and_no_cloud() {
    let used = tree(&["--package", "pudato-protocol", "--edges", "normal"]);
    for name in used {
        let is_heavy = name == "tokio" || name.starts_with("aws-") || name.ends_with("-sys");
        assert!(!is_heavy, "protocol must not need {name}");
    }
}

#[test]
fn nothing_turns_off_the_limit_of_depth() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let names = CRATES.iter().filter(|(name, _)| *name != "bench");
    let manifests = names.map(|(name, _)| format!("crates/{name}/Cargo.toml"));
    for path in manifests.chain(["Cargo.toml".to_owned()]) {
        let manifest = std::fs::read_to_string(format!("{root}/{path}")).expect("a manifest");
        assert!(
            !manifest.contains("unbounded_depth"),
            "{path}: nesting must stay limited"
        );
    }
}
