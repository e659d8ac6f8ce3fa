//! Parses the SQL of a work and refuses invalid statements before anything is opened.

use crate::duckdb::parse;
use crate::duckdb::statements::{Kind, Statement, split};
use crate::engine::{AnswerTo, EngineError, Work};

/// Parses the SQL of a work and checks everything that needs no connection.
///
/// # Errors
/// `Invalid`: the SQL cannot be parsed, contains more than one statement, or is not allowed.
pub(in crate::duckdb) fn read(work: &Work) -> Result<Vec<Statement<'_>>, EngineError> {
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
