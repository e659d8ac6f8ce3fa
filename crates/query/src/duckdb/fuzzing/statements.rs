//! Compares the statements that pudato finds in a text with those that DuckDB finds.

use crate::duckdb::parse::{self, Does};
use crate::duckdb::run;
use crate::duckdb::statements::{Kind, Statement, literal, printed_name, quote};
use crate::duckdb::tokens::{Token, tokens};
use crate::engine::{AnswerTo, Work};
use crate::parameters::Parameters;
use std::time::Duration;

/// Reads a text as SQL. If pudato accepts it, DuckDB must find the same number of statements with the same boundaries, and agree about
/// those that pudato treats as reads.
///
/// # Panics
/// If one of these does not hold.
pub fn sql(text: &[u8]) {
    let Ok(sql) = std::str::from_utf8(text) else {
        return;
    };
    quoted(sql);
    let work = work(sql);
    let Ok(statements) = run::read(&work) else {
        return;
    };
    let sql = work.sql.as_str();
    placed(sql, &statements);
    for statement in &statements {
        reads(statement);
    }
}

fn work(sql: &str) -> Work {
    Work {
        label: "a fuzzer".into(),
        sql: sql.to_owned(),
        is_script: true,
        parameters: Parameters::None,
        sources: Vec::new(),
        answer_to: AnswerTo::Rows {
            rows_max: 10,
            bytes_max: 1 << 20,
        },
        deadline: Duration::from_secs(1),
        identity: None,
        waits: crate::Waits::default(),
    }
}

/// A quoted text must be a single token with the same content.
fn quoted(text: &str) {
    if text.is_empty() {
        return;
    }
    assert_eq!(printed_name(&quote(text)), Some(vec![text.to_owned()]));
    let tokens = tokens(&literal(text)).expect("a text in quotes");
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].token, Token::Text(text.to_owned()));
}

/// DuckDB must find as many statements up to the end of each one, and as many from its start on.
fn placed(sql: &str, statements: &[Statement<'_>]) {
    let mut end = 0;
    for (n, statement) in statements.iter().enumerate() {
        let begin = statement.sql.as_ptr() as usize - sql.as_ptr() as usize;
        let between = &sql[end..begin];
        assert_eq!(parse::count(between), Ok(0), "{between:?} in {sql:?}");
        end = begin + statement.sql.len();
        // DuckDB makes several statements of one PIVOT.
        if statements.iter().any(|statement| statement.expands) {
            continue;
        }
        let (before, after) = (n as u64 + 1, (statements.len() - n) as u64);
        assert_eq!(
            parse::count(&sql[..end]),
            Ok(before),
            "up to {end} of {sql:?}"
        );
        assert_eq!(
            parse::count(&sql[begin..]),
            Ok(after),
            "from {begin} of {sql:?}"
        );
    }
    assert_eq!(parse::count(&sql[end..]), Ok(0), "after {end} of {sql:?}");
}

/// DuckDB's type of a statement that pudato treats as a read.
fn reads(statement: &Statement<'_>) {
    if !statement.kind.is_read() {
        return;
    }
    if let Some(explained) = &statement.explained {
        assert!(
            explained.kind.is_read(),
            "{:?} is explained by what is taken for a read",
            explained.sql
        );
        reads(explained);
    }
    let run = statement.instead.as_deref().unwrap_or(statement.sql);
    let does = parse::does(run);
    let is_fine = |does: &Does| match does {
        Does::Select | Does::NotKnown => true,
        Does::Explain => matches!(statement.kind, Kind::Explain | Kind::ExplainAnalyze),
        // The expansion of a PIVOT begins with the types of its columns.
        Does::Other => statement.expands,
    };
    assert!(
        does.iter().all(is_fine),
        "{:?} for pudato, {does:?} for DuckDB: {run:?}",
        statement.kind
    );
}
