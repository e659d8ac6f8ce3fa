//! Reads `manifest.json` and `run_results.json`, as far as lineage needs them (dbt's JSON schemas, manifest v12 and run-results v6; older
//! and newer versions have the same fields).

use crate::lineage::writes::{self, WriteKind};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) invocation_id: Option<String>,
    #[serde(default)]
    pub(crate) dbt_version: Option<String>,
    #[serde(default)]
    pub(crate) project_name: Option<String>,
    /// Variables with the prefix `DBT_ENV_CUSTOM_ENV_`, without it.
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) nodes: BTreeMap<String, Node>,
    #[serde(default)]
    pub(crate) sources: BTreeMap<String, Source>,
    #[serde(default)]
    pub(crate) parent_map: BTreeMap<String, Vec<String>>,
    /// Unit tests by id; `parent_map` names their models.
    #[serde(default)]
    pub(crate) unit_tests: BTreeMap<String, IgnoredAny>,
    /// Functions that dbt creates in the warehouse, from dbt 1.11 on.
    #[serde(default)]
    functions: BTreeMap<String, Node>,
    /// Exposures by id; `parent_map` names what they use.
    #[serde(default)]
    pub(crate) exposures: BTreeMap<String, Exposure>,
}

/// A dashboard, notebook or application that reads the results of dbt.
#[derive(Debug, Deserialize)]
pub(crate) struct Exposure {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) package_name: String,
    #[serde(default, rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) url: Option<String>,
}

impl Manifest {
    /// Finds a node or a function.
    pub(crate) fn node(&self, id: &str) -> Option<&Node> {
        self.nodes.get(id).or_else(|| self.functions.get(id))
    }

    /// The name of the project. Nodes with other package names belong to packages.
    pub(crate) fn project_name(&self) -> Option<&str> {
        self.metadata.project_name.as_deref()
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Node {
    pub(crate) resource_type: String,
    #[serde(default)]
    pub(crate) database: Option<String>,
    #[serde(default)]
    pub(crate) schema: Option<String>,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) alias: Option<String>,
    #[serde(default)]
    pub(crate) compiled_code: Option<String>,
    #[serde(default)]
    pub(crate) original_file_path: String,
    /// The path below the folder of models, seeds or snapshots.
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) root_path: Option<String>,
    #[serde(default)]
    pub(crate) package_name: Option<String>,
    #[serde(default)]
    pub(crate) config: Config,
    /// The name in SQL.
    #[serde(default)]
    pub(crate) relation_name: Option<String>,
    /// The table that replaces it if it is not built here (`--defer`).
    #[serde(default)]
    pub(crate) defer_relation: Option<Relation>,
    /// For a test, the node that it checks.
    #[serde(default)]
    pub(crate) attached_node: Option<String>,
    #[serde(default)]
    pub(crate) column_name: Option<String>,
}

/// A table of another environment.
#[derive(Debug, Deserialize)]
pub(crate) struct Relation {
    #[serde(default)]
    pub(crate) database: Option<String>,
    #[serde(default)]
    pub(crate) schema: Option<String>,
    #[serde(default)]
    pub(crate) alias: Option<String>,
    #[serde(default)]
    pub(crate) relation_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) materialized: Option<String>,
    #[serde(default)]
    pub(crate) incremental_strategy: Option<String>,
    /// Takes precedence over the flag on the command line.
    #[serde(default)]
    pub(crate) full_refresh: Option<Value>,
    /// For an external model of dbt-duckdb, the file that it writes.
    #[serde(default)]
    pub(crate) location: Option<String>,
    /// For a test, `table` or `view` if it stores its failures.
    #[serde(default)]
    pub(crate) store_failures_as: Option<String>,
    /// The hooks of a node.
    #[serde(default, rename = "pre-hook")]
    pre_hooks: Vec<Hook>,
    #[serde(default, rename = "post-hook")]
    post_hooks: Vec<Hook>,
    /// For an external model, the options of DuckDB's COPY.
    #[serde(default)]
    options: Option<Value>,
}

/// SQL that runs before or after a node, with its Jinja.
#[derive(Debug, Default, Deserialize)]
struct Hook {
    #[serde(default)]
    sql: String,
}

impl Config {
    /// The SQL of the node's hooks.
    pub(crate) fn hooks(&self) -> impl Iterator<Item = &str> {
        let hooks = self.pre_hooks.iter().chain(&self.post_hooks);
        hooks.map(|hook| hook.sql.as_str())
    }

