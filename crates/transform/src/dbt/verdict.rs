//! Decides what the end of dbt means for its Command.

use crate::dbt::artifacts::Artifacts;
use crate::dbt::log::Log;
use crate::dbt::program::INSTALL;
use crate::process::child::Exit;
use std::time::Duration;

/// The outcome of a Command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything that was selected was built.
    Success,
    /// An error with these texts. The answer still reports what was built.
    Failed(Vec<String>),
    /// A failure that is not the project's fault. Retry.
    Again(String),
    /// Another process has the warehouse.
    InUse,
}

/// A run of dbt that has ended.
pub(crate) struct End<'a> {
    pub(crate) action: &'a str,
    pub(crate) exit: Exit,
    pub(crate) deadline: Duration,
    pub(crate) memory_bytes: u64,
    pub(crate) log: Log,
    /// Why it was stopped, if it was.
    pub(crate) refused: Option<String>,
    pub(crate) artifacts: &'a Result<Option<Artifacts>, String>,
    /// A file that dbt should have written but did not.
    pub(crate) missing: Option<&'static str>,
}

impl End<'_> {
    /// Decides the outcome.
    pub(crate) fn verdict(self) -> Verdict {
        let (action, mut log) = (self.action, self.log);
        // Every dbt logs its version first, and a program that wrote artifacts is dbt as well.
        let is_dbt = log.version.is_some() || !matches!(self.artifacts, Ok(None));
        let mut errors = match self.exit {
            Exit::Code(0) if !is_dbt => {
                vec![format!(
                    "{action}: the program that pudato ran as dbt did nothing: {INSTALL}"
                )]
            }
            Exit::Code(0) if self.artifacts.is_err() => Vec::new(),
            Exit::Code(0) => match self.missing {
                // Reporting success would claim that nothing was built.
                Some(name) => vec![format!(
                    "dbt {action} succeeded but wrote no {name}, so pudato does not know what it did; pudato passes --write-json and \
                     --target-path: look for what drops them, e.g. a wrapper script around dbt"
                )],
                None => return Verdict::Success,
            },
            Exit::Code(_) if log.is_locked_out => return Verdict::InUse,
            Exit::Code(1) if has_missing_batches(self.artifacts) => return Verdict::Success,
            // Exit 1: dbt finished, but something failed. The artifacts show what was built.
            Exit::Code(code) => {
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
            Exit::TimedOut => vec![format!(
                "dbt {action} took longer than {} s (PUDATO_TRANSFORM_SECONDS) and was stopped",
                self.deadline.as_secs()
            )],
            Exit::OverMemory(used) => vec![over_memory(action, used, self.memory_bytes)],
            Exit::Signal(signal) => {
                return Verdict::Again(format!("dbt {action} was ended by signal {signal}"));
            }
            Exit::Stopped => self.refused.into_iter().collect(),
        };
        if let Err(why) = self.artifacts {
            errors.push(why.clone());
        }
        Verdict::Failed(errors)
    }
}

/// The error for a dbt that exceeded its memory limit.
pub(crate) fn over_memory(action: &str, used: u64, limit: u64) -> String {
    format!(
        "dbt {action} and the processes that it started used {used} bytes of memory, more than {limit} (PUDATO_TRANSFORM_MEMORY_BYTES), and pudato ended them; \
        raise the limit, or let the warehouse use less (for DuckDB `settings: {{memory_limit: ..}}` in profiles.yml)"
    )
}

/// dbt exits with 1 if some batches of a model failed and others were built. That is a partial success, and not a failure.
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

    fn of(exit: Exit, lines: &[&str], statuses: Option<&[&str]>) -> Verdict {
        let artifacts = statuses.map(|statuses| {
            let results: Vec<Value> = statuses
                .iter()
                .map(|status| json!({"unique_id": "model.p.a", "status": status}))
                .collect();
            let results = json!({"metadata": {}, "results": results});
            Artifacts {
                manifest: serde_json::from_value(json!({"metadata": {}})).expect("a manifest"),
                results: serde_json::from_value(results).expect("results"),
                writes: BTreeMap::new(),
            }
        });
        let mut log = Log::default();
        for line in lines {
            log.read(line);
        }
        let end = End {
            action: "build",
            exit,
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
        assert!(failed(of(Exit::Code(0), &[], None)).contains("pip install"));
        let usage = "Error: No such option: --log-level-file";
        let said = failed(of(Exit::Code(2), &[usage], None));
        assert!(
            said.contains(usage) && said.contains("pip install"),
            "{said}"
        );
        // A dbt that selected nothing still writes artifacts, and a silent dbt has written them.
        let said = failed(of(Exit::Code(0), &[VERSION], None));
        assert!(said.contains("wrote no manifest.json"), "{said}");
        assert_eq!(of(Exit::Code(0), &[], Some(&[])), Verdict::Success);
        let said = failed(of(Exit::Code(2), &[VERSION, "Traceback"], None));
        assert!(
            said.contains("Traceback") && !said.contains("pip"),
            "{said}"
        );
    }

    #[test]
    fn a_partial_success_is_a_success() {
        let built = Some(&["success", "partial success", "skipped"][..]);
        assert_eq!(of(Exit::Code(1), &[VERSION], built), Verdict::Success);
        let failed_too = Some(&["partial success", "error"][..]);
        failed(of(Exit::Code(1), &[VERSION], failed_too));
        failed(of(Exit::Code(1), &[VERSION], Some(&["skipped"])));
        // A dbt that had to stop exits with 2.
        failed(of(Exit::Code(2), &[VERSION], built));
    }

    #[test]
    fn signals_locks_and_deadlines_are_told_from_failures() {
        assert_eq!(
            of(Exit::Signal(9), &[VERSION], None),
            Verdict::Again("dbt build was ended by signal 9".into())
        );
        let locked = "IO Error: Could not set lock on file \"w.duckdb\"";
        assert_eq!(of(Exit::Code(2), &[VERSION, locked], None), Verdict::InUse);
        assert!(failed(of(Exit::TimedOut, &[VERSION], None)).contains("longer than 7 s"));
        let said = failed(of(Exit::OverMemory(1_001), &[VERSION], None));
        assert!(
            said.contains("1001 bytes of memory, more than 1000 (PUDATO_TRANSFORM_MEMORY_BYTES)"),
            "{said}"
        );
        assert_eq!(failed(of(Exit::Stopped, &[VERSION], None)), "too old");
    }

    #[test]
    fn artifacts_that_are_not_of_this_run_are_an_error() {
        let end = End {
            action: "build",
            exit: Exit::Code(0),
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
