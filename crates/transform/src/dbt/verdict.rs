//! What the end of a dbt means for its Command: one decision, in one place.

use crate::dbt::artifacts::Artifacts;
use crate::dbt::log::Log;
use crate::dbt::program::INSTALL;
use crate::process::child::Ended;
use std::time::Duration;

/// How a Command is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// What was to be built is built.
    Success,
    /// An error with these texts; what was built all the same is in it, too.
    Failed(Vec<String>),
    /// Bad luck, which says nothing about the project.
    Again(String),
    /// Another process has the warehouse.
    InUse,
}

/// A dbt that ended.
pub(crate) struct End<'a> {
    pub(crate) action: &'a str,
    pub(crate) ended: Ended,
    pub(crate) deadline: Duration,
    pub(crate) memory_bytes: u64,
    pub(crate) log: Log,
    /// Why it was stopped, where it was.
    pub(crate) refused: Option<String>,
    pub(crate) artifacts: &'a Result<Option<Artifacts>, String>,
    /// A file that dbt should have written but did not.
    pub(crate) missing: Option<&'static str>,
}

impl End<'_> {
    /// Decides.
    pub(crate) fn verdict(self) -> Verdict {
        let (action, mut log) = (self.action, self.log);
        // Every dbt says its version first, and whatever has written artifacts is one.
        let is_dbt = log.version.is_some() || !matches!(self.artifacts, Ok(None));
        let mut errors = match self.ended {
            Ended::Code(0) if !is_dbt => {
                vec![format!(
                    "{action}: the program that pudato ran as dbt did nothing: {INSTALL}"
                )]
            }
            Ended::Code(0) if self.artifacts.is_err() => Vec::new(),
            Ended::Code(0) => match self.missing {
                // Success would say that nothing was built.
                Some(name) => vec![format!(
                    "dbt {action} succeeded but wrote no {name}, so pudato does not know what it did; pudato passes --write-json and \
                     --target-path: look for what drops them, e.g. a wrapper script around dbt"
                )],
                None => return Verdict::Success,
            },
            Ended::Code(_) if log.is_locked_out => return Verdict::InUse,
            Ended::Code(1) if has_missing_batches(self.artifacts) => return Verdict::Success,
            // Exit 1: it ran to its end, and something in it failed. What was built is in the artifacts.
            Ended::Code(code) => {
                let mut errors = log.errors;
                if errors.is_empty() {
                    let words = log.last_words.take();
                    let words = words.unwrap_or_else(|| "it does not say why".into());
                    errors.push(format!("dbt {action} ended with {code}: {words}"));
                }
                if !is_dbt {
                    errors.push(format!("it is not dbt, or it is too old: {INSTALL}"));
                }
                errors
            }
            Ended::TimedOut => vec![format!(
                "dbt {action} took longer than {} s (PUDATO_TRANSFORM_SECONDS) and was stopped",
                self.deadline.as_secs()
            )],
            Ended::OverMemory(used) => vec![over_memory(action, used, self.memory_bytes)],
            Ended::Signal(signal) => {
                return Verdict::Again(format!("dbt {action} was ended by signal {signal}"));
            }
            Ended::Stopped => self.refused.into_iter().collect(),
        };
        if let Err(why) = self.artifacts {
            errors.push(why.clone());
        }
        Verdict::Failed(errors)
    }
}

/// Why a dbt was ended that had too much memory.
pub(crate) fn over_memory(action: &str, used: u64, limit: u64) -> String {
    format!(
        "dbt {action} and the processes that it started used {used} bytes of memory, more than {limit} (PUDATO_TRANSFORM_MEMORY_BYTES), and pudato ended them; \
        raise the limit, or let the warehouse use less (for DuckDB `settings: {{memory_limit: ..}}` in profiles.yml)"
    )
}

