//! The nine actions of the service `registry`.

use pudato_handler::{Handler, dispatch};
use pudato_protocol::{Command, Status, Timestamp};
use pudato_registry::{RegistryHandler, SqliteRegistry};
use serde_json::{Value, json};
use std::sync::Arc;

fn registry() -> RegistryHandler {
    let store = SqliteRegistry::in_memory().expect("memory");
    RegistryHandler::new(Arc::new(store), Timestamp::now)
}

async fn call(registry: &RegistryHandler, action: &str, payload: Value) -> Result<Value, String> {
    let payload = payload.as_object().cloned().expect("an object");
    let command = Command::new("registry", action, payload);
    let handled = dispatch(registry, &command, None, &(), &Timestamp::now).await;
    let result = handled.expect("memory is available").result;
    match result.status {
        Status::Success => Ok(Value::Object(result.data.expect("data"))),
        _ => Err(result.errors.join("; ")),
    }
}

async fn ok(registry: &RegistryHandler, action: &str, payload: Value) -> Value {
    call(registry, action, payload).await.expect("success")
}

#[tokio::test]
async fn there_are_nine_actions() {
    let names: Vec<&str> = registry()
        .actions()
        .iter()
        .map(|action| action.name)
        .collect();
    assert_eq!(names.len(), 9);
}

#[tokio::test]
async fn a_job_is_created_with_the_defaults_of_the_contract_and_found_again() {
    let registry = registry();
    let job = ok(&registry, "create_job", json!({"pipeline": "monthly"})).await;
    let id = job["job_id"].as_str().expect("an id");
    assert!(id.starts_with("job-") && id.len() == 16, "{id}");
    assert_eq!(
        (&job["environment"], &job["namespace"]),
        (&json!("dev"), &json!("dev"))
    );
    assert_eq!(job["status"], "pending");
    let found = ok(&registry, "get_job", json!({"job_id": id})).await;
    assert_eq!(
        (&found["found"], &found["pipeline"]),
        (&json!(true), &json!("monthly"))
    );
    let missing = ok(&registry, "get_job", json!({"job_id": "job-000000000000"})).await;
    assert_eq!(missing, json!({"found": false}));
}

#[tokio::test]
async fn a_job_ends_when_its_expected_steps_have_or_when_somebody_says_so() {
    let registry = registry();
    let create = json!({"pipeline": "p", "job_id": "job-1", "expected_steps": 2});
    ok(&registry, "create_job", create).await;
    for step in ["step-1", "step-2"] {
        let add = json!({"job_id": "job-1", "step_id": step, "step_name": step, "handler_type": "query", "action": "execute_sql"});
        let added = ok(&registry, "add_step", add).await;
        assert_eq!(added["status"], "pending");
    }
    let status = async |registry: &RegistryHandler| {
        ok(registry, "get_job", json!({"job_id": "job-1"})).await["status"].clone()
    };
    assert_eq!(status(&registry).await, "pending");
    ok(
        &registry,
        "update_step",
        json!({"step_id": "step-1", "status": "success", "duration_ms": 5}),
    )
    .await;
    assert_eq!(status(&registry).await, "running");
    let failed = json!({"step_id": "step-2", "status": "failed", "error": "no such table"});
    let step = ok(&registry, "update_step", failed).await;
    assert_eq!(
        (&step["status"], &step["error"]),
        (&json!("failed"), &json!("no such table"))
    );
    assert_eq!(status(&registry).await, "failed");
    ok(
        &registry,
        "update_job",
        json!({"job_id": "job-1", "status": "cancelled"}),
    )
    .await;
    assert_eq!(status(&registry).await, "cancelled");
    let steps = ok(&registry, "get_job_steps", json!({"job_id": "job-1"})).await;
    assert_eq!(steps["count"], 2);
}

