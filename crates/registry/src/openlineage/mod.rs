//! Results as OpenLineage RunEvents (specification 2-0-2), for Marquez, DataHub and other consumers.
//!
//! Each run of a step becomes an OpenLineage run: `START` with its first Result, `RUNNING` with a pending one, `COMPLETE` or `FAIL` with
//! the one that ends it. A step that runs again, because its Command was sent again, is a new run with its own id. The versions of the
//! facets are those of the schemas in `schemas/openlineage`.

mod facets;
mod source;

use crate::fold::StepStatus;
use facets::Facets;
use pudato_protocol::{Dataset, Object, Timestamp, canonical};
use serde_json::{Value, json};
use uuid::Uuid;

const SCHEMA_URL: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// The UUID namespace of run ids. A step has the same run id whoever exports it.
const RUNS: Uuid = Uuid::from_u128(0x9f27_6d1c_5f0a_4e0b_9a54_4d1f_3f6d_9a01);

/// A Result with everything that its export needs.
#[derive(Debug, Clone, Default)]
pub struct ExportedResult {
    /// The row of the Result, which grows with each recorded Result.
    pub row: i64,
    /// The JSON as published, or the stored form of an update.
    pub body: String,
    /// The status that the Result reports.
    pub status: String,
    /// The timestamp, in microseconds since the Unix epoch.
    pub at_us: i64,
    /// The Command's correlation id; empty for an update.
    pub correlation_id: String,
    /// The id of the step.
    pub step_id: Option<String>,
    /// The name of the step, if it has one.
    pub step_name: Option<String>,
    /// The service.
    pub handler: Option<String>,
    /// The action.
    pub action: Option<String>,
    /// The id of the job.
    pub job_id: Option<String>,
    /// The pipeline of the job.
    pub pipeline: Option<String>,
    /// The environment of the job.
    pub environment: Option<String>,
    /// The namespace of the job.
    pub namespace: Option<String>,
    /// The number of runs of the step that ended before this Result.
    pub runs_before: i64,
    /// The status in the previous Result of the step, if there was one.
    pub status_before: Option<String>,
}

impl ExportedResult {
    fn is_first_of_its_run(&self) -> bool {
        let before = self.status_before.as_deref().and_then(StepStatus::parse);
        before.is_none_or(StepStatus::is_terminal)
    }

    /// The id of the run: that of the step, or of the request if there is no step.
    fn run_id(&self) -> Uuid {
        let name = match &self.step_id {
            Some(step) if self.runs_before == 0 => format!("step/{step}"),
            Some(step) => format!("step/{step}/{}", self.runs_before + 1),
            None => format!("request/{}", self.correlation_id),
        };
        Uuid::new_v5(&RUNS, name.as_bytes())
    }

    /// `pudato/{environment}/{namespace}`, or `pudato` if nobody created the job.
    fn job_namespace(&self) -> String {
        match (&self.environment, &self.namespace) {
            (Some(environment), Some(namespace)) => format!("pudato/{environment}/{namespace}"),
            _ => "pudato".into(),
        }
    }

    /// `{pipeline}.{step}`: each step is a separate job. A step without a name uses its id, a job without a pipeline uses its own
    /// id, and a step without a job uses its service. A request without a step uses its service and action.
    fn job_name(&self, body: &Object) -> String {
        let handler = body.get("handler").and_then(Value::as_str);
        let handler = self.handler.as_deref().or(handler);
        let pipeline = self.pipeline.as_deref().or(self.job_id.as_deref());
        let step = self.step_name.as_deref().or(self.step_id.as_deref());
        let parts = [
            pipeline.or(handler),
            step.or(self.action.as_deref())
                .or_else(|| facets::action(body)),
        ];
        let name: Vec<&str> = parts.into_iter().flatten().collect();
        if name.is_empty() {
            "unknown".into()
        } else {
            name.join(".")
        }
    }
}

