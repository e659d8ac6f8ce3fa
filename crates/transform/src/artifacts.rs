//! What dbt wrote about a run: `manifest.json` and `run_results.json`, as far as lineage needs them (dbt's JSON schemas, manifest v12 and
//! run-results v6; older and newer ones have the same fields).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) invocation_id: Option<String>,
    #[serde(default)]
    pub(crate) dbt_version: Option<String>,
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
    #[serde(default)]
    pub(crate) root_path: Option<String>,
    #[serde(default)]
    pub(crate) config: Config,
    /// Of a test: the node that it is about.
    #[serde(default)]
    pub(crate) attached_node: Option<String>,
    #[serde(default)]
    pub(crate) column_name: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    pub(crate) materialized: Option<String>,
    #[serde(default)]
    pub(crate) incremental_strategy: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Source {
    #[serde(default)]
    pub(crate) database: Option<String>,
    #[serde(default)]
    pub(crate) schema: Option<String>,
    #[serde(default)]
    pub(crate) identifier: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RunResults {
    pub(crate) metadata: Metadata,
    #[serde(default)]
    pub(crate) results: Vec<NodeResult>,
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
    #[serde(default)]
    pub(crate) compiled_code: Option<String>,
}

/// Both, of one run.
#[derive(Debug)]
pub(crate) struct Artifacts {
    pub(crate) manifest: Manifest,
    pub(crate) results: RunResults,
}

impl Artifacts {
    /// Reads what the run `execution` wrote into `folder`; `None` where it wrote nothing.
    ///
    /// # Errors
    /// They cannot be read, or are of another run.
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
        Ok(Some(Self { manifest, results }))
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
        .map_err(|error| format!("{name}: it is none of dbt's: {error}"))
}
