//! Finds out what a statement reads, from the plan of DuckDB's binder, and refuses what it may not read.

use super::Run;
use crate::duckdb::catalog::TEMPORARY;
use crate::duckdb::errors::{engine_error, is_binder, is_no_table};
use crate::duckdb::plan::{self, Reads};
use crate::duckdb::sources::{self, PreparedSource};
use crate::duckdb::statements::{Kind, Statement, quote, split};
use crate::duckdb::{bind, parse, pivot, relations};
use crate::engine::EngineError;
use crate::lineage::{Lineage, Table};
use duckdb::params_from_iter;
use pudato_protocol::Dataset;
use std::collections::BTreeSet;

impl Run<'_> {
    /// What the statement reads according to DuckDB's binder, or why it is refused. Every statement is planned before it runs, except for
    /// COMMENT, which reads nothing.
    pub(super) fn read_by(
        &mut self,
        statement: &Statement<'_>,
        sql: &str,
    ) -> Result<Lineage, EngineError> {
        sources::stand_in(self.connection, &self.sources)?;
        let mut lineage = match statement.kind {
            Kind::Explain | Kind::ExplainAnalyze | Kind::ExplainChange => {
                let Some(explained) = &statement.explained else {
                    return Err(unknown("EXPLAIN"));
                };
                let read = self.read_by(explained, explained.sql)?;
                match statement.kind {
                    Kind::ExplainAnalyze => read,
                    // A plan contains no data.
                    _ => Lineage::default(),
                }
            }
            Kind::Show => self.read_by_show(statement, sql)?,
            Kind::CreateView => {
                self.planned(sql, Kind::CreateView)?;
                let query = statement.query.ok_or_else(|| unknown("CREATE VIEW"))?;
                let reads = self.planned(query, Kind::Query)?;
                self.lineage_with_views(&reads, Some(query))?
            }
            Kind::CreateOther => {
                let reads = self.planned(sql, statement.kind)?;
                match reads.changes.contains("CREATE_TYPE") {
                    true => self.lineage_of(&reads)?,
                    false => Lineage::default(),
                }
            }
            Kind::Alter | Kind::Drop => {
                self.planned(sql, statement.kind)?;
                Lineage::default()
            }
            Kind::Upkeep => self.read_by_upkeep(sql)?,
            _ if statement.expands => {
                let listed = pivot::with_values(sql)?;
                let reads = self.planned(&listed, statement.kind).map_err(in_pivot)?;
                self.lineage_with_views(&reads, Some(&listed))?
            }
            _ => {
                let reads = self.planned(sql, statement.kind)?;
                self.lineage_with_views(&reads, statement.query)?
            }
        };
        if let Some((name, _)) = &statement.loads {
            let loaded = self.sources.iter().filter(|source| source.is_called(name));
            lineage.sources.extend(loaded.map(PreparedSource::read));
        }
        // DuckDB puts the values of variables into the plan, so the statement reads whatever they were made from.
        if sql.to_ascii_lowercase().contains("getvariable") {
            merge(&mut lineage, &self.variables);
        }
        Ok(lineage)
    }

    /// Handles DESCRIBE, SHOW, SUMMARIZE, and the PRAGMAs that only report something. The plan of DESCRIBE does not show what it reads.
    fn read_by_show(
        &mut self,
        statement: &Statement<'_>,
        sql: &str,
    ) -> Result<Lineage, EngineError> {
        if let Some(shown) = statement.shown {
            let is_query = split(shown)
                .is_ok_and(|shown| matches!(&shown[..], [shown] if shown.kind == Kind::Query));
            let query = match is_query {
                true => shown.to_owned(),
                false => format!("FROM {shown}"),
            };
            match self.planned(&query, Kind::Query) {
                Ok(_) => {}
                // `SHOW TABLES` and the like refer to neither a table nor a file.
                Err(EngineError::Invalid(text)) if !is_query && is_no_table(&text) => {}
                Err(error) => return Err(error),
            }
        }
        let summarizes = sql.to_ascii_uppercase().starts_with("SUMMARIZE");
        let reads = self.plan(sql)?;
        let reads = Reads {
            refused: reads
                .refused
                .into_iter()
                .filter(|name| name != plan::DESCRIBED)
                .collect(),
            ..reads
        };
        plan::check(&reads, Kind::Show).map_err(EngineError::Invalid)?;
        match summarizes {
            true => self.lineage_of(&reads),
            false => Ok(Lineage::default()),
        }
    }

    fn read_by_upkeep(&mut self, sql: &str) -> Result<Lineage, EngineError> {
        let word = sql.split(|c: char| !c.is_ascii_alphabetic()).next();
        let word = word.unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            // It has neither a plan nor an expression.
            "COMMENT" => Ok(Lineage::default()),
            "ANALYZE" => {
                self.planned(&format!("VACUUM {sql}"), Kind::Upkeep)?;
                Ok(Lineage::default())
            }
            "SET" => {
                let reads = self.planned(sql, Kind::Upkeep)?;
                let lineage = self.lineage_of(&reads)?;
                merge(&mut self.variables, &lineage);
                Ok(lineage)
            }
            _ => {
                self.planned(sql, Kind::Upkeep)?;
                Ok(Lineage::default())
            }
        }
    }

    /// What a statement of this kind reads, or why it is refused.
    fn planned(&mut self, sql: &str, kind: Kind) -> Result<Reads, EngineError> {
        let reads = self.plan(sql)?;
        plan::check(&reads, kind).map_err(EngineError::Invalid)?;
        Ok(reads)
    }

    fn lineage_with_views(
        &self,
        reads: &Reads,
        query: Option<&str>,
    ) -> Result<Lineage, EngineError> {
        let mut lineage = self.lineage_of(reads)?;
        if let Some(query) = query
            && !reads.tables.is_empty()
        {
            self.add_views(query, &mut lineage)?;
        }
        Ok(lineage)
    }

    /// The plan of a statement before the optimizer. The optimizer still runs, because DuckDB 1.5.6 prints no plan without it and crashes
    /// on some statements if it is turned off (`PRAGMA disable_optimizer`).
    fn plan(&mut self, sql: &str) -> Result<Reads, EngineError> {
        let explain = format!("{EXPLAIN}{sql}");
        let prepared = parse::prepare(self.connection, &explain, false);
        let mut prepared = prepared.map_err(without_explain)?;
        let values = bind::values(&prepared, &self.work.parameters, &mut self.used_parameters)?;
        let plans = prepared.query_map(params_from_iter(values), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        });
        let plans = plans.map_err(engine_error)?.collect::<Result<Vec<_>, _>>();
        let plans = plans.map_err(engine_error)?;
        let logical = plans.iter().find(|(name, _)| name == "logical_plan");
        let reads = logical.and_then(|(_, plan)| plan::reads(plan));
        reads.ok_or_else(|| unknown("a statement of this kind"))
    }

    /// Converts the binder's names into datasets, and replaces temporary tables by what they were made from.
    fn lineage_of(&self, reads: &Reads) -> Result<Lineage, EngineError> {
        let mut lineage = Lineage::default();
        for parts in &reads.tables {
            let [catalog, schema, name] = parts;
            if catalog == TEMPORARY {
                if let Some(source) = self.sources.iter().find(|source| source.stand_in == *name) {
                    lineage.sources.push(source.read());
                } else if let Some(made_from) = self.temporary.get(&name.to_ascii_lowercase()) {
                    merge(&mut lineage, made_from);
                }
                continue;
            }
            let dataset = Dataset::table(&self.names.namespace, &[catalog, schema, name]);
            let location = dataset.location();
            if self.made.contains(&location) {
                lineage.own.push(location);
                continue;
            }
            lineage.tables.push(Table {
                dataset,
                kind: "table".into(),
                row_count: Some(self.count([catalog, schema, name])?),
                rows_changed: None,
            });
        }
        Ok(lineage)
    }

    /// The row count of a table as this transaction sees it. DuckDB reads no column for it: 1 ms for 20 million rows, and less than the
    /// change itself if the transaction deleted many of them (60 ms after a DELETE of a third, which took 830 ms; measured with 1.5.6).
    pub(super) fn count(&self, parts: [&str; 3]) -> Result<u64, EngineError> {
        let name = parts.map(quote).join(".");
        let count = format!("SELECT system.main.count(*) FROM {name}");
        let count = self.connection.query_row(&count, [], |row| row.get(0));
        count.map_err(engine_error)
    }

    /// Adds the views that `query` reads, including views below other views.
    fn add_views(&self, query: &str, lineage: &mut Lineage) -> Result<(), EngineError> {
        let catalog = self.catalog()?;
        if !catalog.has_views() {
            return Ok(());
        }
        let mut seen = BTreeSet::new();
        let mut queries = vec![query.to_owned()];
        while let Some(query) = queries.pop() {
            let Some(names) = relations::names(self.connection, &query)? else {
                lineage.partial =
                    Some("DuckDB does not tell which views this query goes through".into());
                continue;
            };
            for name in names {
                let Some(view) = catalog.resolve(&name).filter(|entry| entry.is_view) else {
                    continue;
                };
                let [database, schema, name] = &view.parts;
                if database == TEMPORARY || !seen.insert(view.parts.clone()) {
                    continue;
                }
                let inner = view.sql.as_deref().and_then(|sql| split(sql).ok());
                queries.extend(
                    inner
                        .into_iter()
                        .flatten()
                        .filter_map(|inner| inner.query.map(str::to_owned)),
                );
                let dataset = Dataset::table(&self.names.namespace, &[database, schema, name]);
                if self.made.contains(&dataset.location()) {
                    lineage.own.push(dataset.location());
                    continue;
                }
                lineage.tables.push(Table {
                    dataset,
                    kind: "view".into(),
                    row_count: None,
                    rows_changed: None,
                });
            }
        }
        Ok(())
    }
}

