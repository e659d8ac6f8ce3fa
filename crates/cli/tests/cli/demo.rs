//! `pudato demo`: what somebody sees who has the program and nothing else.

use crate::support::Installation;

/// The answer as an independent count of the files gives it (`examples/birdstrikes/check.py`).
const TEXAS: [&str; 6] = ["Texas", "1494", "97", "7798739", "1990", "2002"];

#[test]
fn the_demo_answers_and_shows_the_lineage_without_dbt_and_overwrites_nothing() {
    let mut installation = Installation::new();
    // The demo shows the defaults, whatever the environment says.
    installation.set("PUDATO_QUERY_SOURCE_BYTES_MAX", "1");
    installation.set("PUDATO_DBT", "/nowhere/dbt");
    let said = installation.ok(&["demo"]);
    let texas = said.lines().find(|line| line.starts_with("Texas"));
    let texas: Vec<&str> = texas.expect("the answer").split_whitespace().collect();
    assert_eq!(texas, TEXAS, "{said}");
    for expected in [
        "Not using dbt",
        "PUDATO_DBT: /nowhere/dbt is not a file",
        "[export] query execute_sql success",
        "[build] query execute_script success",
        "raw/damage_levels.csv  6 rows",
        "raw/airports.csv  3,376 rows",
        "raw/birdstrikes.csv  10,000 rows",
    ] {
        assert!(said.contains(expected), "{expected:?} is missing: {said}");
    }
    let folder = installation.folder.path().join("pudato-demo");
    let picture = std::fs::read_to_string(folder.join("lineage.svg")).expect("a picture");
    assert!(picture.contains("<svg"), "{picture}");
    // What it leaves behind is an installation with the defaults.
    let mut look = installation.command(&["job", "list"]);
    for name in ["PUDATO_DATA_DIR", "PUDATO_VISIBILITY_SECONDS"] {
        look.env_remove(name);
    }
    look.current_dir(&folder);
    let jobs = look.output().expect("the program runs");
    let jobs = String::from_utf8_lossy(&jobs.stdout).into_owned();
    assert!(jobs.contains("birdstrikes"), "{jobs}");

    let mine = folder.join("sql/mart.sql");
    std::fs::write(&mine, "mine").expect("written");
    let (code, error) = installation.fails(&["demo"]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("pudato-demo exists already"), "{error}");
    assert_eq!(std::fs::read_to_string(&mine).expect("read"), "mine");
}
