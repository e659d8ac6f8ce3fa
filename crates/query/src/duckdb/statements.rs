//! Splits a text into statements, and says what each is and what it writes to.
//!
//! What is told here is a first reading. That each piece is one statement is checked by DuckDB's parser (`parse.rs`), and that it
//! does what its kind says by its binder (`plan.rs`), which also tells what it *reads*.

use super::answers;
use super::tokens::{Placed, Token, tokens};
use std::ops::Range;

/// What a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Answers with rows and changes nothing.
    Query,
    /// Tells about the catalog.
    Show,
    /// Tells how a query would run.
    Explain,
    /// Runs a query and tells how it ran.
    ExplainAnalyze,
    /// Tells how a statement that is no query would run.
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
    /// Makes something that holds no data: a schema, an index, a macro, a type, a sequence.
    CreateOther,
    Drop,
    Alter,
    /// A comment, statistics, a checkpoint, a variable: no data is changed.
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

/// Reads the head of one statement.
struct Cursor<'a, 't> {
    sql: &'a str,
    tokens: &'t [Placed],
    next: usize,
}

impl<'a, 't> Cursor<'a, 't> {
    fn new(sql: &'a str, tokens: &'t [Placed]) -> Self {
        Self {
            sql,
            tokens,
            next: 0,
        }
    }

    /// The word that comes next, in upper case; quoted names are no words.
    fn word(&self) -> Option<String> {
        match &self.tokens.get(self.next)?.token {
            Token::Word(word) => Some(word.to_ascii_uppercase()),
            _ => None,
        }
    }

    fn is_at(&self, symbol: char) -> bool {
        self.tokens
            .get(self.next)
            .is_some_and(|next| next.token == Token::Symbol(symbol))
    }

    /// Goes past the words, where they come next.
    fn skip(&mut self, words: &[&str]) -> bool {
        let begin = self.next;
        for word in words {
            if self.word().as_deref() != Some(word) {
                self.next = begin;
                return false;
            }
            self.next += 1;
        }
        true
    }

    fn skip_any(&mut self, words: &[&str]) {
        while let Some(word) = self.word() {
            if !words.contains(&word.as_str()) {
                return;
            }
            self.next += 1;
        }
    }

    /// Goes past a group in parentheses, where one comes next.
    fn skip_group(&mut self) -> bool {
        if !self.is_at('(') {
            return false;
        }
        let mut depth = 0_u32;
        while let Some(placed) = self.tokens.get(self.next) {
            self.next += 1;
            match placed.token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        true
    }

    fn name_part(&mut self) -> Option<String> {
        let part = match &self.tokens.get(self.next)?.token {
            Token::Word(name) | Token::Name(name) | Token::Text(name) => name.clone(),
            _ => return None,
        };
        self.next += 1;
        Some(part)
    }

    /// A name of up to three parts.
    fn name(&mut self) -> Option<Vec<String>> {
        let mut parts = vec![self.name_part()?];
        while self.is_at('.') {
            self.next += 1;
            parts.push(self.name_part()?);
        }
        Some(parts)
    }

    /// Whether the words come next.
    fn skips(&self, words: &[&str]) -> bool {
        let at = |n: usize| match &self.tokens.get(self.next + n)?.token {
            Token::Word(word) => Some(word),
            _ => None,
        };
        let mut words = words.iter().enumerate();
        words.all(|(n, word)| at(n).is_some_and(|own| own.eq_ignore_ascii_case(word)))
    }

    /// The text from here to where it ends, or to what comes after it, outside of parentheses.
    fn rest_until(&self, ends: impl Fn(&Self) -> bool) -> Option<&'a str> {
        let first = self.tokens.get(self.next)?;
        let (mut end, mut depth) = (first.range.start, 0_i32);
        for n in self.next..self.tokens.len() {
            let at = Self { next: n, ..*self };
            if depth == 0 && ends(&at) {
                break;
            }
            match self.tokens[n].token {
                Token::Symbol('(') => depth += 1,
                Token::Symbol(')') => depth -= 1,
                _ => {}
            }
            end = self.tokens[n].range.end;
        }
        Some(&self.sql[first.range.start..end])
    }

    /// Whether a FROM comes outside of parentheses, which is not that of IS DISTINCT FROM.
    fn reads_another(&self) -> bool {
        let is_from = |at: &Self| {
            let before = at.next.checked_sub(1).map(|next| Self { next, ..*at });
            at.skips(&["FROM"]) && !before.is_some_and(|before| before.skips(&["DISTINCT"]))
        };
        let (before, all) = (self.rest_until(is_from), self.rest());
        before.map(str::len) < all.map(str::len)
    }

