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
    /// Begins with no word that is known here; it is refused.
    Unknown,
}

impl Kind {
    /// Its name in the execution record.
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

    /// Whether it leaves everything as it is.
    pub(super) fn is_read(self) -> bool {
        matches!(
            self,
            Self::Query | Self::Show | Self::Explain | Self::ExplainAnalyze
        )
    }
}

/// One statement of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement<'a> {
    /// Its text, without the semicolon.
    pub(super) sql: &'a str,
    pub(super) kind: Kind,
    /// The name that it writes to, its parts unquoted.
    pub(super) target: Option<Vec<String>>,
    /// The target's new name.
    pub(super) renamed: Option<String>,
    /// It says IF NOT EXISTS.
    pub(super) if_not_exists: bool,
    /// The query inside of it, where it can be cut out as a text.
    pub(super) query: Option<&'a str>,
    /// The source that COPY loads, and where its name stands in `sql`, with its quotes.
    pub(super) loads: Option<(String, Range<usize>)>,
    /// DuckDB makes more than one statement of it, and it is one query nevertheless.
    pub(super) expands: bool,
    /// DuckDB counts a row once for each row of another table that it matches.
    pub(super) counts_matches: bool,
    /// It makes a macro.
    is_macro: bool,
    /// The statement that it explains.
    pub(super) explained: Option<Box<Statement<'a>>>,
    /// What it describes: a query, or a name.
    pub(super) shown: Option<&'a str>,
    /// What is run in its place.
    pub(super) instead: Option<String>,
}

impl Statement<'_> {
    /// The name of the macro that it makes.
    pub(super) fn macro_name(&self) -> Option<&str> {
        let name = self.target.as_ref().filter(|_| self.is_macro)?;
        name.last().map(String::as_str)
    }
}

/// Splits `sql`.
///
/// # Errors
/// A text that cannot be read, or a statement that is not allowed; the error says which and what to do instead.
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

/// Whether the schema of the kept answers is named: with something in it, or where a schema is spoken of.
fn names_answers(tokens: &[Placed]) -> bool {
    let is_word = |placed: &Placed, word: &str| matches!(&placed.token, Token::Word(own) if own.eq_ignore_ascii_case(word));
    let is_own = |placed: &Placed| matches!(&placed.token, Token::Word(own) | Token::Name(own) if own.eq_ignore_ascii_case(answers::SCHEMA));
    let of_schema = tokens.iter().any(|placed| is_word(placed, "SCHEMA"));
    let followed = tokens
        .windows(2)
        .any(|pair| is_own(&pair[0]) && pair[1].token == Token::Symbol('.'));
    followed || (of_schema && tokens.iter().any(is_own))
}
