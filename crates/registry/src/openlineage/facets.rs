//! The facets of an OpenLineage event.

use super::{ExportedResult, job_run_id, source};
use pudato_protocol::{Dataset, Object, canonical};
use serde_json::{Value, json};

/// Builds facets; each names its producer and its schema.
pub(super) struct Facets<'a> {
    pub(super) exported: &'a ExportedResult,
    pub(super) producer: &'a str,
}

/// The dialect of SQL, for engines that report none.
const SQL: &str = "sql";

impl Facets<'_> {
    fn facet(&self, schema: &str, mut fields: Value) -> Value {
        fields["_producer"] = self.producer.into();
        fields["_schemaURL"] = schema.into();
        fields
    }

    fn of_spec(&self, version: &str, name: &str, fields: Value) -> Value {
        let schema =
            format!("https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}");
        self.facet(&schema, fields)
    }

    pub(super) fn run(&self, body: &Object, has_failed: bool) -> Object {
        let exported = self.exported;
        let mut facets = Object::new();
        if let Some(job_id) = &exported.job_id {
            let pipeline = exported.pipeline.as_deref().unwrap_or(job_id);
            let parent = json!({
                "run": {"runId": job_run_id(job_id).to_string()},
                "job": {"namespace": exported.job_namespace(), "name": pipeline},
            });
            facets.insert(
                "parent".into(),
                self.of_spec("1-1-0", "ParentRunFacet", parent),
            );
        }
        let engine = executions(body).find_map(|details| {
            let version = details.get("engine_version")?.as_str()?;
            Some(json!({"name": details.get("dialect")?.as_str()?, "version": version}))
        });
        let engine = engine
            .unwrap_or_else(|| json!({"name": "pudato", "version": env!("CARGO_PKG_VERSION")}));
        facets.insert(
            "processing_engine".into(),
            self.of_spec("1-1-1", "ProcessingEngineRunFacet", engine),
        );
        if has_failed {
            let errors = match body.get("errors") {
                Some(Value::Array(errors)) => {
                    let texts = errors.iter().filter_map(Value::as_str);
                    texts.collect::<Vec<_>>().join("\n")
                }
                _ => body
                    .get("error")
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
            };
            let error = json!({"message": errors, "programmingLanguage": "Rust"});
            facets.insert(
                "errorMessage".into(),
                self.of_spec("1-0-1", "ErrorMessageRunFacet", error),
            );
        }
        // pudato's own ids, from which the ids of OpenLineage are derived.
        let ids = json!({
            "jobId": exported.job_id, "stepId": exported.step_id, "correlationId": exported.correlation_id,
            "run": exported.runs_before + 1,
        });
        facets.insert(
            "pudato_run".into(),
            self.facet("urn:pudato:schema:PudatoRunFacet:1-0-0", ids),
        );
        facets
    }

    pub(super) fn job(&self, body: &Object) -> Object {
        let mut facets = Object::new();
        // dbt runs one statement for each node, and none of them is the job's.
        let is_dbt = body.get("handler").and_then(Value::as_str) == Some("transform");
        let is_sql = !is_dbt && executions(body).any(|details| details.contains_key("query"));
        let (integration, kind) = match (is_dbt, is_sql) {
            (true, _) => ("DBT", "JOB"),
            (false, true) => ("PUDATO", "QUERY"),
            (false, false) => ("PUDATO", "TASK"),
        };
        let kind = json!({
            "processingType": "BATCH", "integration": integration, "jobType": kind,
        });
        facets.insert(
            "jobType".into(),
            self.of_spec("2-0-3", "JobTypeJobFacet", kind),
        );
        let queries: Vec<&str> = executions(body)
            .filter_map(|details| details.get("query")?.as_str())
            .collect();
        if is_sql {
            let dialect = executions(body).find_map(|details| details.get("dialect")?.as_str());
            let sql = json!({"query": queries.join(";\n"), "dialect": dialect.unwrap_or(SQL)});
            facets.insert("sql".into(), self.of_spec("1-1-0", "SQLJobFacet", sql));
        }
        if let Some(location) = source::location(body) {
            facets.insert(
                "sourceCodeLocation".into(),
                self.of_spec("1-1-0", "SourceCodeLocationJobFacet", location),
            );
        }
        let entries = pairs(body);
        if !entries.is_empty() {
            let schema =
                "https://openlineage.io/spec/facets/1-0-0/LineageFacet.json#/$defs/LineageJobFacet";
            facets.insert(
                "lineage".into(),
                self.facet(schema, json!({"entries": entries})),
            );
        }
        facets
    }

    pub(super) fn dataset(&self, metadata: &Object, is_output: bool) -> Object {
        let mut facets = Object::new();
        let text = |name: &str| metadata.get(name).and_then(Value::as_str);
        if let Some(version) = text("version").or_else(|| text("etag")) {
            let version = json!({"datasetVersion": version});
            facets.insert(
                "version".into(),
                self.of_spec("1-0-0", "DatasetVersionDatasetFacet", version),
            );
        }
        let change = match text("operation").filter(|_| is_output) {
            Some("create") => Some("CREATE"),
            Some("alter") => Some("ALTER"),
            Some("truncate") => Some("TRUNCATE"),
            _ => None,
        };
        if let Some(change) = change {
            let change = json!({"lifecycleStateChange": change});
            facets.insert(
                "lifecycleStateChange".into(),
                self.of_spec("1-0-1", "LifecycleStateChangeDatasetFacet", change),
            );
        }
        facets
    }

    pub(super) fn read(&self, metadata: &Object) -> Object {
        self.statistics(
            metadata,
            Some("row_count"),
            "inputStatistics",
            "1-0-0",
            "InputStatisticsInputDatasetFacet",
        )
    }

    /// OpenLineage wants the number of rows written to the dataset. That equals all of its rows only if the step made it from scratch.
    pub(super) fn written(&self, metadata: &Object) -> Object {
        let rows = match metadata.get("operation").and_then(Value::as_str) {
            None | Some("create" | "overwrite" | "replace") => Some("row_count"),
            // Deleting and renaming do not write rows.
            Some("delete" | "truncate" | "alter" | "rename") => None,
            Some(_) => Some("rows_changed"),
        };
        self.statistics(
            metadata,
            rows,
            "outputStatistics",
            "1-0-2",
            "OutputStatisticsOutputDatasetFacet",
        )
    }

    fn statistics(
        &self,
        metadata: &Object,
        rows: Option<&str>,
        key: &str,
        version: &str,
        name: &str,
    ) -> Object {
        let count = |name: &str| metadata.get(name).and_then(Value::as_u64);
        let mut fields = Object::new();
        for (field, count) in [("rowCount", rows.and_then(count)), ("size", count("size"))] {
            if let Some(count) = count {
                fields.insert(field.into(), count.into());
            }
        }
        let mut facets = Object::new();
        if !fields.is_empty() {
            facets.insert(
                key.into(),
                self.of_spec(version, name, Value::Object(fields)),
            );
        }
        facets
    }
}