#[tokio::test]
async fn an_ended_step_is_not_undone() {
    let registry = registry();
    let add = json!({"job_id": "job-1", "step_id": "step-1", "step_name": "s", "handler_type": "h", "action": "a"});
    ok(&registry, "add_step", add.clone()).await;
    ok(
        &registry,
        "update_step",
        json!({"step_id": "step-1", "status": "success"}),
    )
    .await;
    let step = ok(
        &registry,
        "update_step",
        json!({"step_id": "step-1", "status": "running"}),
    )
    .await;
    assert_eq!(step["status"], "success");
    let again = ok(&registry, "add_step", add).await;
    assert_eq!(again["status"], "success");
}

#[tokio::test]
async fn what_update_step_says_about_data_is_lineage() {
    let registry = registry();
    let add = json!({"job_id": "job-1", "step_id": "step-1", "step_name": "s", "handler_type": "h", "action": "a"});
    ok(&registry, "add_step", add).await;
    let update = json!({"step_id": "step-1", "status": "success",
        "inputs": [{"ref_type": "file", "location": "s3://lake/a.csv", "metadata": {"row_count": 3}}],
        "outputs": [{"ref_type": "table", "location": "duckdb:///w.duckdb#w.main.t"}]});
    let step = ok(&registry, "update_step", update).await;
    assert_eq!(step["inputs"][0]["metadata"]["row_count"], 3);
    let hop = ok(
        &registry,
        "get_lineage",
        json!({"location": "main.t", "direction": "producers"}),
    )
    .await;
    assert_eq!(hop["location"], "duckdb:///w.duckdb#w.main.t");
    assert_eq!(hop["producers"][0]["step_id"], "step-1");
    assert!(hop.get("consumers").is_none());
}

#[tokio::test]
async fn jobs_are_filtered_and_the_newest_comes_first() {
    let registry = registry();
    for (id, environment) in [("job-1", "dev"), ("job-2", "prod"), ("job-3", "prod")] {
        let create =
            json!({"pipeline": "p", "job_id": id, "environment": environment, "dag_run_id": "run"});
        ok(&registry, "create_job", create).await;
    }
    let found = ok(
        &registry,
        "query_jobs",
        json!({"environment": "prod", "dag_run_id": "run"}),
    )
    .await;
    assert_eq!(found["count"], 2);
    assert_eq!(found["jobs"][0]["job_id"], "job-3");
    let found = ok(&registry, "query_jobs", json!({"limit": 1})).await;
    assert_eq!(found["count"], 1);
}

/// Names that others have used for these actions: each does what it says, or is refused by name; none is ignored.
#[tokio::test]
async fn every_name_that_others_used_works_or_is_refused_by_name() {
    let registry = registry();
    let create = json!({"pipeline": "p", "job_id": "job-1", "logic_version": "abc"});
    let job = ok(&registry, "create_job", create).await;
    assert_eq!(job["logic_version"], "abc");
    let step = json!({"job_id": "job-1", "step_id": "step-1", "step_name": "s", "handler_type": "query", "action": "execute_sql"});
    ok(&registry, "add_step", step).await;
    let update = json!({"step_id": "step-1", "status": "success", "started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:05Z"});
    let step = ok(&registry, "update_step", update).await;
    let starts =
        |name: &str, text: &str| step[name].as_str().is_some_and(|at| at.starts_with(text));
    assert!(starts("started_at", "2026-01-01T00:00:00"), "{step}");
    assert!(starts("completed_at", "2026-01-01T00:00:05"), "{step}");
    for (payload, count) in [
        (json!({"created_after": "2020-01-01T00:00:00Z"}), 1),
        (json!({"created_after": "2120-01-01T00:00:00Z"}), 0),
        (json!({"created_before": "2120-01-01T00:00:00+02:00"}), 1),
        (json!({"created_before": "2020-01-01T00:00:00Z"}), 0),
        (json!({"logic_version": "abc"}), 1),
        (json!({"logic_version": "abd"}), 0),
        (json!({"offset": 0}), 1),
        (json!({"offset": 1}), 0),
    ] {
        let found = ok(&registry, "query_jobs", payload.clone()).await;
        assert_eq!(found["count"], count, "{payload}");
    }
    let refused = [
        ("query_jobs", "created_after", json!("yesterday")),
        ("query_jobs", "created_before", json!(1)),
        ("query_jobs", "offset", json!(-1)),
        ("query_jobs", "started_at", json!("2026-01-01T00:00:00Z")),
        ("query_jobs", "completed_at", json!("2026-01-01T00:00:00Z")),
        ("create_job", "created_after", json!("2026-01-01T00:00:00Z")),
        ("create_job", "started_at", json!("2026-01-01T00:00:00Z")),
        ("update_job", "completed_at", json!("2026-01-01T00:00:00Z")),
        ("add_step", "logic_version", json!("abc")),
        ("add_step", "started_at", json!("2026-01-01T00:00:00Z")),
        ("update_step", "logic_version", json!("abc")),
        ("get_job", "logic_version", json!("abc")),
        ("get_job_steps", "offset", json!(1)),
        ("get_lineage", "offset", json!(1)),
        (
            "get_lineage",
            "created_after",
            json!("2026-01-01T00:00:00Z"),
        ),
    ];
    for (action, name, value) in refused {
        let payload = json!({"pipeline": "p", "job_id": "job-1", "step_id": "step-1", "location": "x",
            "step_name": "s", "handler_type": "query", "action": "x"});
        let known = registry.actions().iter().find(|known| known.name == action);
        let known = known.expect("an action").fields.expect("its fields");
        let mut payload = payload.as_object().cloned().expect("an object");
        payload.retain(|name, _| known.contains(&name.as_str()));
        payload.insert(name.into(), value);
        let error = call(&registry, action, Value::Object(payload)).await;
        let error = error.expect_err("refused");
        assert!(
            error.starts_with(&format!("payload.{name}: ")),
            "{action}: {error}"
        );
        assert!(error.contains("expected"), "{action}: {error}");
    }
}

