//! Runs the statements of one work in order, and records what each one reads and writes.

mod check;
mod reads;
mod writes;

use super::bind;
use super::catalog::{self, Catalog};
use super::control::Control;
use super::fetch::{self, Fetched};
use super::rows::Rows;
use super::sources::{self, Bounds, PreparedSource};
use super::statements::{Kind, Statement, literal};
use crate::engine::{Answer, AnswerTo, EngineError, Executed, Outcome, Work};
use crate::lineage::Lineage;
pub(super) use check::read;
use duckdb::Connection;
use std::collections::{BTreeMap, BTreeSet};

/// The context of a connection's tables, for lineage.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// The catalog of the warehouse.
    pub(super) database: String,
    /// The namespace of the warehouse in lineage.
    pub(super) namespace: String,
    /// Whether tables outlive the work.
    pub(super) is_durable: bool,
    /// The most bytes that may be spilled to disk, in addition to sources and tables.
    pub(super) spill_bytes: u64,
}

/// A work in a transaction on one connection.
pub(super) struct Run<'a> {
    connection: &'a Connection,
    control: &'a Control,
    work: &'a Work,
    names: &'a Names,
    sources: Vec<PreparedSource>,
    /// The lineage of each temporary table.
    temporary: BTreeMap<String, Lineage>,
    /// The lineage of the variables.
    variables: Lineage,
    /// The locations that this work created.
    made: BTreeSet<String>,
    used_parameters: BTreeSet<String>,
    /// Receives the rows of the last statement.
    rows: &'a mut dyn Rows,
}

impl<'a> Run<'a> {
    /// Prepares the sources.
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
                "payload.sql: a macro {name} is not allowed: DuckDB has a function of this name, which the macro would replace for all users; \
                 choose another name"
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

    /// `COPY table FROM 'source'`, with the source's file in place of its name.
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
            // Only the last statement's answer is returned; the others run for their effect.
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
}

/// The number of rows that the statement changed or wrote.
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

/// Adds the number of the statement in its script.
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