fn unknown(what: &str) -> EngineError {
    EngineError::Invalid(format!(
        "payload.sql: {what} is not allowed: DuckDB does not tell what it reads"
    ))
}

/// Adds advice to the error of a PIVOT that cannot be planned.
fn in_pivot(error: EngineError) -> EngineError {
    match error {
        EngineError::Invalid(text) if is_binder(&text) => EngineError::Invalid(format!(
            "{text}\npudato determines what a PIVOT reads without its data: if a query names the columns that the PIVOT makes, {}",
            pivot::ADVICE
        )),
        other => other,
    }
}

/// The prefix of a statement that is being explained.
const EXPLAIN: &str = "EXPLAIN (FORMAT json) ";

/// Removes the prefix from DuckDB's error, which shows the wrong line and a marker below it.
fn without_explain(error: EngineError) -> EngineError {
    let EngineError::Invalid(text) = error else {
        return error;
    };
    let (mut lines, mut is_first_line) = (Vec::new(), false);
    for line in text.lines() {
        if is_first_line && line.trim() == "^" && line.len() > EXPLAIN.len() {
            lines.push(line[EXPLAIN.len()..].to_owned());
        } else {
            lines.push(line.replacen(&format!("LINE 1: {EXPLAIN}"), "LINE 1: ", 1));
        }
        is_first_line = line.starts_with("LINE 1: ");
    }
    EngineError::Invalid(lines.join("\n"))
}

pub(super) fn merge(into: &mut Lineage, from: &Lineage) {
    for table in &from.tables {
        if !into.tables.iter().any(|own| own.dataset == table.dataset) {
            into.tables.push(table.clone());
        }
    }
    for source in &from.sources {
        if !into.sources.contains(source) {
            into.sources.push(source.clone());
        }
    }
    for own in &from.own {
        if !into.own.contains(own) {
            into.own.push(own.clone());
        }
    }
    if into.partial.is_none() {
        into.partial.clone_from(&from.partial);
    }
}