    /// Whether an external model keeps existing files.
    pub(crate) fn keeps_files(&self) -> bool {
        let options = self.options.as_ref().and_then(Value::as_object);
        let is_on =
            |value: &Value| !matches!(value.to_string().trim_matches('"'), "false" | "0" | "null");
        options.into_iter().flatten().any(|(name, value)| {
            let keeps = ["append", "overwrite_or_ignore"];
            keeps.iter().any(|keeps| name.eq_ignore_ascii_case(keeps)) && is_on(value)
        })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct Source {
    #[serde(default)]
    pub(crate) database: Option<String>,
    #[serde(default)]
    pub(crate) schema: Option<String>,
    #[serde(default)]
    pub(crate) identifier: String,
    /// The name in SQL.
    #[serde(default)]
    pub(crate) relation_name: Option<String>,
    #[serde(default)]
    meta: Map<String, Value>,
    #[serde(default)]
    config: SourceConfig,
}

#[derive(Debug, Default, Deserialize)]
struct SourceConfig {
    #[serde(default)]
    meta: Map<String, Value>,
}

impl Source {
    /// Whether it is not a table: dbt-duckdb reads from `external_location`, which older versions of dbt have in `meta` only.
    pub(crate) fn is_external(&self) -> bool {
        let metas = [&self.meta, &self.config.meta];
        metas
            .iter()
            .any(|meta| meta.contains_key("external_location"))
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct RunResults {
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) results: Vec<NodeResult>,
    #[serde(default)]
    args: Args,
}

/// The arguments of dbt, from the command line, the environment and the project's flags.
#[derive(Debug, Default, Deserialize)]
struct Args {
    #[serde(default)]
    defer: Option<bool>,
    /// The folder of the other environment's artifacts.
    #[serde(default)]
    state: Option<PathBuf>,
    /// Takes precedence over `state`.
    #[serde(default)]
    defer_state: Option<PathBuf>,
    #[serde(default)]
    project_dir: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct NodeResult {
    pub(crate) unique_id: String,
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) execution_time: f64,
    #[serde(default)]
    pub(crate) adapter_response: Map<String, Value>,
    #[serde(default)]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) failures: Option<u64>,
    /// For a model that is built in batches, the batches that succeeded and failed, each by its start and end.
    #[serde(default)]
    pub(crate) batch_results: Option<Value>,
    #[serde(default)]
    pub(crate) compiled_code: Option<String>,
}

/// The status of a model of which only some batches were built.
pub(crate) const PARTIAL_SUCCESS: &str = "partial success";

/// The artifacts of one run.
#[derive(Debug)]
pub(crate) struct Artifacts {
    pub(crate) manifest: Manifest,
    pub(crate) results: RunResults,
    /// How dbt wrote each node, by id, if it left the SQL that it ran.
    pub(crate) writes: BTreeMap<String, WriteKind>,
}

impl Artifacts {
    /// Reads the artifacts that the run `execution` wrote into `folder`; `None` if there are none.
    ///
    /// # Errors
    /// The files are unreadable, or belong to another run.
    pub(crate) fn read(folder: &Path, execution: &str) -> Result<Option<Self>, String> {
        let (Some(manifest), Some(results)) = (
            read::<Manifest>(&folder.join("manifest.json"))?,
            read::<RunResults>(&folder.join("run_results.json"))?,
        ) else {
            return Ok(None);
        };
        let (one, other) = (
            &manifest.metadata.invocation_id,
            &results.metadata.invocation_id,
        );
        if one != other || one.is_none() {
            return Err(format!(
                "the artifacts are of two runs of dbt: manifest.json of {one:?}, run_results.json of {other:?}"
            ));
        }
        let known = manifest.metadata.env.get("PUDATO_EXECUTION_ID");
        if known.is_some_and(|known| known != execution) {
            return Err(format!(
                "the artifacts are of the execution {}, not of {execution}",
                known.map_or("", String::as_str)
            ));
        }
        let mut artifacts = Self {
            manifest,
            results,
            writes: BTreeMap::new(),
        };
        artifacts.defer()?;
        artifacts.writes = writes::read(folder, &artifacts);
        for result in &artifacts.results.results {
            // dbt does not report the SQL of a model that is built in batches.
            let node = artifacts.manifest.nodes.get_mut(&result.unique_id);
            if let Some(node) = node.filter(|node| node.compiled_code.is_none()) {
                node.compiled_code = writes::compiled(folder, node);
            }
        }
        Ok(Some(artifacts))
    }

    /// Reads the replacement of each node from the artifacts of the other environment: dbt 1.11 leaves it out of its own.
    fn defer(&mut self) -> Result<(), String> {
        let args = &self.results.args;
        let state = args.defer_state.as_ref().or(args.state.as_ref());
        let Some(state) = state.filter(|_| args.defer == Some(true)) else {
            return Ok(());
        };
        // dbt runs in the project folder.
        let state = args
            .project_dir
            .as_deref()
            .unwrap_or(Path::new(""))
            .join(state);
        let other = read::<Manifest>(&state.join("manifest.json"));
        let other = other.and_then(|other| other.ok_or_else(|| "it no longer exists".into()));
        let other = other.map_err(|why| format!("{}/manifest.json: {why}", state.display()))?;
        for (id, node) in other.nodes {
            let own = self.manifest.nodes.get_mut(&id);
            if let Some(own) = own.filter(|own| own.defer_relation.is_none()) {
                own.defer_relation = Some(Relation {
                    database: node.database,
                    schema: node.schema,
                    alias: node.alias,
                    relation_name: node.relation_name,
                });
            }
        }
        Ok(())
    }

    /// Whether the only failures are batches of models that are built in batches (`microbatch`). dbt then exits with 1; the built batches
    /// count, and later nodes were skipped for no other reason.
    pub(crate) fn is_partial_success(&self) -> bool {
        let well = [
            "success",
            "pass",
            "warn",
            "no-op",
            "reused",
            "skipped",
            PARTIAL_SUCCESS,
        ];
        let mut statuses = self.results.results.iter().map(|one| one.status.as_str());
        statuses.clone().any(|status| status == PARTIAL_SUCCESS)
            && statuses.all(|status| well.contains(&status))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, String> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| format!("{name}: this is not a dbt file: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Reads two files that were written by these invocations, the first one for this execution.
    fn read(manifest: Value, results: Value) -> Result<Option<Artifacts>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, metadata) in [("manifest.json", manifest), ("run_results.json", results)] {
            if !metadata.is_null() {
                let text = json!({"metadata": metadata}).to_string();
                std::fs::write(folder.path().join(name), text).expect("written");
            }
        }
        Artifacts::read(folder.path(), "mine")
    }

    #[test]
    fn artifacts_of_two_runs_are_refused() {
        let of = |invocation: &str| json!({"invocation_id": invocation});
        let refused = read(of("one"), of("other")).expect_err("two runs");
        assert!(
            refused.contains("\"one\"") && refused.contains("\"other\""),
            "{refused}"
        );
        read(json!({}), json!({})).expect_err("nobody's");
        let others = json!({"invocation_id": "one", "env": {"PUDATO_EXECUTION_ID": "another's"}});
        let refused = read(others, of("one")).expect_err("another execution");
        assert!(refused.contains("another's"), "{refused}");
        let ours = json!({"invocation_id": "one", "env": {"PUDATO_EXECUTION_ID": "mine"}});
        assert!(read(ours.clone(), of("one")).expect("ours").is_some());
        assert!(read(ours, Value::Null).expect("half of it").is_none());
    }

    #[test]
    fn batches_that_failed_are_a_partial_success_only_where_nothing_else_failed() {
        for (statuses, expected) in [
            (&["partial success"][..], true),
            (&["success", "partial success", "skipped", "warn"], true),
            (&["pass", "no-op", "reused", "partial success"], true),
            (&["success", "skipped"], false),
            (&["partial success", "error"], false),
            (&["partial success", "fail"], false),
            (&["partial success", "runtime error"], false),
            (&["partial success", "something new"], false),
        ] {
            let results: Vec<Value> = statuses
                .iter()
                .map(|status| json!({"unique_id": "model.p.a", "status": status}))
                .collect();
            let results = json!({"metadata": {}, "results": results});
            let artifacts = Artifacts {
                manifest: serde_json::from_value(json!({"metadata": {}})).expect("a manifest"),
                results: serde_json::from_value(results).expect("results"),
                writes: BTreeMap::new(),
            };
            assert_eq!(artifacts.is_partial_success(), expected, "{statuses:?}");
        }
    }
}
