//! What the documents tell people to type works as it stands.

use crate::support::{Installation, write};

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

/// The lines of a document that call or look.
fn commands(text: &str) -> Vec<&str> {
    let lines = text.lines();
    let commands = lines.filter_map(|line| line.strip_prefix("    pudato "));
    // These serve for ever, or need an id of the reader's.
    commands
        .filter(|line| !line.starts_with("up ") && !line.contains("CORRELATION_ID"))
        .collect()
}

#[test]
fn every_command_in_the_documents_works() {
    let documents = [
        (include_str!("../../../../README.md"), 4),
        (include_str!("../../../../docs/commands.md"), 7),
        (include_str!("../../../../docs/sql.md"), 1),
        (include_str!("../../../../docs/lineage.md"), 7),
        (include_str!("../../../../docs/pipelines.md"), 6),
    ];
    for (document, least) in documents {
        let installation = Installation::new();
        write(installation.folder.path(), "a.csv", "a,b\n1,2\n");
        write(installation.folder.path(), "pipeline.yaml", PIPELINE);
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
