//! The rooms of the house know each other as ARCHITECTURE.md says, and no others.

use std::collections::BTreeMap;
use std::process::Command;

/// Which rooms a room may depend on, directly. Tests of a room may use more.
const ROOMS: [(&str, &[&str]); 13] = [
    ("protocol", &[]),
    ("messaging", &["protocol"]),
    ("handler", &["protocol"]),
    ("storage", &["handler", "protocol"]),
    ("query", &["handler", "protocol"]),
    ("transform", &["handler", "protocol"]),
    ("registry", &["handler", "protocol"]),
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
    ("xtask", &[]),
    ("testing", &[]),
    ("bench", &["runtime", "testing"]),
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
fn rooms_depend_on_each_other_as_the_table_says() {
    let allowed: BTreeMap<_, _> = ROOMS.into_iter().collect();
    for (room, known) in &allowed {
        let package = format!("pudato-{room}");
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
            assert!(known.contains(&other), "{room} must not know {other}");
        }
    }
}

#[test]
fn every_room_is_in_the_table() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for entry in std::fs::read_dir(folder).expect("crates") {
        let name = entry
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .into_owned();
        assert!(
            ROOMS.iter().any(|(room, _)| *room == name),
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
    let rooms = ROOMS.iter().filter(|(room, _)| *room != "bench");
    let manifests = rooms.map(|(room, _)| format!("crates/{room}/Cargo.toml"));
    for path in manifests.chain(["Cargo.toml".to_owned()]) {
        let manifest = std::fs::read_to_string(format!("{root}/{path}")).expect("a manifest");
        assert!(
            !manifest.contains("unbounded_depth"),
            "{path}: nesting must stay limited"
        );
    }
}
