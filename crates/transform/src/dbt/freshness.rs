//! The results of `dbt source freshness`: from `sources.json`, or from the log if dbt could not query a source.

use crate::dbt::artifact_store::{MANIFEST, SOURCES};
use crate::dbt::artifacts::{Manifest, Metadata};
use crate::lineage::naming::Naming;
use pudato_protocol::{DataReference, ExecutionRecord, Object};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug, Deserialize)]
struct Sources {
    metadata: Metadata,
    #[serde(default)]
    results: Vec<Measured>,
}

/// One source, with dbt's field names.
#[derive(Debug, Deserialize)]
struct Measured {
    unique_id: String,
    status: String,
    #[serde(default)]
    max_loaded_at: Value,
    #[serde(default)]
    snapshotted_at: Value,
    #[serde(default)]
    max_loaded_at_time_ago_in_s: Value,
    #[serde(default)]
    criteria: Value,
    #[serde(default)]
    execution_time: f64,
}

/// The results of all sources.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    /// `Result.data.sources`.
    pub(crate) sources: Vec<Value>,
    /// The tables that dbt queried.
    pub(crate) inputs: Vec<DataReference>,
    pub(crate) executions: Vec<ExecutionRecord>,
    pub(crate) dbt_version: Option<String>,
}

/// Reads what dbt wrote into `folder`, if anything. `told` is how each source ended according to the log: the file leaves out sources
/// that dbt could not query.
///
/// # Errors
/// A file is not a dbt file.
pub(crate) fn read(
    folder: &Path,
    told: &BTreeMap<String, String>,
    naming: &Naming<'_>,
) -> Result<Freshness, String> {
    let (Some(manifest), Some(sources)) = (
        file::<Manifest>(folder, MANIFEST)?,
        file::<Sources>(folder, SOURCES)?,
    ) else {
        return Ok(Freshness::default());
    };
    let mut freshness = Freshness {
        dbt_version: sources.metadata.dbt_version,
        ..Freshness::default()
    };
    let measured = sources.results;
    let is_measured = |id: &String| measured.iter().any(|one| one.unique_id == *id);
    let others = told.iter().filter(|(id, _)| !is_measured(id));
    let others: Vec<Measured> = others.map(|(id, status)| unasked(id, status)).collect();
    let mut all: Vec<&Measured> = measured.iter().chain(&others).collect();
    // dbt writes them in the order of completion.
    all.sort_by(|one, other| one.unique_id.cmp(&other.unique_id));
    for one in all {
        let dataset = naming.parent(&manifest, &one.unique_id);
        let location = dataset.as_ref().map(|one| one.location.clone());
        let found = json!({
            "unique_id": one.unique_id, "status": one.status, "dataset": location, "max_loaded_at": one.max_loaded_at,
            "snapshotted_at": one.snapshotted_at, "max_loaded_at_time_ago_in_s": one.max_loaded_at_time_ago_in_s, "criteria": one.criteria,
        });
        let Value::Object(mut details) = found.clone() else {
            continue;
        };
        details.retain(|_, value| !value.is_null());
        details.insert("resource_type".into(), "source".into());
        details.insert("dialect".into(), naming.adapter.into());
        details.insert("seconds".into(), seconds(one.execution_time));
        freshness.sources.push(found);
        freshness.inputs.extend(dataset);
        freshness
            .executions
            .push(ExecutionRecord::new("dbt", details));
    }
    Ok(freshness)
}

impl Freshness {
    /// Adds the results to the data of an answer.
    pub(crate) fn tell(&mut self, data: &mut Object) {
        let sources = std::mem::take(&mut self.sources);
        data.insert("sources".into(), Value::Array(sources));
        data.insert("dbt_version".into(), json!(self.dbt_version));
    }
}

fn unasked(id: &str, status: &str) -> Measured {
    Measured {
        unique_id: id.to_owned(),
        status: status.to_owned(),
        max_loaded_at: Value::Null,
        snapshotted_at: Value::Null,
        max_loaded_at_time_ago_in_s: Value::Null,
        criteria: Value::Null,
        execution_time: 0.0,
    }
}

/// Rounded to milliseconds.
fn seconds(time: f64) -> Value {
    json!((time * 1_000.0).round() / 1_000.0)
}

fn file<T: DeserializeOwned>(folder: &Path, name: &str) -> Result<Option<T>, String> {
    match std::fs::read(folder.join(name)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{name}: {error}")),
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| format!("{name}: this is not a dbt file: {error}")),
    }
}