/// The events of one Result, in order. `producer` is the URI of the program that exports them.
pub fn run_events(exported: &ExportedResult, producer: &str) -> Vec<Value> {
    let Ok(Value::Object(body)) = serde_json::from_str(&exported.body) else {
        return Vec::new();
    };
    let facets = Facets { exported, producer };
    let event_type = match StepStatus::parse(&exported.status) {
        Some(StepStatus::Running) => "RUNNING",
        Some(StepStatus::Success) => "COMPLETE",
        Some(StepStatus::Failed) => "FAIL",
        Some(StepStatus::Skipped) => "ABORT",
        Some(StepStatus::Pending) | None => "OTHER",
    };
    let duration_ms = body.get("duration_ms").and_then(Value::as_i64).unwrap_or(0);
    let started_us = exported
        .at_us
        .saturating_sub(duration_ms.saturating_mul(1_000));
    let mut events = Vec::new();
    if exported.is_first_of_its_run() && event_type != "OTHER" {
        let run = facets.run(&body, false);
        events.push(event(
            &facets,
            "START",
            started_us,
            run,
            &body,
            [Vec::new(), Vec::new()],
        ));
    }
    let run = facets.run(&body, event_type == "FAIL");
    let datasets = [
        datasets(&facets, &body, "inputs"),
        datasets(&facets, &body, "outputs"),
    ];
    events.push(event(
        &facets,
        event_type,
        exported.at_us,
        run,
        &body,
        datasets,
    ));
    events
}

fn event(
    facets: &Facets<'_>,
    event_type: &str,
    at_us: i64,
    run: Object,
    body: &Object,
    [inputs, outputs]: [Vec<Value>; 2],
) -> Value {
    let exported = facets.exported;
    json!({
        "eventType": event_type,
        "eventTime": Timestamp::from_unix_us(at_us).as_str(),
        "producer": facets.producer,
        "schemaURL": SCHEMA_URL,
        "run": {"runId": exported.run_id().to_string(), "facets": run},
        "job": {"namespace": exported.job_namespace(), "name": exported.job_name(body), "facets": facets.job(body)},
        "inputs": inputs,
        "outputs": outputs,
    })
}

/// The inputs or outputs, each dataset once.
fn datasets(facets: &Facets<'_>, body: &Object, field: &str) -> Vec<Value> {
    let Some(Value::Array(references)) = body.get(field) else {
        return Vec::new();
    };
    let mut seen = std::collections::HashSet::new();
    let mut datasets = Vec::new();
    for reference in references {
        let Some(location) = reference.get("location").and_then(Value::as_str) else {
            continue;
        };
        let location = canonical(location);
        if !seen.insert(location.clone()) {
            continue;
        }
        let dataset = Dataset::parse(&location);
        let mut value = Object::new();
        // A name without a namespace is known to this program only.
        let namespace = if dataset.namespace.is_empty() {
            "pudato"
        } else {
            &dataset.namespace
        };
        value.insert("namespace".into(), namespace.into());
        value.insert("name".into(), dataset.name.into());
        let metadata = reference.get("metadata").and_then(Value::as_object);
        let empty = Object::new();
        let metadata = metadata.unwrap_or(&empty);
        value.insert(
            "facets".into(),
            facets.dataset(metadata, field == "outputs").into(),
        );
        if field == "inputs" {
            value.insert("inputFacets".into(), facets.read(metadata).into());
        } else {
            value.insert("outputFacets".into(), facets.written(metadata).into());
        }
        datasets.push(Value::Object(value));
    }
    datasets
}

