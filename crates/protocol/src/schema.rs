//! The JSON Schema (2020-12) of the messages, generated from their types.

use crate::{Command, Event, Result, Timestamp};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::borrow::Cow;

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

/// The version of the schemas; it changes when a message does.
const VERSION: &str = "1-0-0";

/// Name and schema of each message.
pub fn all() -> [(&'static str, Value); 3] {
    let objects = json!({"payload": {}, "metadata": {}});
    [
        (
            "command",
            schema::<Command>("command", &["type", "action"], objects, &["type", "action"]),
        ),
        (
            "result",
            schema::<Result>(
                "result",
                &["status", "correlation_id"],
                json!({"errors": [], "duration_ms": 0, "inputs": [], "outputs": [], "executions": []}),
                &[],
            ),
        ),
        (
            "event",
            schema::<Event>("event", &["type"], json!({"payload": {}}), &["type"]),
        ),
    ]
}

/// The types tell what a field is; what may be left out, and what it is then, is in docs/design/messages.md, "Fields".
fn schema<T: JsonSchema>(
    name: &str,
    required: &[&str],
    defaults: Value,
    not_empty: &[&str],
) -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<T>().to_value();
    schema["$id"] = format!("urn:pudato:schema:{name}:{VERSION}").into();
    schema["required"] = json!(required);
    if let Value::Object(defaults) = defaults {
        for (field, default) in defaults {
            schema["properties"][&field]["default"] = default;
        }
    }
    for field in not_empty {
        schema["properties"][*field]["minLength"] = 1.into();
    }
    let parts = [
        ("DataReference", json!(["ref_type", "location"])),
        ("ExecutionRecord", json!(["execution_type"])),
    ];
    for (part, required) in parts {
        if !schema["$defs"][part].is_null() {
            schema["$defs"][part]["required"] = required;
        }
    }
    schema
}
