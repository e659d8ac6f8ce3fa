//! What the documents and the comments cite exists: the tests of docs/security.md, the names in ARCHITECTURE.md, docs/design and
//! a few other pages, and the documents that comments name.

#[path = "cited/comments.rs"]
mod comments;
#[path = "cited/names.rs"]
mod names;
#[path = "cited/tree.rs"]
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tree::Tree;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Pages beside docs/design whose names and links are checked.
const PAGES: [&str; 4] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/registry-schema.md",
];

/// The lines of its tables; each with what it cites.
fn lines(document: &str) -> Vec<(usize, Vec<&str>)> {
    let mut lines = Vec::new();
    for (number, line) in document.lines().enumerate() {
        let is_head = line.starts_with("| tries |") || line.starts_with("|---");
        if !line.starts_with('|') || is_head {
            continue;
        }
        let held_by = line.trim_end_matches(['|', ' ']).rsplit(" | ").next();
        let cited = held_by.unwrap_or_default().split('`');
        // Every second piece stands between backticks.
        lines.push((number + 1, cited.skip(1).step_by(2).collect()));
    }
    lines
}

/// Why a text names no test: its file, its function, or the attribute that makes it one is missing.
fn wrong(cited: &str, files: &mut BTreeMap<String, String>) -> Option<String> {
    let Some((file, name)) = cited.split_once("::") else {
        return Some(format!(
            "`{cited}` is no test: expected `FILE::FUNCTION` of one that holds the line"
        ));
    };
    if !files.contains_key(file) {
        let Ok(text) = fs::read_to_string(Path::new(ROOT).join(file)) else {
            return Some(format!("`{cited}`: there is no file {file}"));
        };
        files.insert(file.to_owned(), text);
    }
    let text = &files[file];
    (!is_test(text, name) && !is_promise(text, name))
        .then(|| format!("`{cited}`: there is no test {name} in {file}"))
}

/// Whether a function of this name has the attribute of a test.
fn is_test(text: &str, name: &str) -> bool {
    let Some(at) = text.find(&format!("fn {name}(")) else {
        return false;
    };
    // Attributes stand in the lines directly above.
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let above = text[..line].lines().rev();
    let mut attributes = above.take_while(|line| {
        let line = line.trim();
        line.starts_with("#[") || line.starts_with("//")
    });
    attributes.any(|line| {
        let line = line.trim();
        line.starts_with("#[test]") || line.starts_with("#[tokio::test")
    })
}

/// Whether a macro that makes tests out of a list of names has this one.
fn is_promise(text: &str, name: &str) -> bool {
    let lists = |of: &'static str| text.split(of).skip(1);
    let mut lists = lists("promises! {").chain(lists("tests! {"));
    lists.any(|list| {
        let names = list.split('}').next().unwrap_or_default();
        let mut words = names.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.any(|promise| promise == name)
    })
}

#[test]
fn every_line_of_the_threats_names_a_test_that_exists() {
    let document = fs::read_to_string(Path::new(ROOT).join("docs/security.md")).expect("a text");
    let lines = lines(&document);
    assert!(lines.len() > 30, "{} lines", lines.len());
    let (mut files, mut faults) = (BTreeMap::new(), Vec::new());
    for (number, cited) in lines {
        if cited.is_empty() {
            faults.push(format!("line {number}: no test holds it"));
        }
        let found = cited.iter().filter_map(|cited| wrong(cited, &mut files));
        faults.extend(found.map(|why| format!("line {number}: {why}")));
    }
    assert!(
        faults.is_empty(),
        "docs/security.md:\n{}",
        faults.join("\n")
    );
}

#[test]
fn a_name_that_is_no_test_is_found() {
    let text = "#[test]\nfn held() {}\n\nfn helper() {}\n\n#[tokio::test(flavor = \"multi_thread\")]\n#[ignore]\nasync fn waits() {}\npromises! { file:\n    promised\n}\ntests! {\n    listed,\n}\n";
    assert!(is_test(text, "held") && is_test(text, "waits"));
    assert!(!is_test(text, "helper") && !is_test(text, "gone"));
    assert!(is_promise(text, "promised") && !is_promise(text, "prom"));
    assert!(is_promise(text, "listed") && !is_promise(text, "held"));
    let mut files = BTreeMap::new();
    assert!(wrong("TODO(lead)", &mut files).is_some());
    assert!(wrong("crates/gone.rs::x", &mut files).is_some());
    let this = "crates/xtask/tests/cited.rs::a_name_that_is_no_test_is_found";
    assert_eq!(wrong(this, &mut files), None);
    let cited = lines("| tries | held by |\n|---|---|\n| a `b` | `c::d`, `e::f` |\n");
    assert_eq!(cited, [(3, vec!["c::d", "e::f"])]);
}

#[test]
fn every_name_that_a_page_for_engineers_cites_exists() {
    let tree = Tree::read(ROOT);
    let mut pages = tree.below("docs/design/", ".md");
    assert!(pages.len() > 10, "{} pages", pages.len());
    for page in PAGES {
        pages.push((page, tree.text(page).expect("a text")));
    }
    let mut faults = Vec::new();
    for (page, text) in pages {
        for (number, line) in names::lines(text) {
            let cited = names::cited(line);
            let wrong = cited.iter().filter_map(|cited| names::wrong(cited, &tree));
            let all = wrong.chain(names::wrong_links(page, line, &tree));
            faults.extend(all.map(|why| format!("{page}:{number}: {why}")));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn a_name_that_does_not_exist_is_found() {
    let tree = Tree::read(ROOT);
    for there in [
        "crates/xtask/tests/cited.rs",
        "messaging/local/turn.rs",
        "messaging/local",
        "registry/stores/order",
        "cited.rs",
        "Consumer",
        "Deleted::Unknown",
        "messaging::local",
        "PUDATO_DATA_DIR",
        "cargo xtask bench aws",
        "pudato trace",
        "SELECT 1",
    ] {
        assert_eq!(names::wrong(there, &tree), None);
    }
    for gone in [
        "messaging/local/turned.rs",
        "turned.rs",
        "ConsumerOfNothing",
        "Deleted::Sometimes",
        "messaging::locally",
        "PUDATO_NOT_THERE",
        "cargo xtask sing",
        "pudato sing",
    ] {
        assert!(names::wrong(gone, &tree).is_some(), "{gone}");
    }
    let links = "[a](../security.md), [b](#no-such), [c](gone.md), [d](https://example.org)";
    let wrong = names::wrong_links("docs/design/README.md", links, &tree);
    assert_eq!(wrong.len(), 2, "{wrong:?}");
    let text = "a `b`\n```\n`c`\n```\n    `d`\n`e` f `g`\n";
    let lines = names::lines(text);
    assert_eq!(lines, [(1, "a `b`"), (6, "`e` f `g`")]);
    assert_eq!(names::cited(lines[1].1), ["e", "g"]);
}

#[test]
fn no_comment_cites_a_document_that_is_not_in_the_repository() {
    let tree = Tree::read(ROOT);
    let mut faults = Vec::new();
    for folder in ["crates/", "benches/", "examples/", "fuzz/"] {
        for (file, text) in tree.below(folder, ".rs") {
            // Its test has comments that are wrong.
            if file == "crates/xtask/tests/cited/comments.rs" {
                continue;
            }
            faults.extend(comments::wrong(file, text, &tree));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}
