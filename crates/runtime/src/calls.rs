//! What a program on AWS called, written down for `pudato cost` and `pudato doctor`: a file for each program that ran on a data folder.

use crate::wiring::OpenError;
use pudato_protocol::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folder of the files.
const FOLDER: &str = "calls";

/// Calls of SNS and SQS, and the commands that were handled with them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    /// Since the first of the programs began, where any ran.
    pub since: Option<Timestamp>,
    /// Commands that workers received.
    pub commands: u64,
    /// How often each verb was called, by `SQS ReceiveMessage` and the like.
    pub calls: BTreeMap<String, u64>,
}

/// Where one program writes.
pub(crate) struct Ledger {
    file: PathBuf,
    since: Timestamp,
}

impl Ledger {
    /// Of this program, on this data folder. Nothing is written yet.
    pub(crate) fn new(data_dir: &Path, since: Timestamp) -> Self {
        let name = format!("{}-{}.json", std::process::id(), uuid(&since));
        Self {
            file: data_dir.join(FOLDER).join(name),
            since,
        }
    }

    /// Writes the sums so far; a disk that refuses is no reason to stop.
    pub(crate) fn write(&self, commands: u64, calls: &BTreeMap<String, u64>) {
        let entry = json!({"since": self.since.as_str(), "commands": commands, "calls": calls});
        let folder = self.file.parent().unwrap_or(&self.file);
        let next = self.file.with_extension("next");
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&next, entry.to_string()))
            .and_then(|()| std::fs::rename(&next, &self.file));
        if let Err(error) = written {
            tracing::debug!(%error, "the calls could not be written down");
        }
    }
}

/// Digits of a time: process ids come again.
fn uuid(at: &Timestamp) -> i128 {
    at.instant().unix_timestamp_nanos()
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
    for entry in entries.flatten().map(|entry| entry.path()) {
        if entry
            .extension()
            .is_none_or(|extension| extension != "json")
        {
            continue;
        }
        let failed = |what: String| OpenError::Unavailable(format!("{}: {what}", entry.display()));
        let text = std::fs::read_to_string(&entry).map_err(|error| failed(error.to_string()))?;
        let entry: Value =
            serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        spent.commands += entry["commands"].as_u64().unwrap_or(0);
        for (name, count) in entry["calls"].as_object().into_iter().flatten() {
            *spent.calls.entry(name.clone()).or_default() += count.as_u64().unwrap_or(0);
        }
        let since = entry["since"]
            .as_str()
            .and_then(|text| Timestamp::parse(text).ok());
        if let Some(since) = since
            && spent
                .since
                .as_ref()
                .is_none_or(|known| since.instant() < known.instant())
        {
            spent.since = Some(since);
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
        }
        let spent = spent(folder.path()).expect("read");
        assert_eq!(spent.commands, 20);
        assert_eq!(spent.calls["SQS ReceiveMessage"], 8);
        assert_eq!(spent.since, Some(Timestamp::from_unix_ms(3_000)));
    }
}
