//! What dbt says while it runs: a JSON object a line (`--log-format=json`).

use serde::Deserialize;
use serde_json::Value;

/// Errors that are kept; more would say the same.
const ERRORS_MAX: usize = 20;
const ERROR_CHARS_MAX: usize = 2_000;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Nodes that are done.
    pub(crate) done: u64,
    /// All of them.
    pub(crate) total: u64,
    /// The last that was done.
    pub(crate) node: String,
}

/// What its lines said so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// dbt's version.
    pub(crate) version: Option<String>,
    /// What went wrong, in its own words.
    pub(crate) errors: Vec<String>,
    /// Whether another process has the warehouse's file.
    pub(crate) is_locked_out: bool,
    done: u64,
    /// The last line that was no JSON: what Python says when all else fails.
    pub(crate) last_words: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    info: Info,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    name: String,
    #[serde(default)]
    msg: String,
    #[serde(default)]
    level: String,
}

/// What DuckDB says where another process has its file.
const LOCKED: &str = "Could not set lock on file";

impl Log {
    /// Reads a line; answers the progress that it tells of.
    pub(crate) fn read(&mut self, line: &str) -> Option<Progress> {
        self.is_locked_out |= line.contains(LOCKED);
        let Ok(Line { info, data }) = serde_json::from_str(line) else {
            if !line.trim().is_empty() {
                self.last_words = Some(cut(line.trim()));
            }
            return None;
        };
        if info.name == "MainReportVersion" {
            self.version = data["version"].as_str().map(str::to_owned);
        }
        if info.level == "error" && !info.msg.trim().is_empty() && self.errors.len() < ERRORS_MAX {
            let text = cut(info.msg.trim());
            if !self.errors.contains(&text) {
                self.errors.push(text);
            }
        }
        // One for each node that is done: LogModelResult, LogTestResult, LogSeedResult, LogSnapshotResult, ...
        let is_result = info.name.starts_with("Log") && info.name.ends_with("Result");
        let total = data["total"].as_u64().or(data["num_models"].as_u64())?;
        if !is_result {
            return None;
        }
        self.done += 1;
        let name = &data["node_info"]["unique_id"];
        Some(Progress {
            done: self.done,
            total,
            node: name.as_str().unwrap_or_default().to_owned(),
        })
    }
}

fn cut(text: &str) -> String {
    // Colours are for terminals.
    let mut plain = String::with_capacity(text.len().min(ERROR_CHARS_MAX));
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            for c in chars.by_ref() {
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
        } else if plain.len() < ERROR_CHARS_MAX {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_errors_and_the_version_are_read_and_nothing_else_is_needed() {
        let mut log = Log::default();
        let version = r#"{"data": {"version": "=1.11.2"}, "info": {"name": "MainReportVersion", "level": "info", "msg": "Running"}}"#;
        assert_eq!(log.read(version), None);
        assert_eq!(log.version.as_deref(), Some("=1.11.2"));
        let result = r#"{"data": {"index": 1, "total": 3, "node_info": {"unique_id": "model.p.a"}}, "info": {"name": "LogModelResult", "level": "info", "msg": "OK"}}"#;
        let progress = log.read(result).expect("progress");
        assert_eq!(
            (progress.done, progress.total, progress.node.as_str()),
            (1, 3, "model.p.a")
        );
        let error = "{\"data\": {}, \"info\": {\"name\": \"X\", \"level\": \"error\", \"msg\": \"\\u001b[31mDatabase Error\\u001b[0m\"}}";
        for _ in 0..100 {
            assert_eq!(log.read(error), None);
        }
        assert_eq!(log.errors, ["Database Error"]);
        for junk in ["", "Traceback", "[1]", "{\"info\": 1}", "\u{0}"] {
            assert_eq!(log.read(junk), None);
        }
        assert_eq!(log.last_words.as_deref(), Some("\u{0}"));
    }
}
