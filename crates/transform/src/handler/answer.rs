//! Makes the answer of a run: its data, its lineage, and the rows of its tables.

use super::TransformHandler;
use crate::dbt::artifacts::Artifacts;
use crate::dbt::profile::Target;
use crate::dbt::run::Run;
use crate::lineage::naming::Naming;
use crate::lineage::{self, Lineage};
use pudato_handler::{Answer, Request};
use pudato_protocol::Object;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The most tables to count after a run.
const COUNTED_MAX: usize = 10_000;

impl TransformHandler {
    pub(super) async fn answer(
        &self,
        request: &Request<'_>,
        run: &Run<'_>,
        artifacts: Option<Artifacts>,
        target: &Target,
    ) -> Answer {
        let mut data = Object::new();
        let mut set = |name: &str, value: Value| data.insert(name.into(), value);
        set("command", run.name.into());
        set("logic_version", json!(run.version));
        set("logic_repository", json!(run.repository));
        set("execution_id", run.execution.as_str().into());
        // The values that the caller claims are kept beside the true ones.
        let claims = ["logic_version", "execution_id"]
            .into_iter()
            .filter_map(|name| {
                let claimed = request.command.metadata.get(name)?;
                Some((name.to_owned(), claimed.clone()))
            });
        let claims: Object = claims.collect();
        if !claims.is_empty() {
            set("claimed", Value::Object(claims));
        }
        let lineage = match &artifacts {
            Some(artifacts) => {
                let version = artifacts.manifest.metadata.dbt_version.as_deref();
                set("dbt_version", json!(version));
                self.lineage(run, artifacts, target).await
            }
            None => Lineage::default(),
        };
        set("nodes", Value::Array(lineage.nodes));
        let mut answer = Answer::new(data);
        answer.inputs = lineage.inputs;
        answer.outputs = lineage.outputs;
        answer.executions = lineage.executions;
        answer
    }

    async fn lineage(&self, run: &Run<'_>, artifacts: &Artifacts, target: &Target) -> Lineage {
        let naming = naming(run, target);
        let rows = match run.action {
            "compile" => BTreeMap::new(),
            _ => self.count(target, artifacts).await,
        };
        lineage::of_run(artifacts, &naming, run.action, run.full_refresh, &rows)
    }

    /// Counts the rows of tables whose adapter does not report them.
    async fn count(&self, target: &Target, artifacts: &Artifacts) -> BTreeMap<String, u64> {
        let tables = lineage::uncounted(artifacts);
        let mut counted = BTreeMap::new();
        for file in target.files() {
            let (mut ids, mut names) = (Vec::new(), Vec::new());
            for (id, [database, schema, name]) in tables.iter().take(COUNTED_MAX) {
                if let Some((_, own)) = target.file_of(database).filter(|(at, _)| *at == file) {
                    ids.push(id.clone());
                    names.push([own.to_owned(), schema.clone(), name.clone()]);
                }
            }
            if !names.is_empty() {
                let rows = self.warehouse.rows(file, &names).await;
                counted.extend(
                    ids.into_iter()
                        .zip(rows)
                        .filter_map(|(id, rows)| Some((id, rows?))),
                );
            }
        }
        counted
    }
}

pub(super) fn naming<'a>(run: &'a Run<'_>, target: &'a Target) -> Naming<'a> {
    Naming {
        namespace: &target.namespace,
        adapter: &target.adapter,
        attached: &target.attached,
        project: &run.project,
        repository: run.repository.as_deref(),
    }
}
