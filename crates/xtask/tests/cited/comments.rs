//! The documents that comments cite.

use crate::tree::Tree;

/// The comment of a line, if it has one: of Rust, and of SQL that stands in Rust.
fn comment(line: &str) -> Option<&str> {
    let at = line.match_indices("//").map(|(at, _)| at);
    // Not the slashes of a URL.
    let mut at = at.filter(|at| !line[..*at].ends_with(':'));
    match at.next() {
        Some(at) => Some(&line[at..]),
        None => line.trim_start().strip_prefix("-- "),
    }
}

/// The documents that a line cites, each with the words in quotes that follow it.
fn documents(line: &str) -> Vec<(&str, Option<&str>)> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices(".md") {
        let (before, after) = (&line[..at], &line[at + 3..]);
        if after.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            continue;
        }
        let is_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        let start = before.trim_end_matches(is_path).len();
        let quoted = after
            .strip_prefix(", \"")
            .and_then(|rest| rest.split('"').next());
        found.push((&line[start..at + 3], quoted));
    }
    found
}

/// Why the comments of a file are wrong; each with its line.
pub(crate) fn wrong(file: &str, text: &str, tree: &Tree) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for (document, quoted) in comment(line).map(documents).unwrap_or_default() {
            let line = at + 1;
            match (tree.text(document), quoted) {
                (None, _) => faults.push(format!(
                    "{file}:{line}: {document} is not in the repository"
                )),
                (Some(page), Some(words)) if !page.contains(words) => {
                    faults.push(format!("{file}:{line}: {document} has no \"{words}\""));
                }
                _ => {}
            }
        }
    }
    faults
}

#[test]
fn a_document_that_is_not_there_is_found_with_its_line() {
    let tree = Tree::read(super::ROOT);
    let text = "fn a() {}\n/// As gone.md says.\nlet b = 1; // docs/security.md, \"nothing so\"\n";
    let faults = wrong("x.rs", text, &tree);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("x.rs:2: gone.md"), "{faults:?}");
    assert!(
        faults[1].starts_with("x.rs:3: docs/security.md has no"),
        "{faults:?}"
    );
    let fine = "let name = \"gone.md\";\n// README.md, and https://example.org/x.html\n";
    assert_eq!(wrong("x.rs", fine, &tree), Vec::<String>::new());
}
