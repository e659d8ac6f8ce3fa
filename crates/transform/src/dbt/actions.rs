//! The actions of the service, and the dbt commands for them.

use crate::dbt::options::Options;
use pudato_handler::{Action, Effect};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// The sum of the longest deadline (`PUDATO_TRANSFORM_SECONDS` may be 12 hours), an equally long wait for another dbt on the warehouse, and
/// an hour for git, packages and artifacts.
const LEASE_MAX: Duration = Duration::from_secs(25 * 3_600);

const fn action(name: &'static str, effect: Effect, fields: &'static [&'static str]) -> Action {
    Action::new(name, effect)
        .fields(fields)
        .lease_max(LEASE_MAX)
}

/// The fields of a payload. If pudato ignored a misspelt one, it would build the whole project.
const BUILDING: &[&str] = &["select", "exclude", "full_refresh", "vars"];
const SELECTING: &[&str] = &["select", "exclude", "vars"];

/// The actions of the service `transform`.
///
/// Repeating a build gives the same result, except for incremental models and hooks, so pudato avoids running it twice where it can.
/// `source_freshness` runs hooks as well.
pub const ACTIONS: &[Action] = &[
    action("run", Effect::Once, BUILDING),
    action("build", Effect::Once, BUILDING),
    action("test", Effect::Once, BUILDING),
    action("seed", Effect::Once, BUILDING),
    action("snapshot", Effect::Once, SELECTING),
    action("retry", Effect::Once, &["execution_id", "vars"]),
    action("run_operation", Effect::Once, &["macro", "args", "vars"]),
    action("source_freshness", Effect::Once, SELECTING),
    action("compile", Effect::Read, BUILDING),
    action("docs_generate", Effect::Read, SELECTING),
];

/// The dbt command for an action, in the project of this name. It runs only the project's own macros: dbt's macros run any SQL
/// that they receive (`run_query`), in a DuckDB that may read and write files.
pub(crate) fn words(
    action: &str,
    project: &str,
    options: &Options,
    state: &Path,
    is_2: bool,
) -> Vec<OsString> {
    match action {
        "source_freshness" => vec!["source".into(), "freshness".into()],
        "run_operation" => {
            let name = options.macro_name.as_deref().unwrap_or_default();
            vec!["run-operation".into(), format!("{project}.{name}").into()]
        }
        // dbt 2 is about to remove `docs generate`.
        "docs_generate" if is_2 => vec!["compile".into(), "--write-catalog".into()],
        "docs_generate" => vec!["docs".into(), "generate".into()],
        "retry" => {
            let mut from = OsString::from("--state=");
            from.push(state);
            vec!["retry".into(), from]
        }
        other => vec![other.into()],
    }
}

/// The action that lineage assumes: `compile` for those that only read. `retried` is dbt's word for the run that is retried.
pub(crate) fn lineage_action(action: &'static str, retried: Option<&str>) -> &'static str {
    match (action, retried) {
        ("docs_generate" | "source_freshness", _) => "compile",
        ("retry", Some("compile" | "generate")) => "compile",
        _ => action,
    }
}
