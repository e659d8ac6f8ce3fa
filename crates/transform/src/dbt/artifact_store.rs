//! Stores dbt's files of each run: for `retry`, which continues an earlier run, and for other programs that read them.

use crate::process::private;
use pudato_protocol::{FieldError, Object};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The files to store, with their names in an answer. A file that dbt did not write is left out.
const FILES: [(&str, &str); 5] = [
    ("manifest", MANIFEST),
    ("run_results", RESULTS),
    ("sources", SOURCES),
    ("catalog", CATALOG),
    ("docs", "index.html"),
];
pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const RESULTS: &str = "run_results.json";
pub(crate) const SOURCES: &str = "sources.json";
pub(crate) const CATALOG: &str = "catalog.json";
const RECORD: &str = "pudato.json";

/// The number of runs to keep. The manifest of a thousand models has about 20 MB.
const KEPT_MAX: usize = 20;

/// The run that the files belong to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    pub(crate) execution_id: String,
    pub(crate) action: String,
    pub(crate) job: Option<String>,
    /// The project's folder, or the repository that it came from.
    pub(crate) project: String,
}

/// The folder with all stored runs.
pub(crate) struct ArtifactStore(pub(crate) PathBuf);

/// A run that can be retried.
#[derive(Debug)]
pub(crate) struct PreviousRun {
    pub(crate) execution_id: String,
    pub(crate) results: PathBuf,
    /// dbt's word for its command.
    pub(crate) which: String,
    pub(crate) full_refresh: bool,
}

/// The fields of `run_results.json` that are needed here.
#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    args: Args,
}

#[derive(Default, Deserialize)]
struct Args {
    #[serde(default)]
    which: String,
    #[serde(default)]
    full_refresh: Option<bool>,
}

impl ArtifactStore {
    /// Moves what dbt wrote into `out` here and removes the oldest run; returns the path of each file.
    ///
    /// # Errors
    /// The files cannot be moved, although `out` is on the same disk.
    pub(crate) fn keep(&self, record: &RunRecord, out: &Path) -> io::Result<Object> {
        let there = FILES.map(|(name, file)| (name, file, out.join(file)));
        let there: Vec<_> = there.iter().filter(|(.., path)| path.is_file()).collect();
        if there.is_empty() {
            return Ok(Object::new());
        }
        private::make_folder(&self.0)?;
        // The folder appears as a whole, and its name contains the time.
        let (now, id) = (now_ms(), &record.execution_id);
        let folder = self.0.join(format!("{now:015}-{id}"));
        let making = out.with_file_name("kept");
        private::make_folder(&making)?;
        for (_, file, path) in &there {
            std::fs::rename(path, making.join(file))?;
        }
        std::fs::write(making.join(RECORD), serde_json::to_vec(record)?)?;
        std::fs::rename(&making, &folder)?;
        let mut all = self.all()?;
        let many = all.len().saturating_sub(KEPT_MAX);
        for (_, old) in all.drain(..many) {
            // Another program may have been faster.
            let _ = std::fs::remove_dir_all(old);
        }
        let places = there.iter().map(|(name, file, _)| {
            let path = folder.join(file).display().to_string();
            ((*name).to_owned(), path.into())
        });
        Ok(places.collect())
    }

    /// All stored runs with their execution ids, the oldest first.
    fn all(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        let split = |name: String| {
            let (_, execution) = name.split_once('-')?;
            Some((execution.to_owned(), self.0.join(&name)))
        };
        Ok(names.into_iter().filter_map(split).collect())
    }

