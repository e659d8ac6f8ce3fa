//! The part of an answer that only some actions have.

use crate::dbt::artifact_store::{ArtifactStore, RunRecord};
use crate::dbt::freshness::{self, Freshness};
use crate::dbt::log::Log;
use crate::dbt::run::Run;
use crate::lineage::naming::Naming;
use pudato_handler::{Answer, redact};
use pudato_protocol::{ExecutionRecord, Object};
use serde_json::{Value, json};
use std::path::Path;

/// Why the lineage of a macro is partial.
const UNKNOWN: &str = "what the macro reads and writes, which dbt does not report";

#[derive(Default)]
pub(crate) struct ExtraOutput {
    data: Object,
    freshness: Option<Freshness>,
    is_macro: bool,
}

impl ExtraOutput {
    /// Reads it from the log of a run and the files in `out`.
    pub(crate) fn read(run: &Run<'_>, out: &Path, log: &mut Log, naming: &Naming<'_>) -> Self {
        let mut extra = Self::default();
        let mut set = |name: &str, value: Value| extra.data.insert(name.into(), value);
        if let Some(previous) = &run.previous {
            set("retried", previous.execution_id.as_str().into());
        }
        if let Some(name) = &run.options.macro_name {
            set("macro", name.as_str().into());
            // The messages of a macro may contain secrets, as a log may.
            let said = log.said.iter().map(|line| redact(line).into_owned());
            set("said", said.collect::<Vec<_>>().into());
            set("lines_said", log.lines_said.into());
            set("lineage", "partial".into());
            extra.is_macro = true;
        }
        if run.name == "source_freshness" {
            match freshness::read(out, &log.sources, naming) {
                Ok(found) => extra.freshness = Some(found),
                Err(why) => log.errors.push(why),
            }
        }
        extra
    }

    /// Stores dbt's files. If that fails, the run still counts.
    pub(crate) fn keep(&mut self, run: &Run<'_>, artifact_store: &ArtifactStore, out: &Path) {
        let record = RunRecord {
            execution_id: run.execution.clone(),
            action: run.name.to_owned(),
            job: run.job.clone(),
            project: run.home(),
        };
        match artifact_store.keep(&record, out) {
            Ok(places) => {
                self.data.insert("artifacts".into(), Value::Object(places));
            }
            Err(error) => {
                let (folder, execution) = (artifact_store.0.display(), &run.execution);
                tracing::warn!(%error, %folder, execution, "pudato could not keep dbt's artifacts");
            }
        }
    }

    /// Adds it to the answer.
    pub(crate) fn add_to(self, mut answer: Answer) -> Answer {
        answer.data.extend(self.data);
        if self.is_macro {
            let nodes = answer.data.get("nodes").and_then(Value::as_array);
            let records = nodes.into_iter().flatten().map(|node| {
                let details = json!({
                    "unique_id": node["unique_id"], "resource_type": "macro", "status": node["status"], "seconds": node["seconds"],
                    "lineage": "partial", "lineage_missing": UNKNOWN,
                });
                let details = details.as_object().cloned().unwrap_or_default();
                ExecutionRecord::new("dbt", details)
            });
            let records: Vec<_> = records.collect();
            answer.executions.extend(records);
        }
        if let Some(mut freshness) = self.freshness {
            freshness.tell(&mut answer.data);
            answer.inputs.append(&mut freshness.inputs);
            answer.executions.append(&mut freshness.executions);
        }
        answer
    }
}
