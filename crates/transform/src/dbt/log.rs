//! Reads dbt's log while it runs: one JSON object per line (`--log-format=json`).

use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The most errors to keep.
const ERRORS_MAX: usize = 20;
const ERROR_CHARS_MAX: usize = 2_000;

/// The most lines of macros to keep; further ones are only counted.
const SAID_MAX: usize = 100;

/// The progress of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The number of finished nodes.
    pub(crate) done: u64,
    /// The total, if dbt reports it; dbt 2 does not.
    pub(crate) total: Option<u64>,
    /// The node of the last event.
    pub(crate) node: String,
    /// Its type in dbt's words: `model`, `test`, `unit_test`, `seed`, `snapshot`, `function`, `source`; `hook` and `batch` are parts
    /// that dbt counts separately.
    pub(crate) kind: String,
    /// The part that was finished, and the total: a hook of its kind, or a batch of its model.
    pub(crate) part: Option<(u64, u64)>,
}

/// The state of a log so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// dbt's version.
    pub(crate) version: Option<String>,
    /// Errors in dbt's words.
    pub(crate) errors: Vec<String>,
    /// Whether another process uses the warehouse file.
    pub(crate) is_locked_out: bool,
    /// Finished nodes, each once: the log may mention a node more than once.
    done: BTreeSet<String>,
    total: Option<u64>,
    /// The output of macros (`log(.., info=true)`, `print(..)`), and its number of lines.
    pub(crate) said: Vec<String>,
    pub(crate) lines_said: usize,
    /// How the freshness check of each source ended, by id.
    pub(crate) sources: BTreeMap<String, String>,
    /// The last line that was not JSON, such as the error of a crashed Python.
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

/// What DuckDB says where another process has its file. dbt passes the words on alone, and DuckDB calls every error of a file an IO Error.
const LOCKED: &str = "Could not set lock on file";