/// dbt ends with 1 where batches of a model failed and the others were built; that is what it is, and no failure.
fn has_missing_batches(artifacts: &Result<Option<Artifacts>, String>) -> bool {
    matches!(artifacts, Ok(Some(artifacts)) if artifacts.is_partial_success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::collections::BTreeMap;

    const VERSION: &str =
        r#"{"data": {"version": "=1.11.2"}, "info": {"name": "MainReportVersion"}}"#;

    fn of(ended: Ended, lines: &[&str], statuses: Option<&[&str]>) -> Verdict {
        let artifacts = statuses.map(|statuses| {
            let results: Vec<Value> = statuses
                .iter()
                .map(|status| json!({"unique_id": "model.p.a", "status": status}))
                .collect();
            let results = json!({"metadata": {}, "results": results});
            Artifacts {
                manifest: serde_json::from_value(json!({"metadata": {}})).expect("a manifest"),
                results: serde_json::from_value(results).expect("results"),
                deeds: BTreeMap::new(),
            }
        });
        let mut log = Log::default();
        for line in lines {
            log.read(line);
        }
        let end = End {
            action: "build",
            ended,
            deadline: Duration::from_secs(7),
            memory_bytes: 1_000,
            log,
            refused: Some("too old".into()),
            missing: artifacts.is_none().then_some("manifest.json"),
            artifacts: &Ok(artifacts),
        };
        end.verdict()
    }

    fn failed(verdict: Verdict) -> String {
        match verdict {
            Verdict::Failed(errors) => errors.join("\n"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_program_that_is_no_dbt_is_no_success_and_the_error_says_what_to_install() {
        assert!(failed(of(Ended::Code(0), &[], None)).contains("pip install"));
        let usage = "Error: No such option: --log-level-file";
        let said = failed(of(Ended::Code(2), &[usage], None));
        assert!(
            said.contains(usage) && said.contains("pip install"),
            "{said}"
        );
        // A dbt that selected nothing writes artifacts all the same, and one that keeps silent has written them.
        let said = failed(of(Ended::Code(0), &[VERSION], None));
        assert!(said.contains("wrote no manifest.json"), "{said}");
        assert_eq!(of(Ended::Code(0), &[], Some(&[])), Verdict::Success);
        let said = failed(of(Ended::Code(2), &[VERSION, "Traceback"], None));
        assert!(
            said.contains("Traceback") && !said.contains("pip"),
            "{said}"
        );
    }

    #[test]
    fn a_partial_success_is_a_success() {
        let built = Some(&["success", "partial success", "skipped"][..]);
        assert_eq!(of(Ended::Code(1), &[VERSION], built), Verdict::Success);
        let failed_too = Some(&["partial success", "error"][..]);
        failed(of(Ended::Code(1), &[VERSION], failed_too));
        failed(of(Ended::Code(1), &[VERSION], Some(&["skipped"])));
        // A dbt that could not go on ends with 2.
        failed(of(Ended::Code(2), &[VERSION], built));
    }

    #[test]
    fn signals_locks_and_deadlines_are_told_from_failures() {
        assert_eq!(
            of(Ended::Signal(9), &[VERSION], None),
            Verdict::Again("dbt build was ended by signal 9".into())
        );
        let locked = "IO Error: Could not set lock on file \"w.duckdb\"";
        assert_eq!(of(Ended::Code(2), &[VERSION, locked], None), Verdict::InUse);
        assert!(failed(of(Ended::TimedOut, &[VERSION], None)).contains("longer than 7 s"));
        let said = failed(of(Ended::OverMemory(1_001), &[VERSION], None));
        assert!(
            said.contains("1001 bytes of memory, more than 1000 (PUDATO_TRANSFORM_MEMORY_BYTES)"),
            "{said}"
        );
        assert_eq!(failed(of(Ended::Stopped, &[VERSION], None)), "too old");
    }

    #[test]
    fn artifacts_that_are_not_of_this_run_are_an_error() {
        let end = End {
            action: "build",
            ended: Ended::Code(0),
            deadline: Duration::from_secs(7),
            memory_bytes: 1_000,
            log: Log::default(),
            refused: None,
            artifacts: &Err("of two runs".into()),
            missing: None,
        };
        assert_eq!(failed(end.verdict()), "of two runs");
    }
}
