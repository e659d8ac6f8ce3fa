//! The calls that programs made on AWS, recorded for `pudato cost` and `pudato doctor`: one file for each program that served on a data
//! folder.

use crate::installation::OpenError;
use pudato_protocol::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder of these files.
const FOLDER: &str = "calls";
/// The file of programs that did not serve, one line each.
const CALLERS: &str = "callers.jsonl";

/// The calls of SNS, SQS and S3, and the number of commands that were handled with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    /// When the first of the programs started, if any did.
    pub since: Option<Timestamp>,
    /// The number of Commands that workers received.
    pub commands: u64,
    /// The number of calls by verb, such as `SQS ReceiveMessage`.
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

/// The file of one program.
pub(crate) struct Ledger {
    file: PathBuf,
    since: Timestamp,
}

impl Ledger {
    /// The file of this program in this data folder. Nothing is written yet.
    pub(crate) fn new(data_dir: &Path, since: Timestamp) -> Self {
        // The operating system reuses process ids.
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

    /// Appends the calls of a program that is ending to the one file of all such programs, because there may be very many.
    pub(crate) fn append(&self, calls: &BTreeMap<String, u64>) {
        let line = self.entry(0, calls) + "\n";
        let written = std::fs::create_dir_all(self.folder()).and_then(|()| {
            let mut options = std::fs::OpenOptions::new();
            let file = options.append(true).create(true);
            // One write, so that the lines of several programs do not mix.
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

/// A failed write is no reason to stop.
fn said(written: std::io::Result<()>) {
    if let Err(error) = written {
        tracing::debug!(%error, "the counts of AWS calls could not be written");
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
    fn the_calls_of_several_programs_are_summed() {
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
