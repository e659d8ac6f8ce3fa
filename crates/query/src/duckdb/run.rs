//! Runs the statements of one work in their order, and learns what each reads and writes.

use super::bind;
use super::catalog::{self, Catalog, TEMPORARY};
use super::control::Control;
use super::errors::engine_error;
use super::fetch::{self, Fetched};
use super::plan::{self, Reads};
use super::rows::Rows;
use super::sources::{self, Ready};
use super::statements::{Kind, Statement, literal, quote, split};
use super::{answers, parse, pivot, relations};
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
        Ok(Self {
            connection,
            control,
            work,
            names,
            sources: sources::prepare(connection, &work.sources)?,
            temporary: BTreeMap::new(),
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
        self.check_target(statement)?;
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
        let sql = loaded.as_deref().unwrap_or(statement.sql);
        let mut lineage = self.read_by(statement, sql)?;
        let before = self.target_before(statement)?;
        sources::reveal(self.connection, &self.sources)?;
        let fetched = self.fetch(statement, sql, is_last)?;
        let rows = rows(statement.kind, &fetched);
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

    /// What pudato keeps in the warehouse is not for statements to change.
    fn check_target(&self, statement: &Statement<'_>) -> Result<(), EngineError> {
        let is_own = |part: &String| part.eq_ignore_ascii_case(answers::SCHEMA);
        let target = statement.target.as_deref().unwrap_or_default();
        let schema = match (statement.kind, target) {
            (Kind::Drop | Kind::CreateOther, [name]) => Some(name),
            (_, [.., schema, _]) => Some(schema),
            _ => None,
        };
        let last_is_own = statement.kind == Kind::Drop && target.last().is_some_and(is_own);
        if last_is_own || schema.is_some_and(is_own) {
            let what = "payload.sql: the schema pudato is kept by pudato itself; use another one";
            return Err(EngineError::Invalid(what.into()));
        }
        Ok(())
    }

    /// `COPY table FROM 'source'` with the source's file in the place of its name.
    fn loaded(&self, statement: &Statement<'_>) -> Result<Option<String>, EngineError> {
        let Some((name, range)) = &statement.loads else {
            return Ok(None);
        };
        let Some(source) = self.sources.iter().find(|source| source.name == *name) else {
            return Err(EngineError::Invalid(format!(
                "payload.sql: COPY FROM {name:?} is not allowed: it reads `sources` only, and none has this name"
            )));
        };
        let mut sql = statement.sql.to_owned();
        sql.replace_range(range.clone(), &literal(&source.file));
        Ok(Some(sql))
    }

    /// What the statement reads, as DuckDB's binder sees it.
    fn read_by(&mut self, statement: &Statement<'_>, sql: &str) -> Result<Lineage, EngineError> {
        let to_explain = match statement.kind {
            Kind::Explain | Kind::ExplainAnalyze | Kind::ExplainChange | Kind::CreateView => {
                statement.query
            }
            Kind::Show if !sql.to_ascii_uppercase().starts_with("SUMMARIZE") => None,
            Kind::Alter | Kind::Drop | Kind::CreateOther | Kind::Upkeep => None,
            _ => Some(sql),
        };
        let Some(to_explain) = to_explain else {
            return Ok(Lineage::default());
        };
        sources::stand_in(self.connection, &self.sources)?;
        let plan = match statement.expands {
            true => self.explain_expanded(to_explain)?,
            false => self.explain(to_explain)?,
        };
        let Some(reads) = plan else {
            return Ok(Lineage {
                partial: Some("DuckDB shows no plan for this statement".into()),
                ..Lineage::default()
            });
        };
        plan::check(&reads, statement.kind).map_err(EngineError::Invalid)?;
        if let Some(function) = reads
            .outside
            .first()
            .filter(|_| statement.kind != Kind::CopyFrom)
        {
            return Err(EngineError::Invalid(format!(
                "payload.sql: {function} is not allowed: SQL reads the warehouse and the Command's `sources` only"
            )));
        }
        if matches!(statement.kind, Kind::Explain | Kind::ExplainChange) {
            // A plan is no data.
            return Ok(Lineage::default());
        }
        let mut lineage = self.lineage_of(&reads)?;
        if let Some((name, _)) = &statement.loads {
            let loaded = self.sources.iter().filter(|source| source.name == *name);
            lineage.sources.extend(loaded.map(Ready::read));
        }
        if let Some(query) = statement.query
            && !reads.tables.is_empty()
        {
            self.add_views(query, &mut lineage)?;
        }
        Ok(lineage)
    }

    /// The plan of a query that DuckDB expands.
    fn explain_expanded(&mut self, sql: &str) -> Result<Option<Reads>, EngineError> {
        let listed = pivot::with_values(sql)?;
        self.explain(&listed).map_err(|error| match error {
            EngineError::Invalid(text) => EngineError::Invalid(format!(
                "{text}\nWhat a PIVOT reads is told without its data: where a query names the columns that it makes, {}",
                pivot::ADVICE
            )),
            other => other,
        })
    }

    fn explain(&mut self, sql: &str) -> Result<Option<Reads>, EngineError> {
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
        Ok(logical.and_then(|(_, plan)| plan::reads(plan)))
    }

    /// Turns the binder's names into datasets, and temporary tables into what they were made from.
    fn lineage_of(&self, reads: &Reads) -> Result<Lineage, EngineError> {
        let mut lineage = Lineage::default();
        if !reads.unknown.is_empty() {
            let names: Vec<&str> = reads.unknown.iter().map(String::as_str).collect();
            lineage.partial = Some(format!("it is not known what {} reads", names.join(", ")));
        }
        for parts in &reads.tables {
            let [catalog, schema, name] = parts;
            if catalog == TEMPORARY {
                if let Some(source) = self.sources.iter().find(|source| source.stand_in == *name) {
                    lineage.sources.push(source.read());
                } else if let Some(made_from) = self.temporary.get(name) {
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
            let count = format!(
                "SELECT system.main.count(*) FROM {}.{}.{}",
                quote(catalog),
                quote(schema),
                quote(name)
            );
            let count = self.connection.query_row(&count, [], |row| row.get(0));
            lineage.tables.push(Table {
                dataset,
                kind: "table".into(),
                row_count: Some(count.map_err(engine_error)?),
            });
        }
        Ok(lineage)
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
            for name in relations::names(self.connection, &query)? {
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
                });
            }
        }
        Ok(())
    }

    /// The target of a change of columns or name, which is gone under its old name afterwards.
    fn target_before(&self, statement: &Statement<'_>) -> Result<Option<Table>, EngineError> {
        match (&statement.target, statement.kind) {
            (Some(target), Kind::Alter) => {
                Ok(self.table(target, None)?.filter(|_| self.names.is_durable))
            }
            _ => Ok(None),
        }
    }

    /// The dataset that a name means; `None` where it is temporary or cannot be told.
    fn table(&self, name: &[String], row_count: Option<u64>) -> Result<Option<Table>, EngineError> {
        let catalog = self.catalog()?;
        let entry = catalog
            .resolve(name)
            .filter(|entry| entry.parts[0] != TEMPORARY);
        Ok(entry.map(|entry| {
            let parts: Vec<&str> = entry.parts.iter().map(String::as_str).collect();
            Table {
                dataset: Dataset::table(&self.names.namespace, &parts),
                kind: if entry.is_view { "view" } else { "table" }.into(),
                row_count,
            }
        }))
    }

    fn fetch(
        &mut self,
        statement: &Statement<'_>,
        sql: &str,
        is_last: bool,
    ) -> Result<Fetched, EngineError> {
        let fetched = match &self.work.answer_to {
            AnswerTo::File { file, format } if is_last => {
                let file = file.display().to_string();
                fetch::into_file(
                    self.connection,
                    sql,
                    statement.expands,
                    &file,
                    *format,
                    &self.work.parameters,
                    &mut self.used_parameters,
                )
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
            Kind::Delete | Kind::Truncate => Operation::Delete,
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
            let name = entry.parts[2].clone();
            self.made_temporary(name, operation, lineage);
            return Ok(());
        }
        if !self.names.is_durable {
            let what = "payload.sql: this engine keeps no tables: make it TEMP, or write the answer to an object with `into`";
            return Err(EngineError::Invalid(what.into()));
        }
        let rows = rows.filter(|_| operation != Operation::Alter);
        let Some(written) = self.table(&target, rows)? else {
            return Ok(());
        };
        let location = written.dataset.location();
        match operation {
            Operation::Update | Operation::Merge | Operation::Delete
                if statement.kind != Kind::Truncate =>
            {
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
            Operation::Delete => lineage
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
        if operation == Operation::Create || operation == Operation::Alter {
            self.made.insert(location);
        }
        lineage.written = Some((written, operation));
        Ok(())
    }

    /// A temporary table passes on what it was made from.
    fn made_temporary(&mut self, name: String, operation: Operation, lineage: &Lineage) {
        let made_from = self.temporary.entry(name).or_default();
        if operation == Operation::Create {
            *made_from = Lineage::default();
        }
        merge(made_from, lineage);
    }

    fn forget(&mut self, statement: &Statement<'_>) {
        if let Some(name) = statement.target.as_ref().and_then(|target| target.last()) {
            self.temporary.remove(name);
        }
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