/// The run id of the job, which is the parent of the step's run.
fn job_run_id(job_id: &str) -> Uuid {
    Uuid::new_v5(&RUNS, format!("job/{job_id}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported_result(status: &str, body: Value) -> ExportedResult {
        ExportedResult {
            body: body.to_string(),
            status: status.into(),
            at_us: 1_795_392_010_000_000,
            step_id: Some("step-1".into()),
            step_name: Some("stage".into()),
            job_id: Some("job-1".into()),
            pipeline: Some("birds".into()),
            environment: Some("dev".into()),
            namespace: Some("team".into()),
            handler: Some("query".into()),
            ..ExportedResult::default()
        }
    }

    fn kinds(events: &[Value]) -> Vec<&str> {
        events
            .iter()
            .filter_map(|event| event["eventType"].as_str())
            .collect()
    }

    #[test]
    fn a_result_is_a_run_that_began_and_ended() {
        let body = json!({"duration_ms": 1_500, "inputs": [], "outputs": []});
        let events = run_events(&exported_result("success", body), "urn:test");
        assert_eq!(kinds(&events), ["START", "COMPLETE"]);
        assert_eq!(events[0]["eventTime"], "2026-11-23T00:00:08.500000+00:00");
        assert_eq!(events[1]["eventTime"], "2026-11-23T00:00:10.000000+00:00");
        assert_eq!(events[0]["run"]["runId"], events[1]["run"]["runId"]);
        assert_eq!(events[1]["job"]["name"], "birds.stage");
        assert_eq!(events[1]["job"]["namespace"], "pudato/dev/team");
        let parent = &events[1]["run"]["facets"]["parent"];
        assert_eq!(parent["job"]["name"], "birds");
    }

    #[test]
    fn each_run_starts_once_and_a_second_run_is_another() {
        let pending = exported_result("running", json!({}));
        assert_eq!(
            kinds(&run_events(&pending, "urn:test")),
            ["START", "RUNNING"]
        );
        let mut ended = exported_result("failed", json!({"errors": ["no"]}));
        ended.status_before = Some("running".into());
        let events = run_events(&ended, "urn:test");
        assert_eq!(kinds(&events), ["FAIL"]);
        assert_eq!(events[0]["run"]["facets"]["errorMessage"]["message"], "no");
        let mut again = exported_result("success", json!({}));
        (again.status_before, again.runs_before) = (Some("failed".into()), 1);
        let again = run_events(&again, "urn:test");
        assert_eq!(kinds(&again), ["START", "COMPLETE"]);
        assert_ne!(again[0]["run"]["runId"], events[0]["run"]["runId"]);
    }

    #[test]
    fn datasets_have_their_names_counts_and_pairs() {
        let body = json!({
            "inputs": [{"location": "s3://lake/raw/a.csv", "metadata": {"row_count": 3, "etag": "e1"}}],
            "outputs": [{"location": "duckdb:///w#w.main.t",
                "metadata": {"row_count": 2, "operation": "create", "from": ["s3://lake/raw/a.csv"]}}],
        });
        let events = run_events(&exported_result("success", body), "urn:test");
        let (input, output) = (&events[1]["inputs"][0], &events[1]["outputs"][0]);
        assert_eq!(
            (&input["namespace"], &input["name"]),
            (&json!("s3://lake"), &json!("raw/a.csv"))
        );
        assert_eq!(input["inputFacets"]["inputStatistics"]["rowCount"], 3);
        assert_eq!(input["facets"]["version"]["datasetVersion"], "e1");
        assert_eq!(output["outputFacets"]["outputStatistics"]["rowCount"], 2);
        let entry = &events[1]["job"]["facets"]["lineage"]["entries"][0];
        assert_eq!(entry["name"], "w.main.t");
        assert_eq!(entry["inputs"][0]["name"], "raw/a.csv");
    }

    #[test]
    fn each_step_is_a_job_of_its_own_whoever_named_it() {
        let body = json!({"handler": "query", "executions": [
            {"execution_type": "sql", "details": {"query": "SELECT 1"}},
            {"execution_type": "command", "details": {"type": "query", "action": "execute_sql"}},
        ]});
        let name = |change: fn(&mut ExportedResult)| {
            let mut exported = exported_result("success", body.clone());
            exported.action = Some("execute_sql".into());
            change(&mut exported);
            run_events(&exported, "urn:test")[1]["job"]["name"].clone()
        };
        assert_eq!(name(|_| {}), "birds.stage");
        assert_eq!(name(|exported| exported.step_name = None), "birds.step-1");
        assert_eq!(
            name(|exported| (exported.step_name, exported.pipeline) = (None, None)),
            "job-1.step-1"
        );
        let alone = |exported: &mut ExportedResult| {
            (exported.step_name, exported.pipeline, exported.job_id) = (None, None, None);
        };
        assert_eq!(name(alone), "query.step-1");
        // A request without a step: the registry knows only what the Result reports.
        assert_eq!(
            name(|exported| {
                *exported = ExportedResult {
                    body: std::mem::take(&mut exported.body),
                    status: "success".into(),
                    ..ExportedResult::default()
                };
            }),
            "query.execute_sql"
        );
    }

    #[test]
    fn rows_written_are_all_rows_only_where_a_dataset_was_made_anew() {
        for (metadata, written) in [
            (json!({"row_count": 60_000}), Some(60_000)),
            (
                json!({"row_count": 60_000, "operation": "create"}),
                Some(60_000),
            ),
            (
                json!({"row_count": 60_000, "rows_changed": 1, "operation": "update"}),
                Some(1),
            ),
            (
                json!({"row_count": 60_005, "rows_changed": 5, "operation": "insert"}),
                Some(5),
            ),
            (json!({"row_count": 60_005, "operation": "merge"}), None),
            (
                json!({"row_count": 7, "rows_changed": 3, "operation": "delete"}),
                None,
            ),
            (
                json!({"row_count": 0, "rows_changed": 7, "operation": "truncate"}),
                None,
            ),
            (json!({"row_count": 7, "operation": "replace"}), Some(7)),
        ] {
            let body =
                json!({"outputs": [{"location": "duckdb:///w#w.main.t", "metadata": metadata}]});
            let events = run_events(&exported_result("success", body), "urn:test");
            let count = &events[1]["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"];
            assert_eq!(count.as_u64(), written, "{metadata}");
        }
    }
}
