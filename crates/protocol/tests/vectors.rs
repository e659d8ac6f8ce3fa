//! Every line of the vectors, which an independent implementation made, is read as docs/design/messages.md says.

use pudato_protocol::{Command, Event, Message, Result, decode};
use serde_json::Value;
use std::fs::read_to_string;

fn lines(name: &str) -> Vec<Value> {
    let path = format!("{}/../../fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = read_to_string(path).expect("the vectors are in fixtures/");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is JSON"))
        .collect()
}

fn round<M: Message + serde::Serialize>(body: &str) -> std::result::Result<Value, String> {
    let encode = |message: &M| serde_json::to_value(message).expect("a message can be written");
    let message: M = decode(body.as_bytes()).map_err(|error| error.to_string())?;
    let written = encode(&message);
    let again: M = decode(written.to_string().as_bytes()).expect("what was written can be read");
    assert_eq!(encode(&again), written);
    Ok(written)
}

fn read(line: &Value) -> std::result::Result<Value, String> {
    let body = line["body"].as_str().expect("a body");
    match line["kind"].as_str().expect("a kind") {
        "command" => round::<Command>(body),
        "result" => round::<Result>(body),
        "event" => round::<Event>(body),
        other => panic!("unknown kind {other}"),
    }
}

#[test]
fn every_valid_vector_reads_as_expected() {
    let lines = lines("valid.jsonl");
    assert!(!lines.is_empty());
    for line in lines {
        let written = read(&line).unwrap_or_else(|error| panic!("{error}\n{line}"));
        if let Some(expect) = line.get("expect") {
            assert_eq!(&written, expect);
        } else {
            let subset = line["expect_subset"].as_object().expect("an expectation");
            for (key, value) in subset {
                assert_eq!(&written[key], value, "{key}");
            }
        }
    }
}

#[test]
fn every_invalid_vector_is_refused_with_the_field_named() {
    let lines = lines("invalid.jsonl");
    assert!(!lines.is_empty());
    for line in lines {
        let error = read(&line).expect_err(&format!("must be refused: {line}"));
        let (field, reason) = error.split_once(": ").expect("field: reason");
        assert!(!field.is_empty() && !reason.is_empty(), "{error}");
    }
}

#[test]
fn a_duplicate_key_is_refused_at_every_depth() {
    let body = r#"{"type":"storage","action":"a","payload":{"x":[{"k":1,"k":2}]}}"#;
    let error = decode::<Command>(body.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("duplicate key \"k\""), "{error}");
}