    /// The text from here to the end.
    fn rest(&self) -> Option<&'a str> {
        let first = self.tokens.get(self.next)?;
        let last = self.tokens.last()?;
        Some(&self.sql[first.range.start..last.range.end])
    }

    fn statement(mut self, sql: &'a str) -> Result<Statement<'a>, String> {
        let mut statement = Statement {
            sql,
            kind: Kind::Unknown,
            target: None,
            renamed: None,
            if_not_exists: false,
            query: None,
            loads: None,
            expands: false,
            counts_matches: false,
            is_macro: false,
            explained: None,
            shown: None,
            instead: None,
        };
        let has_ctes = self.skip_ctes();
        if self.is_at('(') {
            statement.kind = Kind::Query;
            statement.query = Some(sql);
            return Ok(statement);
        }
        let Some(word) = self.word() else {
            return Ok(statement);
        };
        self.next += 1;
        match word.as_str() {
            "SELECT" | "FROM" | "VALUES" | "TABLE" | "PIVOT" | "UNPIVOT" | "PIVOT_WIDER"
            | "PIVOT_LONGER" => {
                statement.kind = Kind::Query;
                statement.query = Some(sql);
            }
            "SHOW" | "DESCRIBE" | "DESC" | "SUMMARIZE" => {
                statement.kind = Kind::Show;
                let _ = self.skip(&["TABLE"]);
                statement.shown = self.rest();
            }
            "EXPLAIN" => self.explain(&mut statement)?,
            "INSERT" => {
                let _ = self.skip(&["OR", "REPLACE"]) || self.skip(&["OR", "IGNORE"]);
                self.skip_any(&["INTO"]);
                statement.kind = Kind::Insert;
                statement.target = self.name();
                if self.skip(&["AS"]) {
                    self.next += 1;
                }
                self.skip_columns();
                let _ = self.skip(&["BY", "NAME"]) || self.skip(&["BY", "POSITION"]);
                let ends = |at: &Self| at.skips(&["ON", "CONFLICT"]) || at.skips(&["RETURNING"]);
                statement.query = self.rest_until(ends).filter(|_| !has_ctes);
            }
            "UPDATE" if self.word().as_deref() == Some("EXTENSIONS") && self.is_last_name() => {
                return Err(refused("UPDATE EXTENSIONS", NO_EXTENSIONS));
            }
            "UPDATE" => {
                statement.kind = Kind::Update;
                statement.target = self.name();
                statement.counts_matches = self.reads_another();
            }
            "DELETE" => {
                self.skip_any(&["FROM"]);
                statement.kind = Kind::Delete;
                statement.target = self.name();
            }
            "TRUNCATE" => {
                self.skip_any(&["TABLE"]);
                statement.kind = Kind::Truncate;
                statement.target = self.name();
            }
            "MERGE" => {
                self.skip_any(&["INTO"]);
                statement.kind = Kind::Merge;
                statement.target = self.name();
                statement.counts_matches = true;
            }
            "COPY" => self.copy(&mut statement)?,
            "CREATE" => self.create(&mut statement)?,
            "DROP" => self.drop(&mut statement)?,
            "ALTER" => self.alter(&mut statement),
            "COMMENT" | "ANALYZE" | "VACUUM" => statement.kind = Kind::Upkeep,
            "FORCE" if self.word().as_deref() == Some("CHECKPOINT") => {
                return Err(refused("FORCE CHECKPOINT", NO_CHECKPOINT));
            }
            "SET" | "RESET" if self.word().as_deref() == Some("VARIABLE") => {
                statement.kind = Kind::Upkeep
            }
            "PRAGMA" => self.pragma(&mut statement)?,
            other => {
                if let Some(why) = forbidden(other) {
                    return Err(refused(other, why));
                }
            }
        }
        Ok(statement)
    }

    /// Goes past `WITH [RECURSIVE] name [(..)] [USING KEY (..)] AS [[NOT] MATERIALIZED] (..), ..`.
    fn skip_ctes(&mut self) -> bool {
        if !self.skip(&["WITH"]) {
            return false;
        }
        self.skip_any(&["RECURSIVE"]);
        loop {
            self.next += 1;
            self.skip_group();
            if self.skip(&["USING", "KEY"]) {
                self.skip_group();
            }
            self.skip_any(&["AS", "NOT", "MATERIALIZED"]);
            if !self.skip_group() || !self.is_at(',') {
                return true;
            }
            self.next += 1;
        }
    }

    /// Goes past a list of columns; a query in parentheses is none.
    fn skip_columns(&mut self) {
        if !self.is_at('(') {
            return;
        }
        let begin = self.next;
        self.next += 1;
        let is_query = self.is_at('(')
            || self.word().is_some_and(|word| {
                [
                    "SELECT", "FROM", "WITH", "VALUES", "TABLE", "PIVOT", "UNPIVOT",
                ]
                .contains(&word.as_str())
            });
        self.next = begin;
        if !is_query {
            self.skip_group();
        }
    }

    /// Whether the name that comes next is followed by nothing, or by a group.
    fn is_last_name(&self) -> bool {
        self.tokens
            .get(self.next + 1)
            .is_none_or(|next| next.token == Token::Symbol('('))
    }

    fn explain(&mut self, statement: &mut Statement<'a>) -> Result<(), String> {
        let mut runs = self.skip(&["ANALYZE"]);
        if self.is_at('(') {
            let begin = self.next;
            self.skip_group();
            // Plain words only: an option that is written in another way could be read in two ways.
            for placed in &self.tokens[begin..self.next] {
                match &placed.token {
                    Token::Word(word) => runs |= word.eq_ignore_ascii_case("analyze"),
                    Token::Symbol('(' | ')' | ',') => {}
                    _ => {
                        let what = "write its options as plain words, e.g. EXPLAIN (FORMAT json)";
                        return Err(refused("EXPLAIN with quoted options", what));
                    }
                }
            }
        }
        let inner = self.rest().unwrap_or_default();
        let inner = Cursor::new(self.sql, &self.tokens[self.next..]).statement(inner)?;
        statement.kind = match inner.kind {
            Kind::Query if runs => Kind::ExplainAnalyze,
            Kind::Query | Kind::Show => Kind::Explain,
            _ => Kind::ExplainChange,
        };
        if runs && inner.kind != Kind::Query {
            let what = "it would run the statement; explain it without ANALYZE";
            return Err(refused(
                "EXPLAIN ANALYZE of a statement that is no query",
                what,
            ));
        }
        statement.explained = Some(Box::new(inner));
        Ok(())
    }

    fn copy(&mut self, statement: &mut Statement<'a>) -> Result<(), String> {
        statement.kind = Kind::CopyFrom;
        let into = || refused("COPY to a file", "write an object with `into`");
        if self.is_at('(') {
            return Err(into());
        }
        if self.word().as_deref() == Some("FROM") {
            return Err(refused("COPY FROM DATABASE", NO_OUTSIDE));
        }
        statement.target = self.name();
        self.skip_group();
        if !self.skip(&["FROM"]) {
            return Err(into());
        }
        let Some(Placed {
            token: Token::Text(name),
            range,
        }) = self.tokens.get(self.next)
        else {
            return Err(refused(
                "COPY from anything but a source",
                "write COPY table FROM 'name of a source'",
            ));
        };
        let begin = self.tokens.first().map_or(0, |first| first.range.start);
        statement.loads = Some((name.clone(), range.start - begin..range.end - begin));
        Ok(())
    }

    fn create(&mut self, statement: &mut Statement<'a>) -> Result<(), String> {
        let _ = self.skip(&["OR", "REPLACE"]);
        self.skip_any(&[
            "TEMP",
            "TEMPORARY",
            "LOCAL",
            "GLOBAL",
            "PERSISTENT",
            "UNLOGGED",
            "RECURSIVE",
            "UNIQUE",
        ]);
        let word = self.word().unwrap_or_default();
        self.next += 1;
        statement.if_not_exists = self.skip(&["IF", "NOT", "EXISTS"]);
        statement.kind = match word.as_str() {
            "TABLE" => Kind::CreateTable,
            "VIEW" => Kind::CreateView,
            "SECRET" => return Err(refused("CREATE SECRET", NO_OUTSIDE)),
            _ => Kind::CreateOther,
        };
        statement.is_macro = matches!(word.as_str(), "MACRO" | "FUNCTION");
        if statement.is_macro || matches!(word.as_str(), "TABLE" | "VIEW" | "SCHEMA") {
            statement.target = self.name();
        }
        self.skip_columns();
        if self.skip(&["AS"]) && matches!(statement.kind, Kind::CreateTable | Kind::CreateView) {
            let ends = |at: &Self| at.skips(&["WITH", "DATA"]) || at.skips(&["WITH", "NO", "DATA"]);
            statement.query = self.rest_until(ends);
        }
        Ok(())
    }

    fn drop(&mut self, statement: &mut Statement<'a>) -> Result<(), String> {
        statement.kind = Kind::Drop;
        self.skip_any(&["PERSISTENT", "TEMPORARY"]);
        if self.word().as_deref() == Some("SECRET") {
            return Err(refused("DROP SECRET", NO_OUTSIDE));
        }
        self.next += 1;
        let _ = self.skip(&["IF", "EXISTS"]);
        statement.target = self.name();
        Ok(())
    }

    fn alter(&mut self, statement: &mut Statement<'a>) {
        statement.kind = match self.word().as_deref() {
            Some("TABLE" | "VIEW") => Kind::Alter,
            _ => Kind::CreateOther,
        };
        self.next += 1;
        let _ = self.skip(&["IF", "EXISTS"]);
        statement.target = self.name();
        if self.skip(&["RENAME", "TO"]) {
            statement.renamed = self.name_part();
        }
    }

    /// Those that only tell something are queries, and run as such.
    fn pragma(&mut self, statement: &mut Statement<'a>) -> Result<(), String> {
        const FUNCTIONS: [&str; 6] = [
            "COLLATIONS",
            "DATABASE_SIZE",
            "PLATFORM",
            "TABLE_INFO",
            "USER_AGENT",
            "VERSION",
        ];
        statement.kind = Kind::Show;
        let word = self.word().unwrap_or_default();
        self.next += 1;
        let arguments = self.next;
        self.skip_group();
        let arguments =
            &self.tokens[arguments.min(self.tokens.len())..self.next.min(self.tokens.len())];
        let arguments = match arguments {
            [first, .., last] => &self.sql[first.range.start..last.range.end],
            _ => "()",
        };
        let is_whole = self.next >= self.tokens.len();
        statement.instead = Some(match word.as_str() {
            "SHOW_TABLES" if is_whole => "SHOW TABLES".into(),
            "DATABASE_LIST" if is_whole => "SELECT * FROM system.main.pragma_database_list".into(),
            function if is_whole && FUNCTIONS.contains(&function) => {
                let function = function.to_ascii_lowercase();
                format!("SELECT * FROM system.main.pragma_{function}{arguments}")
            }
            _ => return Err(refused(&format!("PRAGMA {word}"), NO_SETTINGS)),
        });
        Ok(())
    }
}

