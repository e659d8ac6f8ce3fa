//! Keeps dbt's own files of each run: for `retry`, which continues where another run ended, and for other programs that read them.

use crate::process::private;
use pudato_protocol::{FieldError, Object};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What dbt writes, and what it is called in an answer. What is not there was not written.
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
const NOTE: &str = "pudato.json";

/// How many runs to keep; the manifest of a thousand models has some 20 MB.
const KEPT_MAX: usize = 20;

/// Whose files they are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) execution_id: String,
    pub(crate) action: String,
    pub(crate) job: Option<String>,
    /// The project's folder, or the repository that it came from.
    pub(crate) project: String,
}

/// The folder of all that are kept.
pub(crate) struct Kept(pub(crate) PathBuf);

/// A run that can be tried again.
#[derive(Debug)]
pub(crate) struct Former {
    pub(crate) execution_id: String,
    pub(crate) results: PathBuf,
    /// dbt's own word for what it did.
    pub(crate) which: String,
    pub(crate) full_refresh: bool,
}

/// What is read of `run_results.json` here.
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

impl Kept {
    /// Moves what dbt wrote into `out` here and removes the oldest run; returns the path of each file.
    ///
    /// # Errors
    /// The files cannot be moved; `out` is on the same disk.
    pub(crate) fn keep(&self, note: &Note, out: &Path) -> io::Result<Object> {
        let there = FILES.map(|(name, file)| (name, file, out.join(file)));
        let there: Vec<_> = there.iter().filter(|(.., path)| path.is_file()).collect();
        if there.is_empty() {
            return Ok(Object::new());
        }
        private::make_folder(&self.0)?;
        // It appears as a whole, under a name that tells when.
        let (now, id) = (now_ms(), &note.execution_id);
        let folder = self.0.join(format!("{now:015}-{id}"));
        let making = out.with_file_name("kept");
        private::make_folder(&making)?;
        for (_, file, path) in &there {
            std::fs::rename(path, making.join(file))?;
        }
        std::fs::write(making.join(NOTE), serde_json::to_vec(note)?)?;
        std::fs::rename(&making, &folder)?;
        let mut all = self.all()?;
        let many = all.len().saturating_sub(KEPT_MAX);
        for (_, old) in all.drain(..many) {
            // Another program may be as quick.
            let _ = std::fs::remove_dir_all(old);
        }
        let places = there.iter().map(|(name, file, _)| {
            let path = folder.join(file).display().to_string();
            ((*name).to_owned(), path.into())
        });
        Ok(places.collect())
    }

    /// All that are kept, the oldest first, by their execution.
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
    ) -> Result<Former, FieldError> {
        let wrong = |reason: String| FieldError::new("payload.execution_id", reason);
        let all = self.all();
        let all = all.map_err(|error| wrong(format!("{}: {error}", self.0.display())))?;
        let own = all.into_iter().rev().find(|(execution, folder)| {
            let note = std::fs::read(folder.join(NOTE)).ok();
            let note = note.and_then(|text| serde_json::from_slice::<Note>(&text).ok());
            let Some(note) = note.filter(|note| note.project == project) else {
                return false;
            };
            match (execution_id, job) {
                (Some(wanted), _) => wanted == execution,
                // A run that dbt cannot try again is none of those that are meant.
                _ if !folder.join(RESULTS).is_file() => false,
                (None, Some(job)) => note.job.as_deref() == Some(job),
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
        Ok(Former {
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

    fn keep(kept: &Kept, execution_id: &str, job: Option<&str>, files: &[&str]) -> Object {
        let scratch = tempfile::tempdir_in(kept.0.parent().expect("a parent")).expect("a folder");
        let out = scratch.path().join("target");
        std::fs::create_dir(&out).expect("a folder");
        for file in files {
            let text = r#"{"args": {"which": "build", "full_refresh": true}}"#;
            std::fs::write(out.join(file), text).expect("written");
        }
        let note = Note {
            execution_id: execution_id.into(),
            action: "build".into(),
            job: job.map(str::to_owned),
            project: "/shop".into(),
        };
        let kept = kept.keep(&note, &out).expect("kept");
        // Names tell when, to the millisecond.
        std::thread::sleep(std::time::Duration::from_millis(2));
        kept
    }

    #[test]
    fn a_run_is_found_by_its_name_its_job_or_as_the_last_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept(folder.path().join("kept"));
        let find = |id: Option<&str>, job: Option<&str>| kept.find(id, job, "/shop");
        let none = find(None, None).expect_err("nothing is kept").to_string();
        assert!(
            none.contains("payload.execution_id") && none.contains("start a new run"),
            "{none}"
        );
        let places = keep(&kept, "one", Some("job-1"), &[MANIFEST, RESULTS, "other"]);
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
        keep(&kept, "two", Some("job-2"), &[RESULTS]);
        keep(&kept, "three", Some("job-1"), &[MANIFEST, SOURCES]);
        assert!(keep(&kept, "four", None, &[]).is_empty());
        let id = |found: Result<Former, FieldError>| found.expect("one").execution_id;
        assert_eq!(id(find(None, None)), "two");
        assert_eq!(id(find(None, Some("job-1"))), "one");
        assert_eq!(id(find(Some("one"), Some("job-2"))), "one");
        let former = find(Some("two"), None).expect("one");
        assert_eq!(
            (former.which.as_str(), former.full_refresh),
            ("build", true)
        );
        let said = find(Some("three"), None)
            .expect_err("no results")
            .to_string();
        assert!(said.contains("left no run_results.json"), "{said}");
        assert!(find(Some("../one"), None).is_err());
        assert!(kept.find(Some("one"), None, "/other").is_err());
    }

    #[test]
    fn only_the_last_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = Kept(folder.path().join("kept"));
        for n in 0..KEPT_MAX + 3 {
            keep(&kept, &format!("e{n}"), None, &[RESULTS]);
        }
        let names: Vec<String> = kept
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
