//! Splits SQL into statements, and determines the kind and the target of each.
//!
//! This is a first reading. DuckDB's parser confirms that each piece is one statement (`parse.rs`), and its binder that the statement does
//! what its kind says (`plan.rs`), which also shows what it *reads*.

mod cursor;
mod forbidden;
mod heads;
mod names;

use super::answers;
use super::tokens::{Placed, Token, tokens};
use cursor::Cursor;
pub(super) use names::{literal, printed_name, quote};
use std::ops::Range;

/// The kind of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Returns rows and changes nothing.
    Query,
    /// Shows the catalog.
    Show,
    /// Shows the plan of a query.
    Explain,
    /// Runs a query and shows its profile.
    ExplainAnalyze,
    /// Shows the plan of a statement other than a query.
    ExplainChange,
    Insert,
    Update,
    Delete,
    Truncate,
    Merge,
    /// Loads a source into a table: `COPY table FROM 'source'`.
    CopyFrom,
    CreateTable,
    CreateView,
    /// Creates something without data: a schema, an index, a macro, a type, a sequence.
    CreateOther,
    Drop,
    Alter,
    /// A comment, statistics, a checkpoint, or a variable. It changes no data.
    Upkeep,
    /// An unknown first word. Such a statement is refused.
    Unknown,
}

impl Kind {
    /// The name of the kind in the execution record.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Query => "select",
            Self::Show => "show",
            Self::Explain | Self::ExplainAnalyze | Self::ExplainChange => "explain",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Merge => "merge",
            Self::CopyFrom => "copy",
            Self::CreateTable => "create_table",
            Self::CreateView => "create_view",
            Self::CreateOther => "create",
            Self::Drop => "drop",
            Self::Alter => "alter",
            Self::Upkeep => "upkeep",
            Self::Unknown => "other",
        }
    }

    /// Whether it changes nothing.
    pub(super) fn is_read(self) -> bool {
        matches!(
            self,
            Self::Query | Self::Show | Self::Explain | Self::ExplainAnalyze
        )
    }
}

/// One statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// The text of the statement, without the semicolon.
    pub(super) sql: &'a str,
    pub(super) kind: Kind,
    /// The parts of the name that it writes to, without quotes.
    pub(super) target: Option<Vec<String>>,
    /// The new name of the target.
    pub(super) renamed: Option<String>,
    /// Whether it contains IF NOT EXISTS.
    pub(super) if_not_exists: bool,
    /// The query within the statement, if it can be cut out of the text.
    pub(super) query: Option<&'a str>,
    /// The source that COPY loads, and the range of its quoted name in `sql`.
    pub(super) loads: Option<(String, Range<usize>)>,
    /// Whether DuckDB makes several statements of it although it is one query.
    pub(super) expands: bool,
    /// Whether DuckDB counts a row once for each row of another table that it matches.
    pub(super) counts_matches: bool,
    /// Whether it creates a macro.
    is_macro: bool,
    /// The statement that it explains.
    pub(super) explained: Option<Box<Statement<'a>>>,
    /// The query or the name that it describes.
    pub(super) shown: Option<&'a str>,
    /// The statement to run in its place.
    pub(super) instead: Option<String>,
}

impl Statement<'_> {
    /// The name of the macro that it creates.
    pub(super) fn macro_name(&self) -> Option<&str> {
        let name = self.target.as_ref().filter(|_| self.is_macro)?;
        name.last().map(String::as_str)
    }
}

/// Splits `sql`.
///
/// # Errors
/// A statement is malformed or not allowed. The error names it, and what to do instead.
pub(super) fn split(sql: &str) -> Result<Vec<Statement<'_>>, String> {
    let tokens = tokens(sql)?;
    let mut statements = Vec::new();
    for tokens in tokens.split(|token| token.token == Token::Symbol(';')) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            continue;
        };
        if names_answers(tokens) {
            return Err(answers::refused());
        }
        let range = first.range.start..last.range.end;
        statements.push(Cursor::new(sql, tokens).statement(&sql[range])?);
    }
    if statements.is_empty() {
        return Err("payload.sql: expected a statement, found none".into());
    }
    Ok(statements)
}

/// Whether the schema of stored answers is named: with a table in it, or as a schema.
fn names_answers(tokens: &[Placed]) -> bool {
    let is_word = |placed: &Placed, word: &str| matches!(&placed.token, Token::Word(own) if own.eq_ignore_ascii_case(word));
    let is_own = |placed: &Placed| matches!(&placed.token, Token::Word(own) | Token::Name(own) if own.eq_ignore_ascii_case(answers::SCHEMA));
    let of_schema = tokens.iter().any(|placed| is_word(placed, "SCHEMA"));
    let followed = tokens
        .windows(2)
        .any(|pair| is_own(&pair[0]) && pair[1].token == Token::Symbol('.'));
    followed || (of_schema && tokens.iter().any(is_own))
}
