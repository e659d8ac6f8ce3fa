//! What a program on AWS called, written down for `pudato cost` and `pudato doctor`: a file for each program that ran on a data folder.

use crate::installation::OpenError;
use pudato_protocol::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of the files.
const FOLDER: &str = "calls";
/// The file of programs that did not serve, a line each.
const CALLERS: &str = "callers.jsonl";

/// Calls of SNS, SQS and S3, and the commands that were handled with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    /// Since the first of the programs began, where any ran.
    pub since: Option<Timestamp>,
    /// Commands that workers received.
    pub commands: u64,
    /// How often each verb was called, by `SQS ReceiveMessage` and the like.
    pub calls: BTreeMap<String, u64>,
}

impl Spent {
    fn add(&mut self, entry: &Value) {
        self.commands += entry["commands"].as_u64().unwrap_or(0);
        for (name, count) in entry["calls"].as_object().into_iter().flatten() {
            *self.calls.entry(name.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
        let since = entry["since"].as_str();
        let since = since.and_then(|text| Timestamp::parse(text).ok());
        let is_first = |since: &Timestamp| {
            let known = self.since.as_ref();
            known.is_none_or(|known| since.instant() < known.instant())
        };
        if let Some(since) = since.filter(is_first) {
            self.since = Some(since);
        }
    }
}

/// Where one program writes.
pub(crate) struct Ledger {
    file: PathBuf,
    since: Timestamp,
}

impl Ledger {
    /// Of this program, on this data folder. Nothing is written yet.
    pub(crate) fn new(data_dir: &Path, since: Timestamp) -> Self {
        // Process ids come again.
        let began = since.instant().unix_timestamp_nanos();
        let name = format!("{}-{began}.json", std::process::id());
        Self {
            file: data_dir.join(FOLDER).join(name),
            since,
        }
    }

    /// Writes the sums so far.
    pub(crate) fn write(&self, commands: u64, calls: &BTreeMap<String, u64>) {
        let next = self.file.with_extension("next");
        let written = std::fs::create_dir_all(self.folder())
            .and_then(|()| std::fs::write(&next, self.entry(commands, calls)))
            .and_then(|()| std::fs::rename(&next, &self.file));
        said(written);
    }

    /// Adds what a program called that ends now to the one file of all such: there may be very many of them.
    pub(crate) fn append(&self, calls: &BTreeMap<String, u64>) {
        let line = self.entry(0, calls) + "\n";
        let written = std::fs::create_dir_all(self.folder()).and_then(|()| {
            let mut options = std::fs::OpenOptions::new();
            let file = options.append(true).create(true);
            // One write, so that lines of several programs do not mix.
            file.open(self.folder().join(CALLERS))?
                .write_all(line.as_bytes())
        });
        said(written);
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(&self.file)
    }

    fn entry(&self, commands: u64, calls: &BTreeMap<String, u64>) -> String {
        let since = self.since.as_str();
        json!({"since": since, "commands": commands, "calls": calls}).to_string()
    }
}

/// A disk that refuses is no reason to stop.
fn said(written: std::io::Result<()>) {
    if let Err(error) = written {
        tracing::debug!(%error, "the calls could not be written down");
    }
}

/// The sums of all programs that ran on a data folder.
///
/// # Errors
/// A file cannot be read.
pub fn spent(data_dir: &Path) -> Result<Spent, OpenError> {
    let mut spent = Spent::default();
    let folder = data_dir.join(FOLDER);
    let Ok(entries) = std::fs::read_dir(&folder) else {
        return Ok(spent);
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let extension = path.extension().unwrap_or_default();
        if extension != "json" && extension != "jsonl" {
            continue;
        }
        let failed = |what: String| OpenError::Unavailable(format!("{}: {what}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        for line in text.lines() {
            let entry = serde_json::from_str(line).map_err(|error| failed(error.to_string()))?;
            spent.add(&entry);
        }
    }
    Ok(spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_several_programs_called_is_summed() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(spent(folder.path()).expect("nothing"), Spent::default());
        for second in [5, 3] {
            let since = Timestamp::from_unix_ms(second * 1_000);
            let ledger = Ledger::new(folder.path(), since);
            let calls = BTreeMap::from([("SQS ReceiveMessage".to_owned(), second)]);
            ledger.write(1, &BTreeMap::new());
            ledger.write(10, &calls);
            ledger.append(&calls);
        }
        let files = std::fs::read_dir(folder.path().join(FOLDER)).expect("listed");
        assert_eq!(
            files.count(),
            3,
            "one of each that served, and one of all others"
        );
        let spent = spent(folder.path()).expect("read");
        assert_eq!(spent.commands, 20);
        assert_eq!(spent.calls["SQS ReceiveMessage"], 16);
        assert_eq!(spent.since, Some(Timestamp::from_unix_ms(3_000)));
    }
}
