//! Runs the statements of one work in their order, and learns what each reads and writes.

use super::bind;
use super::catalog::{self, Catalog, Entry, TEMPORARY};
use super::control::Control;
use super::errors::{engine_error, is_binder, is_no_table};
use super::fetch::{self, Fetched};
use super::plan::{self, Reads};
use super::rows::Rows;
use super::sources::{self, Bounds, Ready};
use super::statements::{Kind, Statement, literal, quote, split};
use super::{parse, pivot, relations};
use crate::engine::{Answer, AnswerTo, EngineError, Executed, Outcome, Work};
use crate::lineage::{Lineage, Operation, Table};
use duckdb::{Connection, params_from_iter};
use pudato_protocol::Dataset;
use std::collections::{BTreeMap, BTreeSet};

/// Where the tables of a connection are, for lineage.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The catalog of the warehouse.
    pub(super) database: String,
    /// Its namespace in lineage.
    pub(super) namespace: String,
    /// Whether tables outlive the work.
    pub(super) is_durable: bool,
    /// Most bytes that may lie on the disk while the work runs, beside its sources and tables.
    pub(super) spill_bytes: u64,
}

/// Reads the SQL of a work and checks what can be checked before anything is opened.
///
/// # Errors
/// `Invalid`: it cannot be parsed, is more than one statement, or is not allowed.
pub(super) fn read(work: &Work) -> Result<Vec<Statement<'_>>, EngineError> {
    let invalid = |text: String| EngineError::Invalid(text);
    let count = |sql: &str| {
        parse::count(sql).map_err(|error| EngineError::Invalid(format!("payload.sql: {error}")))
    };
    let mut statements = split(&work.sql).map_err(invalid)?;
    for statement in &mut statements {
        let count = count(statement.sql)?;
        statement.expands =
            count > 1 && statement.kind == Kind::Query && parse::is_one_query(statement.sql);
        if count != 1 && !statement.expands {
            return Err(invalid(format!(
                "payload.sql: expected one statement, found {count}: {}",
                statement.sql
            )));
        }
        if statement.kind == Kind::Unknown {
            let word = statement.sql.split_whitespace().next().unwrap_or_default();
            return Err(invalid(format!(
                "payload.sql: a statement that begins with {word} is not allowed: it is not known what it does"
            )));
        }
    }
    let expands = statements.iter().any(|statement| statement.expands);
    let as_a_whole = count(&work.sql)?;
    if !expands && as_a_whole != statements.len() as u64 {
        return Err(invalid(format!(
            "payload.sql: DuckDB reads {as_a_whole} statements where pudato reads {}; send them one by one",
            statements.len()
        )));
    }
    if !work.is_script && statements.len() > 1 {
        let count = statements.len();
        return Err(invalid(format!(
            "payload.sql: expected one statement, found {count}; send them with execute_script"
        )));
    }
    if work.is_script && matches!(work.parameters, crate::Parameters::Positional(_)) {
        let what = "payload.parameters: expected an object of values, because a script has more than one statement";
        return Err(invalid(what.into()));
    }
    let last = statements.last().map(|last| last.kind);
    if matches!(work.answer_to, AnswerTo::File { .. }) && last != Some(Kind::Query) {
        let what = "payload.into: expected a query as the last statement, since only a query has an answer to write";
        return Err(invalid(what.into()));
    }
    Ok(statements)
}

/// One work on one connection, within a transaction.
pub(super) struct Run<'a> {
    connection: &'a Connection,
    control: &'a Control,
    work: &'a Work,
    names: &'a Names,
    sources: Vec<Ready>,
    /// What tables that live only while the work runs were made from.
    temporary: BTreeMap<String, Lineage>,
    /// What variables were made from.
    variables: Lineage,
    /// Locations that this work has made.
    made: BTreeSet<String>,
    used_parameters: BTreeSet<String>,
    /// Takes the rows of the last statement.
    rows: &'a mut dyn Rows,
}

impl<'a> Run<'a> {
    /// Makes the sources ready.
    pub(super) fn new(
        connection: &'a Connection,
        control: &'a Control,
        work: &'a Work,
        names: &'a Names,
        rows: &'a mut dyn Rows,
    ) -> Result<Self, EngineError> {
        let bounds = Bounds {
            control,
            copy_bytes_max: names.spill_bytes,
        };
        Ok(Self {
            connection,
            control,
            work,
            names,
            sources: sources::prepare(connection, &work.sources, &bounds)?,
            temporary: BTreeMap::new(),
            variables: Lineage::default(),
            made: BTreeSet::new(),
            used_parameters: BTreeSet::new(),
            rows,
        })
    }

