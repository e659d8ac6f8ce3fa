//! Reads the head of a statement: its kind, what it writes to, and the query inside it.

use super::cursor::Cursor;
use super::forbidden::{NO_CHECKPOINT, NO_EXTENSIONS, NO_OUTSIDE, NO_SETTINGS, forbidden, refused};
use super::{Kind, Statement};
use crate::duckdb::tokens::{Placed, Token};

impl<'a> Cursor<'a, '_> {
    pub(super) fn statement(mut self, sql: &'a str) -> Result<Statement<'a>, String> {
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

    fn explain(&mut self, statement: &mut Statement<'a>) -> Result<(), String> {
        let mut runs = self.skip(&["ANALYZE"]);
        if self.is_at('(') {
            let begin = self.next;
            self.skip_group();
            // Only plain words are accepted, because DuckDB could read any other form differently.
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
                "EXPLAIN ANALYZE of a statement that is not a query",
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

    /// PRAGMAs that only report something run as queries.
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