    /// The run that `execution_id` names; without one, the last run of `job`; without a job, the last run of the project.
    ///
    /// # Errors
    /// This worker no longer has the run, or the run left nothing to start from.
    pub(crate) fn find(
        &self,
        execution_id: Option<&str>,
        job: Option<&str>,
        project: &str,
    ) -> Result<PreviousRun, FieldError> {
        let wrong = |reason: String| FieldError::new("payload.execution_id", reason);
        let all = self.all();
        let all = all.map_err(|error| wrong(format!("{}: {error}", self.0.display())))?;
        let own = all.into_iter().rev().find(|(execution, folder)| {
            let record = std::fs::read(folder.join(RECORD)).ok();
            let record = record.and_then(|text| serde_json::from_slice::<RunRecord>(&text).ok());
            let Some(record) = record.filter(|record| record.project == project) else {
                return false;
            };
            match (execution_id, job) {
                (Some(wanted), _) => wanted == execution,
                // A run that dbt cannot retry is skipped.
                _ if !folder.join(RESULTS).is_file() => false,
                (None, Some(job)) => record.job.as_deref() == Some(job),
                (None, None) => true,
            }
        });
        let Some((execution_id, folder)) = own else {
            let what = match (execution_id, job) {
                (Some(wanted), _) => format!("the execution {wanted:?}"),
                (None, Some(job)) => format!("a run of the job {job}"),
                (None, None) => "a run".to_owned(),
            };
            return Err(wrong(format!(
                "expected {what} of the project {project} whose files this worker still has (it keeps the last {KEPT_MAX} runs in {}); start a new run instead",
                self.0.display()
            )));
        };
        let results = folder.join(RESULTS);
        let text = std::fs::read(&results).map_err(|error| {
            wrong(format!(
                "the execution {execution_id} left no {RESULTS} ({error}), so there is nothing to retry; start a new run instead"
            ))
        })?;
        let read: Results = serde_json::from_slice(&text)
            .map_err(|error| wrong(format!("{}: {error}", results.display())))?;
        Ok(PreviousRun {
            execution_id,
            results,
            which: read.args.which,
            full_refresh: read.args.full_refresh.unwrap_or_default(),
        })
    }
}

fn now_ms() -> u128 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_millis()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(
        artifact_store: &ArtifactStore,
        execution_id: &str,
        job: Option<&str>,
        files: &[&str],
    ) -> Object {
        let scratch =
            tempfile::tempdir_in(artifact_store.0.parent().expect("a parent")).expect("a folder");
        let out = scratch.path().join("target");
        std::fs::create_dir(&out).expect("a folder");
        for file in files {
            let text = r#"{"args": {"which": "build", "full_refresh": true}}"#;
            std::fs::write(out.join(file), text).expect("written");
        }
        let record = RunRecord {
            execution_id: execution_id.into(),
            action: "build".into(),
            job: job.map(str::to_owned),
            project: "/shop".into(),
        };
        let artifact_store = artifact_store.keep(&record, &out).expect("kept");
        // Names contain the time in milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(2));
        artifact_store
    }

    #[test]
    fn a_run_is_found_by_its_name_its_job_or_as_the_last_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let artifact_store = ArtifactStore(folder.path().join("kept"));
        let find = |id: Option<&str>, job: Option<&str>| artifact_store.find(id, job, "/shop");
        let none = find(None, None).expect_err("nothing is kept").to_string();
        assert!(
            none.contains("payload.execution_id") && none.contains("start a new run"),
            "{none}"
        );
        let places = keep(
            &artifact_store,
            "one",
            Some("job-1"),
            &[MANIFEST, RESULTS, "other"],
        );
        assert_eq!(
            places.keys().collect::<Vec<_>>(),
            ["manifest", "run_results"]
        );
        for place in places.values() {
            assert!(
                Path::new(place.as_str().expect("a path")).is_file(),
                "{place}"
            );
        }
        keep(&artifact_store, "two", Some("job-2"), &[RESULTS]);
        keep(
            &artifact_store,
            "three",
            Some("job-1"),
            &[MANIFEST, SOURCES],
        );
        assert!(keep(&artifact_store, "four", None, &[]).is_empty());
        let id = |found: Result<PreviousRun, FieldError>| found.expect("one").execution_id;
        assert_eq!(id(find(None, None)), "two");
        assert_eq!(id(find(None, Some("job-1"))), "one");
        assert_eq!(id(find(Some("one"), Some("job-2"))), "one");
        let previous = find(Some("two"), None).expect("one");
        assert_eq!(
            (previous.which.as_str(), previous.full_refresh),
            ("build", true)
        );
        let said = find(Some("three"), None)
            .expect_err("no results")
            .to_string();
        assert!(said.contains("left no run_results.json"), "{said}");
        assert!(find(Some("../one"), None).is_err());
        assert!(artifact_store.find(Some("one"), None, "/other").is_err());
    }

    #[test]
    fn only_the_last_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let artifact_store = ArtifactStore(folder.path().join("kept"));
        for n in 0..KEPT_MAX + 3 {
            keep(&artifact_store, &format!("e{n}"), None, &[RESULTS]);
        }
        let names: Vec<String> = artifact_store
            .all()
            .expect("read")
            .into_iter()
            .map(|one| one.0)
            .collect();
        assert_eq!(names.len(), KEPT_MAX);
        assert_eq!(
            (names[0].as_str(), names[KEPT_MAX - 1].as_str()),
            ("e3", "e22")
        );
    }
}
