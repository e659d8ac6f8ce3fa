//! What the documents tell people to type works as it stands.

use crate::support::{Installation, write};

/// The lines of a document that call or look, without what is a comment.
fn commands(text: &str) -> Vec<Vec<&str>> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("    pudato "));
    let commands = lines.map(|line| {
        let line = line.split(" # ").next().unwrap_or(line);
        line.split_whitespace().collect::<Vec<_>>()
    });
    // These serve for ever, or need an id of the reader's.
    commands
        .filter(|words| words[0] != "up" && !words.contains(&"CORRELATION_ID"))
        .collect()
}

#[test]
fn every_command_in_the_documents_works() {
    let documents = [
        include_str!("../../../../README.md"),
        include_str!("../../../../docs/commands.md"),
    ];
    for document in documents {
        let installation = Installation::new();
        write(installation.folder.path(), "a.csv", "a,b\n1,2\n");
        let _up = installation.up();
        let commands = commands(document);
        assert!(commands.len() >= 3);
        for command in commands {
            installation.ok(&command);
        }
    }
}