    /// Runs all statements.
    pub(super) fn all(mut self, statements: &[Statement<'_>]) -> Result<Outcome, EngineError> {
        let mut executed = Vec::with_capacity(statements.len());
        let mut answer = None;
        for (n, statement) in statements.iter().enumerate() {
            let is_last = n + 1 == statements.len();
            let ran = self.one(statement, is_last);
            let (done, fetched) = ran.map_err(|error| in_script(error, n, statements.len()))?;
            executed.push(done);
            answer = is_last.then_some(fetched.answer).or(answer);
        }
        bind::check_used(&self.work.parameters, &self.used_parameters)?;
        let answer = answer
            .ok_or_else(|| EngineError::Invalid("payload.sql: expected a statement".into()))?;
        Ok(Outcome {
            answer,
            statements: executed,
        })
    }

    fn one(
        &mut self,
        statement: &Statement<'_>,
        is_last: bool,
    ) -> Result<(Executed, Fetched), EngineError> {
        self.control.check()?;
        if let Some(name) = statement.macro_name()
            && catalog::is_built_in(self.connection, name)?
        {
            return Err(EngineError::Invalid(format!(
                "payload.sql: a macro {name} is not allowed: DuckDB has a function of this name, which it would replace for everybody; \
                 choose another"
            )));
        }
        let existed = match (&statement.target, statement.if_not_exists) {
            (Some(target), true) => self.catalog()?.resolve(target).is_some(),
            _ => false,
        };
        let loaded = self.loaded(statement)?;
        let instead = loaded.as_deref().or(statement.instead.as_deref());
        let sql = instead.unwrap_or(statement.sql);
        let mut lineage = self.read_by(statement, sql)?;
        let before = self.target_before(statement)?;
        sources::reveal(self.connection, &self.sources)?;
        let fetched = self.fetch(statement, sql, is_last)?;
        let rows = rows(statement.kind, &fetched).filter(|_| !statement.counts_matches);
        if !existed {
            self.written_by(statement, before, rows, &mut lineage)?;
        }
        let executed = Executed {
            sql: statement.sql.to_owned(),
            kind: statement.kind.name().into(),
            rows,
            lineage,
        };
        Ok((executed, fetched))
    }

    fn catalog(&self) -> Result<Catalog, EngineError> {
        Catalog::read(self.connection, &self.names.database)
    }

    /// `COPY table FROM 'source'` with the source's file in the place of its name.
    fn loaded(&self, statement: &Statement<'_>) -> Result<Option<String>, EngineError> {
        let Some((name, range)) = &statement.loads else {
            return Ok(None);
        };
        let Some(source) = self.sources.iter().find(|source| source.is_called(name)) else {
            return Err(EngineError::Invalid(format!(
                "payload.sql: COPY FROM {name:?} is not allowed: it reads `sources` only, and none has this name"
            )));
        };
        let mut sql = statement.sql.to_owned();
        sql.replace_range(range.clone(), &literal(&source.file));
        Ok(Some(sql))
    }

    /// What the statement reads, as DuckDB's binder sees it, and whether it may. No statement runs that was not planned before,
    /// but for a comment, which reads nothing.
    fn read_by(&mut self, statement: &Statement<'_>, sql: &str) -> Result<Lineage, EngineError> {
        sources::stand_in(self.connection, &self.sources)?;
        let mut lineage = match statement.kind {
            Kind::Explain | Kind::ExplainAnalyze | Kind::ExplainChange => {
                let Some(explained) = &statement.explained else {
                    return Err(unknown("EXPLAIN"));
                };
                let read = self.read_by(explained, explained.sql)?;
                match statement.kind {
                    Kind::ExplainAnalyze => read,
                    // A plan is no data.
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
            lineage.sources.extend(loaded.map(Ready::read));
        }
        // DuckDB puts a variable's value into the plan: who uses one read what it was made from.
        if sql.to_ascii_lowercase().contains("getvariable") {
            merge(&mut lineage, &self.variables);
        }
        Ok(lineage)
    }

    /// DESCRIBE, SHOW, SUMMARIZE, and the PRAGMAs that tell something. What DESCRIBE reads its plan does not show.
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
                // `SHOW TABLES`, and the like: no table, nor a file.
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
            // It has no plan, and no expression either.
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

    /// What a text of this kind reads; refused where it may not.
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

    /// The plan of a text, before the optimizer. The optimizer runs nevertheless: DuckDB 1.5.6 prints no plan without it, and it
    /// crashes on some statements where it is turned off (`PRAGMA disable_optimizer`).
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

    /// Turns the binder's names into datasets, and temporary tables into what they were made from.
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

    /// The rows of a table as this transaction sees it. DuckDB reads no column for it: 1 ms for 20 million rows, and less than the
    /// change itself where the transaction deleted many of them (60 ms after a DELETE of a third, which took 830; measured with 1.5.6).
    fn count(&self, parts: [&str; 3]) -> Result<u64, EngineError> {
        let name = parts.map(quote).join(".");
        let count = format!("SELECT system.main.count(*) FROM {name}");
        let count = self.connection.query_row(&count, [], |row| row.get(0));
        count.map_err(engine_error)
    }

    /// Adds the views that `query` goes through, also those below other views.
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

    /// The target of a change of columns or name, which is gone under its old name afterwards.
    fn target_before(&self, statement: &Statement<'_>) -> Result<Option<Table>, EngineError> {
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

    /// The dataset that a name of the catalog stands for.
    fn table(&self, entry: &Entry) -> Table {
        let parts: Vec<&str> = entry.parts.iter().map(String::as_str).collect();
        Table {
            dataset: Dataset::table(&self.names.namespace, &parts),
            kind: if entry.is_view { "view" } else { "table" }.into(),
            row_count: None,
            rows_changed: None,
        }
    }

    fn fetch(
        &mut self,
        statement: &Statement<'_>,
        sql: &str,
        is_last: bool,
    ) -> Result<Fetched, EngineError> {
        let fetched = match &self.work.answer_to {
            AnswerTo::File { file, format } if is_last => {
                let fetch = fetch::Fetch {
                    connection: self.connection,
                    parameters: &self.work.parameters,
                    used: &mut self.used_parameters,
                    control: self.control,
                    rows_max: usize::MAX,
                    taken_by: None,
                };
                fetch::into_file(fetch, sql, statement.expands, file, *format)
            }
            // Only the last answer is given; the others are run for their effect.
            answer_to => {
                let (rows_max, taken_by) = match answer_to {
                    AnswerTo::Rows { rows_max, .. } if is_last => {
                        (*rows_max, Some(&mut *self.rows))
                    }
                    _ => (0, None),
                };
                let mut fetch = fetch::Fetch {
                    connection: self.connection,
                    parameters: &self.work.parameters,
                    used: &mut self.used_parameters,
                    control: self.control,
                    rows_max,
                    taken_by,
                };
                fetch.rows(sql, statement.kind, statement.expands)
            }
        };
        fetched.map_err(|error| self.control.explain(error))
    }

    /// What the statement wrote, as the catalog has it now.
    fn written_by(
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
        // From now on whoever reads it reads what this work made. A table that was only added to still has its old rows.
        if matches!(
            operation,
            Operation::Create | Operation::Truncate | Operation::Alter
        ) {
            self.made.insert(location);
        }
        lineage.written = Some((written, operation));
        Ok(())
    }

    /// A temporary table passes on what it was made from.
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

fn unknown(what: &str) -> EngineError {
    EngineError::Invalid(format!(
        "payload.sql: {what} is not allowed: DuckDB does not tell what it reads"
    ))
}

/// Says what to do about a PIVOT whose plan cannot be made.
fn in_pivot(error: EngineError) -> EngineError {
    match error {
        EngineError::Invalid(text) if is_binder(&text) => EngineError::Invalid(format!(
            "{text}\nWhat a PIVOT reads is told without its data: where a query names the columns that it makes, {}",
            pivot::ADVICE
        )),
        other => other,
    }
}

/// What stands before a statement while it is explained.
const EXPLAIN: &str = "EXPLAIN (FORMAT json) ";

/// DuckDB shows the line in which something is wrong, and where: as the user wrote it.
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

fn merge(into: &mut Lineage, from: &Lineage) {
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

/// Rows that the statement changed or wrote.
fn rows(kind: Kind, fetched: &Fetched) -> Option<u64> {
    match kind {
        Kind::Insert
        | Kind::CopyFrom
        | Kind::Update
        | Kind::Delete
        | Kind::Truncate
        | Kind::Merge => Some(fetched.changed),
        Kind::CreateTable => Some(fetched.changed),
        Kind::Query => match fetched.answer {
            Answer::File { row_count } => Some(row_count),
            Answer::Rows { .. } => None,
        },
        _ => None,
    }
}

/// Says which statement of a script it was.
fn in_script(error: EngineError, n: usize, count: usize) -> EngineError {
    match error {
        EngineError::Invalid(text) if count > 1 => {
            let text = text.strip_prefix("payload.sql: ").unwrap_or(&text);
            EngineError::Invalid(format!(
                "payload.sql: statement {} of {count}: {text}",
                n + 1
            ))
        }
        other => other,
    }
}