#[tokio::test]
async fn every_wrong_field_is_named_with_what_was_expected() {
    let registry = registry();
    let wrong = [
        ("create_job", json!({}), "payload.pipeline: required"),
        (
            "create_job",
            json!({"pipeline": ""}),
            "payload.pipeline: expected a text",
        ),
        (
            "create_job",
            json!({"pipeline": "p", "parameters": []}),
            "payload.parameters: expected an object",
        ),
        (
            "create_job",
            json!({"pipeline": "p", "expected_steps": -1}),
            "payload.expected_steps: expected a whole number",
        ),
        (
            "update_job",
            json!({"job_id": "job-x", "status": "done"}),
            "payload.status: expected one of pending",
        ),
        (
            "add_step",
            json!({"job_id": "job-1"}),
            "payload.step_name: required",
        ),
        (
            "update_step",
            json!({"step_id": "none"}),
            "payload.step_id: there is no step",
        ),
        (
            "update_step",
            json!({"step_id": "s", "inputs": [{"location": "x"}]}),
            "payload.inputs[0].ref_type: required",
        ),
        (
            "update_step",
            json!({"step_id": "s", "started_at": "yesterday"}),
            "payload.started_at: expected an RFC 3339",
        ),
        (
            "query_jobs",
            json!({"limit": "5"}),
            "payload.limit: expected a whole number 1..1000",
        ),
        (
            "query_jobs",
            json!({"limit": true}),
            "payload.limit: expected a whole number 1..1000",
        ),
        ("get_lineage", json!({}), "payload.location: required"),
        (
            "get_lineage",
            json!({"location": "x", "depth": 0}),
            "payload.depth: expected a whole number 1..100",
        ),
        (
            "get_lineage",
            json!({"location": "x", "runs": "some"}),
            "payload.runs: expected one of latest, all",
        ),
        (
            "get_lineage",
            json!({"location": "a\0b"}),
            "payload.location: \"a\\0b\": a NUL is not allowed",
        ),
        (
            "drop_everything",
            json!({}),
            "action: expected one of create_job",
        ),
    ];
    for (action, payload, expected) in wrong {
        let error = call(&registry, action, payload.clone())
            .await
            .expect_err("refused");
        assert!(error.contains(expected), "{action} {payload}: {error}");
    }
}
