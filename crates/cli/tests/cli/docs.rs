//! The commands and messages in the documents work as they are printed.

use crate::support::{Installation, write};
use pudato_runtime::protocol::{Command, Event, Result as Reply, decode, encode};
use serde_json::Value;

const MESSAGES: &str = include_str!("../../../../docs/messages.md");

const PIPELINE: &str = "
name: birdstrikes
steps:
  - name: ingest
    type: storage
    action: put_object
    payload: {container: lake, path: raw/a.csv, data: {file: a.csv}}
  - name: stage
    needs: [ingest]
    type: query
    action: execute_script
    payload: {sql: CREATE OR REPLACE TABLE staged AS FROM a, sources: {a: {container: lake, path: raw/a.csv}}}
";

/// The lines of a document that run a command.
fn commands(text: &str) -> Vec<&str> {
    let lines = text.lines();
    let commands = lines.filter_map(|line| line.strip_prefix("    pudato "));
    // These commands serve until they are stopped, or need an id of the reader.
    let serves = |line: &str| {
        let verb = line.split_whitespace().next();
        verb.is_some_and(|verb| ["up", "runner", "results"].contains(&verb))
    };
    commands
        .filter(|line| !serves(line) && !line.contains("CORRELATION_ID"))
        .collect()
}

/// The messages in a document, each with the title of its section.
fn messages(text: &str) -> Vec<(&str, Value)> {
    let mut messages = Vec::new();
    for section in text.split("\n## ") {
        let title = section.lines().next().unwrap_or_default();
        let fenced = section.split("```").skip(1).step_by(2);
        let json = fenced.filter_map(|fenced| fenced.strip_prefix("json\n"));
        messages.extend(json.map(|json| (title, serde_json::from_str(json).expect("JSON"))));
    }
    messages
}

#[test]
fn every_message_in_the_documents_is_read_and_written_with_the_same_values() {
    let messages = messages(MESSAGES);
    assert!(messages.len() >= 5, "{messages:?}");
    for (title, shown) in messages {
        let body = shown.to_string();
        let body = body.as_bytes();
        let written = match title {
            "Command" => decode::<Command>(body).map(|message| encode(&message)),
            "Result" => decode::<Reply>(body).map(|message| encode(&message)),
            "Event" => decode::<Event>(body).map(|message| encode(&message)),
            other => panic!("{other}: expected Command, Result or Event"),
        };
        let written = written.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let written: Value = serde_json::from_str(&written).expect("JSON");
        for (name, value) in shown.as_object().expect("an object") {
            assert_eq!(&written[name], value, "{title}: {name}");
        }
    }
}

#[test]
fn every_command_in_the_documents_works() {
    let documents = [
        (include_str!("../../../../README.md"), 7),
        (include_str!("../../../../docs/commands.md"), 7),
        (include_str!("../../../../docs/sql.md"), 1),
        (include_str!("../../../../docs/lineage.md"), 7),
        (include_str!("../../../../docs/pipelines.md"), 6),
        (include_str!("../../../../docs/concepts.md"), 8),
        (MESSAGES, 8),
    ];
    let (_, command) = &messages(MESSAGES)[0];
    for (document, least) in documents {
        let installation = Installation::new();
        write(installation.folder.path(), "a.csv", "a,b\n1,2\n");
        write(installation.folder.path(), "pipeline.yaml", PIPELINE);
        write(
            installation.folder.path(),
            "commands.jsonl",
            &command.to_string(),
        );
        let _up = installation.up();
        let put = [
            "call",
            "storage",
            "put_object",
            "container=lake",
            "path=raw/a.csv",
            "data=@a.csv",
            "--step",
            "step-0",
        ];
        installation.ok(&put);
        let commands = commands(document);
        assert!(commands.len() >= least, "{commands:?}");
        let mut job = String::from("job-1");
        for command in commands {
            let command = command.replace("JOB", &job);
            let output = installation.shell(&format!("\"$0\" {command}")).output();
            let output = output.expect("a shell runs");
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command}: {error}");
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            let is_job = |word: &&str| word.starts_with("job-") && command.starts_with("run");
            if let Some(word) = printed.split_whitespace().next().filter(is_job) {
                job = word.to_owned();
            }
        }
    }
}