/// The details of the execution records.
fn executions(body: &Object) -> impl Iterator<Item = &Object> {
    let records = body.get("executions").and_then(Value::as_array);
    let records = records.map(Vec::as_slice).unwrap_or_default();
    records
        .iter()
        .filter_map(|record| record.get("details")?.as_object())
}

/// The action that the Result answers, from the record that the runtime adds.
pub(super) fn action(body: &Object) -> Option<&str> {
    let records = body.get("executions")?.as_array()?;
    let is_command = |record: &&Value| record["execution_type"] == "command";
    records.iter().find(is_command)?["details"]["action"].as_str()
}

/// The inputs of each output, if the Result reports them.
fn pairs(body: &Object) -> Vec<Value> {
    let outputs = body.get("outputs").and_then(Value::as_array);
    let outputs = outputs.map(Vec::as_slice).unwrap_or_default();
    let dataset = |location: &str| {
        let dataset = Dataset::parse(&canonical(location));
        let namespace = if dataset.namespace.is_empty() {
            "pudato".to_owned()
        } else {
            dataset.namespace
        };
        json!({"namespace": namespace, "name": dataset.name, "type": "DATASET"})
    };
    let entry = |output: &Value| {
        let from = output.get("metadata")?.get("from")?.as_array()?;
        let from = from.iter().filter_map(Value::as_str).map(dataset);
        let mut entry = dataset(output.get("location")?.as_str()?);
        entry["inputs"] = from.collect();
        Some(entry)
    };
    outputs.iter().filter_map(entry).collect()
}