impl Log {
    /// Reads a line and returns the progress that it reports.
    pub(crate) fn read(&mut self, line: &str) -> Option<Progress> {
        if line.is_empty() {
            return None;
        }
        self.is_locked_out |= line.contains(LOCKED);
        let Ok(Line { info, data }) = serde_json::from_str(line) else {
            if !line.trim().is_empty() {
                self.last_words = Some(cut(line.trim()));
                // The output of a macro in dbt 1.8.
                self.hear(line);
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
        if matches!(
            &*info.name,
            "JinjaLogInfo" | "JinjaLogWarning" | "PrintEvent"
        ) {
            self.hear(&info.msg);
        }
        if info.name == "LogFreshnessResult"
            && let (Some(id), Some(status)) = (
                data["node_info"]["unique_id"].as_str(),
                data["status"].as_str(),
            )
        {
            self.sources.insert(id.to_owned(), status.to_owned());
        }
        self.progress(&info, &data)
    }

    fn hear(&mut self, said: &str) {
        self.lines_said += 1;
        if self.said.len() < SAID_MAX {
            self.said.push(cut(said.trim_end()));
        }
    }

    fn progress(&mut self, info: &Info, data: &Value) -> Option<Progress> {
        let number = |name: &str| data[name].as_u64();
        let node = data["node_info"]["unique_id"].as_str().unwrap_or_default();
        let name = info.name.as_str();
        let (kind, part) = match name {
            // dbt counts hooks and batches separately; they are not nodes.
            "LogHookEndLine" => ("hook", Some((number("index")?, number("total")?))),
            "LogBatchResult" => (
                "batch",
                Some((number("batch_index")?, number("total_batches")?)),
            ),
            "LogStartLine" => {
                self.total = number("total").or(self.total);
                return None;
            }
            _ if is_end(name) => {
                self.total = number("total").or(number("num_models")).or(self.total);
                // Some versions of dbt report no node for a skipped one.
                let told = if node.is_empty() { &info.msg } else { node };
                self.done.insert(told.to_owned());
                let kind = data["node_info"]["resource_type"].as_str();
                let of_id = node.split_once('.').map(|(kind, _)| kind);
                (kind.or(of_id).unwrap_or_default(), None)
            }
            _ => return None,
        };
        Some(Progress {
            done: self.done.len() as u64,
            total: self.total,
            node: node.to_owned(),
            kind: kind.to_owned(),
            part,
        })
    }
}

/// Whether this event finishes a node: LogModelResult, LogTestResult, LogSeedResult, LogFunctionResult, .., or skipped.
fn is_end(name: &str) -> bool {
    let is_result = name.starts_with("Log") && name.ends_with("Result");
    is_result || matches!(name, "SkippingDetails" | "LogSkipBecauseError")
}

fn cut(text: &str) -> String {
    // Strips terminal colours.
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
    fn errors_and_the_version_are_read_and_nothing_else_is_needed() {
        let mut log = Log::default();
        let version = r#"{"data": {"version": "=1.11.2"}, "info": {"name": "MainReportVersion", "level": "info", "msg": "Running"}}"#;
        assert_eq!(log.read(version), None);
        assert_eq!(log.version.as_deref(), Some("=1.11.2"));
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

    /// The progress that each line reports: finished nodes, the total, the node, its kind and its part.
    fn told(lines: &str) -> Vec<String> {
        let mut log = Log::default();
        let told = lines.lines().filter_map(|line| log.read(line));
        told.map(|one| {
            let total = one.total.map_or("?".into(), |total| total.to_string());
            let part = one.part.map(|(part, of)| format!(" {part}/{of}"));
            let part = part.unwrap_or_default();
            format!("{}/{total} {} {}{part}", one.done, one.kind, one.node)
        })
        .collect()
    }

    /// Lines of dbt 1.12.6, reduced to the fields that are read.
    #[test]
    fn hooks_batches_unit_tests_and_functions_are_told_as_what_they_are() {
        let lines = r#"
{"info": {"name": "LogHookEndLine"}, "data": {"index": 1, "total": 1, "status": "success", "node_info": {"resource_type": "operation", "unique_id": "operation.shop.shop-on-run-start-0"}}}
{"info": {"name": "LogStartLine"}, "data": {"index": 1, "total": 4, "node_info": {"resource_type": "model", "unique_id": "model.shop.mb"}}}
{"info": {"name": "LogBatchResult"}, "data": {"batch_index": 1, "total_batches": 2, "status": "OK", "node_info": {"resource_type": "model", "unique_id": "model.shop.mb"}}}
{"info": {"name": "LogTestResult"}, "data": {"index": 2, "num_models": 4, "node_info": {"resource_type": "unit_test", "unique_id": "unit_test.shop.b.works"}}}
{"info": {"name": "LogBatchResult"}, "data": {"batch_index": 2, "total_batches": 2, "status": "OK", "node_info": {"resource_type": "model", "unique_id": "model.shop.mb"}}}
{"info": {"name": "LogModelResult"}, "data": {"index": 1, "total": 4, "node_info": {"resource_type": "model", "unique_id": "model.shop.mb"}}}
{"info": {"name": "LogFunctionResult"}, "data": {"index": 3, "total": 4, "node_info": {"resource_type": "function", "unique_id": "function.shop.plus"}}}
{"info": {"name": "SkippingDetails"}, "data": {"index": 4, "total": 4, "node_info": {"resource_type": "model", "unique_id": "model.shop.after"}}}
{"info": {"name": "FinishedRunningStats"}, "data": {"total": 4}}"#;
        let expected = [
            "0/? hook operation.shop.shop-on-run-start-0 1/1",
            "0/4 batch model.shop.mb 1/2",
            "1/4 unit_test unit_test.shop.b.works",
            "1/4 batch model.shop.mb 2/2",
            "2/4 model model.shop.mb",
            "3/4 function function.shop.plus",
            "4/4 model model.shop.after",
        ];
        assert_eq!(told(lines), expected);
    }

    /// Lines in the format of dbt 2 (`json_compat_layer.rs` of dbt-fusion): it reports no position, and each node twice.
    #[test]
    fn progress_needs_no_total() {
        let lines = r#"
{"info":{"category":"","code":"A001","extra":{},"invocation_id":"7f3c","level":"info","msg":"Running with dbt-fusion=2.0.9","name":"MainReportVersion"},"data":{"log_version":3,"version":"=2.0.9"}}
{"info":{"code":"Q011","level":"info","msg":"Started model main.a","name":"LogStartLine"},"data":{"node_info":{"resource_type":"model","unique_id":"model.shop.a"}}}
{"info":{"code":"Q012","level":"info","msg":"Succeeded","name":"LogModelResult"},"data":{"execution_time":0.1,"node_info":{"resource_type":"model","unique_id":"model.shop.a"},"status":"success"}}
{"info":{"code":"Q025","level":"debug","msg":"Finished running node model.shop.a","name":"NodeFinished"},"data":{"node_info":{"unique_id":"model.shop.a"},"run_result":{"status":"success"}}}
{"info":{"code":"Q007","level":"info","msg":"Skipped","name":"LogTestResult"},"data":{"node_info":{"unique_id":"unit_test.shop.a.works"},"status":"skipped"}}
{"info":{"code":"Q008","level":"info","msg":"Succeeded","name":"LogNodeResult"},"data":{"node_info":{"resource_type":"operation","unique_id":"operation.shop.o"},"status":"success"}}"#;
        let expected = [
            "1/? model model.shop.a",
            "2/? unit_test unit_test.shop.a.works",
            "3/? operation operation.shop.o",
        ];
        assert_eq!(told(lines), expected);
    }
}
