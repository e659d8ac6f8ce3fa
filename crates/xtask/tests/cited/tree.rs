//! The files of the repository, and the words of its source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Endings of files whose words are names that a page may cite.
const SOURCES: [&str; 9] = ["rs", "sql", "tf", "toml", "py", "json", "sh", "yml", "yaml"];
/// Folders that hold source, beside the crates.
const PLACES: [&str; 8] = [
    "crates",
    "benches",
    "examples",
    "fuzz",
    "terraform",
    "schemas",
    "fixtures",
    ".ci",
];

/// A repository.
pub(crate) struct Tree {
    /// Paths of files and folders from the root.
    paths: BTreeSet<String>,
    /// The texts of files that have one.
    texts: BTreeMap<String, String>,
    /// The words of source files, without those of comments in Rust.
    words: BTreeMap<String, BTreeSet<String>>,
}

impl Tree {
    /// Reads the repository at `root`.
    pub(crate) fn read(root: &str) -> Self {
        let mut tree = Self {
            paths: BTreeSet::new(),
            texts: BTreeMap::new(),
            words: BTreeMap::new(),
        };
        tree.walk(Path::new(root), "");
        tree
    }

    fn walk(&mut self, root: &Path, folder: &str) {
        for entry in fs::read_dir(root.join(folder)).into_iter().flatten() {
            let entry = entry.expect("an entry");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = match folder.is_empty() {
                true => name.clone(),
                false => format!("{folder}/{name}"),
            };
            // What is built, fetched or found is no part of the repository.
            let is_foreign = name == "target" || name == ".git" || name == ".venv";
            if is_foreign || path == "fuzz/corpus" || path == "fuzz/found" {
                continue;
            }
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                self.walk(root, &path);
            } else if kind.is_file()
                && let Ok(text) = fs::read_to_string(entry.path())
            {
                self.learn(&path, text);
            }
            self.paths.insert(path);
        }
    }

    fn learn(&mut self, path: &str, text: String) {
        let ending = path.rsplit('.').next().unwrap_or_default();
        let place = path.split('/').next().unwrap_or_default();
        let is_root = !path.contains('/');
        // The tests of this module name what does not exist.
        let is_own = path.starts_with("crates/xtask/tests/cited");
        if SOURCES.contains(&ending) && (is_root || PLACES.contains(&place)) && !is_own {
            let mut words = BTreeSet::new();
            for line in text.lines() {
                let code = match ending {
                    "rs" => line.split("// ").next().unwrap_or_default(),
                    _ => line,
                };
                let code = if code.trim_start().starts_with("//") {
                    ""
                } else {
                    code
                };
                let found = code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                words.extend(found.filter(|word| !word.is_empty()).map(str::to_owned));
            }
            self.words.insert(path.to_owned(), words);
        }
        self.texts.insert(path.to_owned(), text);
    }

    /// Whether there is a file or a folder at `path`.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Whether some file has this name.
    pub(crate) fn has_file_named(&self, name: &str) -> bool {
        let mut names = self.paths.iter().filter_map(|path| path.rsplit('/').next());
        names.any(|other| other == name)
    }

    /// Whether this is a folder of `crates`.
    pub(crate) fn is_crate(&self, name: &str) -> bool {
        self.has(&format!("crates/{name}/Cargo.toml"))
    }

    /// Whether the source has this word outside of comments.
    pub(crate) fn has_word(&self, word: &str) -> bool {
        self.words.values().any(|words| words.contains(word))
    }

    /// Whether the source has a type or a variant of this name, or names a field or type of another system so.
    pub(crate) fn has_type(&self, name: &str) -> bool {
        let kinds = ["struct", "enum", "trait", "type"];
        let mut forms: Vec<String> = kinds.map(|kind| format!("{kind} {name}")).to_vec();
        forms.extend([format!("::{name}"), format!("\"{name}\"")]);
        let begins = |line: &str| {
            let rest = line.trim_start().strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([',', '(', ' ']))
        };
        let mut files = self.words.iter().filter(|(_, words)| words.contains(name));
        files.any(|(path, _)| {
            let text = self.texts.get(path).map_or("", String::as_str);
            forms.iter().any(|form| text.contains(form)) || text.lines().any(begins)
        })
    }

    /// Whether the source has this text anywhere.
    pub(crate) fn says(&self, text: &str) -> bool {
        let mut files = self.words.keys().filter_map(|path| self.texts.get(path));
        files.any(|file| file.contains(text))
    }

    /// The words of the source files that have this word.
    pub(crate) fn files_with(&self, word: &str) -> impl Iterator<Item = &BTreeSet<String>> {
        self.words
            .values()
            .filter(move |words| words.contains(word))
    }

    /// The text of a file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// The files below a folder whose names have this ending, with their texts.
    pub(crate) fn below(&self, folder: &str, ending: &str) -> Vec<(&str, &str)> {
        let files = self
            .texts
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()));
        files
            .filter(|(path, _)| path.starts_with(folder) && path.ends_with(ending))
            .collect()
    }
}
