//! What an action answers beside what every run of dbt does.

use crate::dbt::freshness::{self, Freshness};
use crate::dbt::kept::{Kept, Note};
use crate::dbt::log::Log;
use crate::dbt::run::Run;
use crate::lineage::naming::Naming;
use pudato_handler::{Answer, redact};
use pudato_protocol::{ExecutionRecord, Object};
use serde_json::{Value, json};
use std::path::Path;

/// Why the lineage of a macro is not whole.
const UNKNOWN: &str = "what the macro reads and writes, which dbt does not report";

#[derive(Default)]
pub(crate) struct More {
    data: Object,
    freshness: Option<Freshness>,
    is_macro: bool,
}

impl More {
    /// Reads it from what a run said and wrote into `out`.
    pub(crate) fn read(run: &Run<'_>, out: &Path, log: &mut Log, naming: &Naming<'_>) -> Self {
        let mut more = Self::default();
        let mut set = |name: &str, value: Value| more.data.insert(name.into(), value);
        if let Some(former) = &run.former {
            set("retried", former.execution_id.as_str().into());
        }
        if let Some(name) = &run.options.macro_name {
            set("macro", name.as_str().into());
            // What a macro logs is a log.
            let said = log.said.iter().map(|line| redact(line).into_owned());
            set("said", said.collect::<Vec<_>>().into());
            set("lines_said", log.lines_said.into());
            set("lineage", "partial".into());
            more.is_macro = true;
        }
        if run.name == "source_freshness" {
            match freshness::read(out, &log.sources, naming) {
                Ok(found) => more.freshness = Some(found),
                Err(why) => log.errors.push(why),
            }
        }
        more
    }

    /// Keeps what dbt wrote. Where that cannot be done the run stands all the same.
    pub(crate) fn keep(&mut self, run: &Run<'_>, kept: &Kept, out: &Path) {
        let note = Note {
            execution_id: run.execution.clone(),
            action: run.name.to_owned(),
            job: run.job.clone(),
            project: run.home(),
        };
        match kept.keep(&note, out) {
            Ok(places) => {
                self.data.insert("artifacts".into(), Value::Object(places));
            }
            Err(error) => {
                let (folder, execution) = (kept.0.display(), &run.execution);
                tracing::warn!(%error, %folder, execution, "pudato could not keep dbt's artifacts");
            }
        }
    }

    /// Adds it to an answer.
    pub(crate) fn tell(self, mut answer: Answer) -> Answer {
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
