//! `cargo xtask dbt-versions`: runs the core of transform's tests with every dbt that pudato supports. Installing the five versions takes minutes, so
//! the ordinary test run leaves them out.

use crate::{python, tools};

/// dbt-core's versions; each with the dbt-duckdb of its time, and the DuckDB of the linked library. dbt 2 is not among them: what PyPI has of it
/// fetches the program from elsewhere.
const VERSIONS: [&str; 5] = ["1.8", "1.9", "1.10", "1.11", "1.12"];

/// What must be the same with all: how dbt is started and heard, its lineage, what it does beside building, its failures and its end.
const CORE: [&str; 10] = [
    "actions::",
    "started::",
    "every_node_has_its_own_inputs_and_counts",
    "hooks_batches_tests_and_unit_tests_are_told",
    "a_dbt_that_is_killed_runs_again",
    "a_dbt_that_the_project_does_not_want",
    "a_worker_that_is_killed_leaves_no_dbt",
    "a_dbt_has_ended_even_if_a_child_of_it_still_runs",
    "builds_at_once_never_see_each_others_artifacts",
    "stale_artifacts_of_the_project_are_not_read",
];

const TESTS: [&str; 6] = [
    "test",
    "--workspace",
    "--test",
    "transform",
    "--test",
    "dbt",
];

/// Installs and runs them; says of each version how it went.
pub fn check() -> Result<(), String> {
    let newer = python::ensure_dbt_of("newer")?;
    tools::build("building the tests", &[&TESTS[..], &["--no-run"]].concat())?;
    let mut told = Vec::new();
    let mut has_failed = false;
    for version in VERSIONS {
        let dbt = python::ensure_dbt_of(version)?;
        let variables = [
            ("PUDATO_TEST_DBT", dbt),
            ("PUDATO_TEST_NEWER_DBT", newer.clone()),
        ];
        let only = [&["--no-fail-fast", "--", "--include-ignored"], &CORE[..]].concat();
        let what = format!("dbt {version}");
        let ran = tools::build_with(&what, &[&TESTS[..], &only].concat(), &variables);
        has_failed |= ran.is_err();
        told.push(match ran {
            Ok(()) => format!("{what}: passed"),
            Err(why) => format!("{what}: {why}"),
        });
    }
    for line in &told {
        println!("{line}");
    }
    match has_failed {
        true => Err("not every dbt passed".into()),
        false => Ok(()),
    }
}
