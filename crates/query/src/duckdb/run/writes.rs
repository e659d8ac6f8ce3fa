//! Records what a statement wrote, according to the catalog afterwards.

use super::Run;
use super::reads::merge;
use crate::duckdb::catalog::{Entry, TEMPORARY};
use crate::duckdb::statements::{Kind, Statement};
use crate::engine::EngineError;
use crate::lineage::{Lineage, Operation, Table};
use pudato_protocol::Dataset;

impl Run<'_> {
    /// The target of an ALTER, which may no longer exist under its old name afterwards.
    pub(super) fn target_before(
        &self,
        statement: &Statement<'_>,
    ) -> Result<Option<Table>, EngineError> {
        match (&statement.target, statement.kind) {
            (Some(target), Kind::Alter) => {
                let entry = self.catalog()?.resolve(target).cloned();
                let entry =
                    entry.filter(|entry| self.names.is_durable && entry.parts[0] != TEMPORARY);
                Ok(entry.map(|entry| self.table(&entry)))
            }
            _ => Ok(None),
        }
    }

    /// The dataset of a catalog entry.
    fn table(&self, entry: &Entry) -> Table {
        let parts: Vec<&str> = entry.parts.iter().map(String::as_str).collect();
        Table {
            dataset: Dataset::table(&self.names.namespace, &parts),
            kind: if entry.is_view { "view" } else { "table" }.into(),
            row_count: None,
            rows_changed: None,
        }
    }
    /// Adds the written table to the lineage, as the catalog shows it now.
    pub(super) fn written_by(
        &mut self,
        statement: &Statement<'_>,
        before: Option<Table>,
        rows: Option<u64>,
        lineage: &mut Lineage,
    ) -> Result<(), EngineError> {
        let operation = match statement.kind {
            Kind::CreateTable | Kind::CreateView => Operation::Create,
            Kind::Insert | Kind::CopyFrom => Operation::Insert,
            Kind::Update => Operation::Update,
            Kind::Delete => Operation::Delete,
            Kind::Truncate => Operation::Truncate,
            Kind::Merge => Operation::Merge,
            Kind::Alter => Operation::Alter,
            Kind::Drop => {
                self.forget(statement);
                return Ok(());
            }
            Kind::Unknown => {
                lineage.partial = Some("it is not known what this statement does".into());
                return Ok(());
            }
            Kind::Query
            | Kind::Show
            | Kind::Explain
            | Kind::ExplainAnalyze
            | Kind::ExplainChange
            | Kind::CreateOther
            | Kind::Upkeep => {
                return Ok(());
            }
        };
        let Some(mut target) = statement.target.clone() else {
            lineage.partial = Some("it is not known what this statement writes to".into());
            return Ok(());
        };
        if let (Some(renamed), Some(last)) = (&statement.renamed, target.last_mut()) {
            last.clone_from(renamed);
        }
        let catalog = self.catalog()?;
        let Some(entry) = catalog.resolve(&target) else {
            lineage.partial = Some(format!(
                "the table {} that it writes to cannot be told",
                target.join(".")
            ));
            return Ok(());
        };
        if entry.parts[0] == TEMPORARY {
            let name = entry.parts[2].to_ascii_lowercase();
            self.made_temporary(name, operation, lineage);
            return Ok(());
        }
        if !self.names.is_durable {
            let what = "payload.sql: this engine keeps no tables: make it TEMP, or write the answer to an object with `into`";
            return Err(EngineError::Invalid(what.into()));
        }
        let mut written = self.table(entry);
        if !entry.is_view {
            let [database, schema, name] = &entry.parts;
            written.row_count = Some(self.count([database, schema, name])?);
        }
        if !matches!(operation, Operation::Create | Operation::Alter) {
            written.rows_changed = rows;
        }
        let location = written.dataset.location();
        match operation {
            Operation::Update | Operation::Merge | Operation::Delete => {
                let reads_itself = lineage
                    .tables
                    .iter()
                    .any(|table| table.dataset == written.dataset);
                if !reads_itself && !lineage.own.contains(&location) {
                    lineage.partial = Some(format!(
                        "DuckDB's plan does not read {location}, which the statement changes"
                    ));
                }
            }
            Operation::Truncate => lineage
                .tables
                .retain(|table| table.dataset != written.dataset),
            Operation::Alter => {
                if let Some(before) = before {
                    let before_location = before.dataset.location();
                    if self.made.contains(&before_location) {
                        lineage.own.push(before_location);
                    } else {
                        lineage.tables.push(before);
                    }
                }
            }
            _ => {}
        }
        // Later statements that read it read the work's own data. A table that only gained rows still has its old rows.
        if matches!(
            operation,
            Operation::Create | Operation::Truncate | Operation::Alter
        ) {
            self.made.insert(location);
        }
        lineage.written = Some((written, operation));
        Ok(())
    }

    /// Records the lineage of a temporary table.
    fn made_temporary(&mut self, name: String, operation: Operation, lineage: &Lineage) {
        let made_from = self.temporary.entry(name).or_default();
        if matches!(operation, Operation::Create | Operation::Truncate) {
            *made_from = Lineage::default();
        }
        merge(made_from, lineage);
    }

    fn forget(&mut self, statement: &Statement<'_>) {
        if let Some(name) = statement.target.as_ref().and_then(|target| target.last()) {
            self.temporary.remove(&name.to_ascii_lowercase());
        }
    }
}