const NO_OUTSIDE: &str = "SQL reaches the warehouse and the Command's `sources` only";
const NO_EXTENSIONS: &str = "extensions are fixed when the engine starts";
const NO_SETTINGS: &str = "settings are fixed when the engine starts";
const NO_CHECKPOINT: &str = "the warehouse is written whole whenever its file is closed";
const NO_TRANSACTION: &str =
    "a Command is one transaction already: all of it takes effect, or nothing";
const NO_PREPARED: &str = "send the statement itself, with `parameters`";

/// Why a statement that begins with this word is not allowed.
fn forbidden(word: &str) -> Option<&'static str> {
    Some(match word {
        "ATTACH" | "DETACH" | "EXPORT" | "IMPORT" => NO_OUTSIDE,
        "INSTALL" | "LOAD" | "FORCE" => NO_EXTENSIONS,
        "SET" | "RESET" | "USE" => NO_SETTINGS,
        "CHECKPOINT" => NO_CHECKPOINT,
        "CALL" => "select from the function instead",
        "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" => NO_TRANSACTION,
        "PREPARE" | "EXECUTE" | "DEALLOCATE" => NO_PREPARED,
        _ => return None,
    })
}

fn refused(what: &str, why: &str) -> String {
    format!("payload.sql: {what} is not allowed: {why}")
}

/// The parts of a name as DuckDB prints it: `catalog.schema."quoted ""name"""`.
pub(super) fn printed_name(name: &str) -> Option<Vec<String>> {
    let tokens = tokens(name).ok()?;
    let mut cursor = Cursor::new(name, &tokens);
    let parts = cursor.name()?;
    (cursor.next == tokens.len()).then_some(parts)
}

/// Quotes a name for SQL. The one function that does (behaviours.md, security line 17).
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a text for SQL; for names of files of our own only, since values are bound.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::{printed_name, quote};

    #[test]
    fn a_quoted_name_is_one_name_and_read_back_as_it_was() {
        let long = "x".repeat(10_000);
        for name in [
            "a",
            "a\"b",
            "a.b",
            "\"",
            "; DROP TABLE t --",
            "Größe\n日本",
            "select",
            " ",
            &long,
        ] {
            assert_eq!(
                printed_name(&quote(name)),
                Some(vec![name.to_owned()]),
                "{name:?}"
            );
        }
    }
}
