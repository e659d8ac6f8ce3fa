//! The committed schemas are those of the types, and say what the reader says.
#![cfg(feature = "schema")]

use pudato_protocol::schema;
use serde_json::Value;
use std::fs;

fn path(rest: &str) -> String {
    format!("{}/../../{rest}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    for (name, schema) in schema::all() {
        let path = path(&format!("schemas/{name}.schema.json"));
        let text = format!("{schema:#}\n");
        if std::env::var_os("PUDATO_WRITE_SCHEMAS").is_some() {
            fs::write(&path, &text).expect("written");
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "schemas/{name}.schema.json is not that of the types; PUDATO_WRITE_SCHEMAS=1 cargo xtask test writes it"
        );
    }
}

#[test]
fn every_raw_vector_that_is_read_fits_its_schema() {
    let vectors = fs::read_to_string(path("fixtures/valid.jsonl")).expect("the vectors");
    let mut seen = 0;
    for line in vectors.lines() {
        let line: Value = serde_json::from_str(line).expect("a line");
        if line["form"] != "raw" {
            continue;
        }
        let kind = line["kind"].as_str().expect("a kind");
        let body: Value =
            serde_json::from_str(line["body"].as_str().expect("a body")).expect("JSON");
        assert!(is_valid(kind, &body), "{body}");
        seen += 1;
    }
    assert!(seen > 10);
}

#[test]
fn what_the_reader_refuses_the_schema_refuses() {
    let wrong = [
        ("command", r#"{"action": "a"}"#),
        ("command", r#"{"type": "", "action": "a"}"#),
        (
            "command",
            r#"{"type": "t", "action": "a", "payload": null}"#,
        ),
        ("command", r#"{"type": "t", "action": "a", "metadata": []}"#),
        ("result", r#"{"status": "done", "correlation_id": "r"}"#),
        ("result", r#"{"status": "success"}"#),
        (
            "result",
            r#"{"status": "success", "correlation_id": "r", "duration_ms": -1}"#,
        ),
        (
            "result",
            r#"{"status": "success", "correlation_id": "r", "inputs": [{"ref_type": "file"}]}"#,
        ),
        ("event", r#"{"payload": {}}"#),
    ];
    for (kind, text) in wrong {
        let body: Value = serde_json::from_str(text).expect("JSON");
        assert!(!is_valid(kind, &body), "{kind} {text}");
    }
}

fn is_valid(kind: &str, body: &Value) -> bool {
    let mut schemas = schema::all().into_iter();
    let (_, schema) = schemas.find(|(name, _)| *name == kind).expect("a schema");
    jsonschema::is_valid(&schema, body)
}
