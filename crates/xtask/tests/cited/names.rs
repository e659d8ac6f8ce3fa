//! The names that pages for engineers cite in backticks, and the links in them.

use crate::tree::Tree;

/// Names of other programs and systems, which this repository does not have.
const FOREIGN: [&str; 13] = [
    "//",
    "LocalFileSystem",
    "cargo-deny",
    "info/attributes",
    "kill -9",
    "parquet",
    "raw/",
    "rds.amazonaws.com",
    "sample_size",
    "scan.l",
    "sha256sum",
    "terraform providers lock -fs-mirror=..",
    "ulimit",
];

/// Endings of files that lie in this repository, wherever a page names one.
const OURS: [&str; 8] = [
    ".rs", ".md", ".py", ".tf", ".sql", ".pem", ".lock", ".jsonl",
];

/// What a line cites in backticks.
pub(crate) fn cited(line: &str) -> Vec<&str> {
    // Every second piece is between backticks.
    line.split('`').skip(1).step_by(2).collect()
}

/// The lines of a page that are text and not a block of code, numbered from 1.
pub(crate) fn lines(page: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let numbered = page.lines().enumerate();
    let text = numbered.filter(|(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence && !line.starts_with("    ")
    });
    text.map(|(at, line)| (at + 1, line)).collect()
}

/// Why a page must not cite this, or `None`.
pub(crate) fn wrong(cited: &str, tree: &Tree) -> Option<String> {
    if FOREIGN.contains(&cited) {
        return None;
    }
    if let Some(rest) = cited.strip_prefix("cargo xtask ") {
        return missing_command(cited, rest, "crates/xtask/src/main.rs", tree);
    }
    if let Some(rest) = cited.strip_prefix("pudato ") {
        return missing_command(cited, rest, "crates/cli/src/lib.rs", tree);
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-./:".contains(c);
    // A URL, an absolute path, an option, or the end of a name.
    let is_other = cited.contains("://") || cited.starts_with(['/', '-', '.', '_']);
    // What is built or found is not in the repository.
    let is_made = cited.starts_with("target/") || cited == "fuzz/found";
    let is_other = is_other || is_made || cited.is_empty() || cited.contains("..");
    if is_other || !cited.chars().all(is_name) {
        // A value, a piece of SQL or of JSON: nothing that has a place in this repository.
        return None;
    }
    let is_found = if cited.contains("::") {
        has_item(cited, tree)
    } else if cited.contains('/') {
        has_path(cited, tree)
    } else if OURS.iter().any(|ending| cited.ends_with(ending)) {
        tree.has_file_named(cited)
    } else if ["sns:", "sqs:", "s3:"]
        .iter()
        .any(|of| cited.starts_with(of))
    {
        // An action of AWS's policies.
        true
    } else if cited.contains(['-', '.', ':']) {
        let is_field = cited.contains('.') && cited.split('.').all(|word| tree.has_word(word));
        is_field || tree.says(cited) || tree.is_crate(cited.trim_start_matches("pudato-"))
    } else if is_type(cited) {
        tree.has_type(cited)
    } else {
        tree.has_word(cited) || tree.is_crate(cited) || cited.chars().all(|c| c.is_ascii_digit())
    };
    (!is_found).then(|| format!("`{cited}` does not exist in this repository"))
}

/// Whether this is written as types are.
fn is_type(cited: &str) -> bool {
    let is_upper = cited.starts_with(|c: char| c.is_ascii_uppercase());
    is_upper && cited.contains(|c: char| c.is_ascii_lowercase())
}

/// `pudato trace` and the like: the word after the program is one of its commands.
fn missing_command(cited: &str, rest: &str, file: &str, tree: &Tree) -> Option<String> {
    let word = rest.split_whitespace().next().unwrap_or_default();
    if word.starts_with("--") {
        return None;
    }
    let words: String = word.split('-').map(capitalised).collect();
    let text = tree.text(file).unwrap_or_default();
    // The parser of the command line names its commands by variants, xtask by texts.
    let is_known = text.contains(&format!("\"{word}\"")) || text.contains(&words);
    (!is_known || word.is_empty()).then(|| format!("`{cited}`: {file} has no command {word}"))
}

fn capitalised(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// A path from the root, or `CRATE/module` or `CRATE/test` with or without its ending.
fn has_path(cited: &str, tree: &Tree) -> bool {
    let path = cited.trim_end_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let places = [
        path.to_owned(),
        format!("crates/{path}"),
        format!("crates/{first}/src/{rest}"),
        format!("crates/{first}/tests/{rest}"),
    ];
    places
        .iter()
        .any(|place| tree.has(place) || tree.has(&format!("{place}.rs")))
}

/// `CRATE::module`, `Type::member` or `module::item`.
fn has_item(cited: &str, tree: &Tree) -> bool {
    let parts: Vec<&str> = cited.split("::").collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return false;
    };
    let first = first.trim_start_matches("pudato_");
    let is_module = tree.is_crate(first) && has_path(&parts.join("/"), tree);
    is_module || tree.files_with(first).any(|words| words.contains(*last))
}

/// Why the links of a line are wrong: a file that is not there, or a heading that its page does not have.
pub(crate) fn wrong_links(page: &str, line: &str, tree: &Tree) -> Vec<String> {
    let links = line.split("](").skip(1);
    let targets = links.filter_map(|rest| rest.split(')').next());
    let ours = targets.filter(|target| !target.contains("://"));
    let wrong = ours.filter_map(|target| {
        let (path, heading) = target.split_once('#').unwrap_or((target, ""));
        let path = match path.is_empty() {
            true => page.to_owned(),
            false => join(page, path),
        };
        if !tree.has(&path) {
            return Some(format!("the link to {target}: there is no {path}"));
        }
        let text = tree.text(&path).unwrap_or_default();
        let mut headings = text.lines().filter(|line| line.starts_with('#'));
        let is_there = heading.is_empty() || headings.any(|line| slug(line) == heading);
        (!is_there).then(|| format!("the link to {target}: {path} has no such heading"))
    });
    wrong.collect()
}

/// `path` as seen from the folder of `page`.
fn join(page: &str, path: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A heading as links name it.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
