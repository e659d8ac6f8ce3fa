//! A position within the tokens of a statement, with methods to read and skip what follows.

use crate::duckdb::tokens::{Placed, Token};

/// A position within the tokens of one statement.
pub(super) struct Cursor<'a, 't> {
    pub(super) sql: &'a str,
    pub(super) tokens: &'t [Placed],
    pub(super) next: usize,
}

impl<'a, 't> Cursor<'a, 't> {
    pub(super) fn new(sql: &'a str, tokens: &'t [Placed]) -> Self {
        Self {
            sql,
            tokens,
            next: 0,
        }
    }

    /// The next word, in upper case. A quoted name is not a word.
    pub(super) fn word(&self) -> Option<String> {
        match &self.tokens.get(self.next)?.token {
            Token::Word(word) => Some(word.to_ascii_uppercase()),
            _ => None,
        }
    }

    pub(super) fn is_at(&self, symbol: char) -> bool {
        self.tokens
            .get(self.next)
            .is_some_and(|next| next.token == Token::Symbol(symbol))
    }

    /// Skips these words if they come next.
    pub(super) fn skip(&mut self, words: &[&str]) -> bool {
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

    pub(super) fn skip_any(&mut self, words: &[&str]) {
        while let Some(word) = self.word() {
            if !words.contains(&word.as_str()) {
                return;
            }
            self.next += 1;
        }
    }

    /// Skips a group in parentheses if one comes next.
    pub(super) fn skip_group(&mut self) -> bool {
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

    pub(super) fn name_part(&mut self) -> Option<String> {
        let part = match &self.tokens.get(self.next)?.token {
            Token::Word(name) | Token::Name(name) | Token::Text(name) => name.clone(),
            _ => return None,
        };
        self.next += 1;
        Some(part)
    }

    /// Reads a name of up to three parts.
    pub(super) fn name(&mut self) -> Option<Vec<String>> {
        let mut parts = vec![self.name_part()?];
        while self.is_at('.') {
            self.next += 1;
            parts.push(self.name_part()?);
        }
        Some(parts)
    }

    /// Whether these words come next.
    pub(super) fn skips(&self, words: &[&str]) -> bool {
        let at = |n: usize| match &self.tokens.get(self.next + n)?.token {
            Token::Word(word) => Some(word),
            _ => None,
        };
        let mut words = words.iter().enumerate();
        words.all(|(n, word)| at(n).is_some_and(|own| own.eq_ignore_ascii_case(word)))
    }

    /// The text up to the first place outside of parentheses where `ends` is true, or to the end.
    pub(super) fn rest_until(&self, ends: impl Fn(&Self) -> bool) -> Option<&'a str> {
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

    /// Whether a FROM follows outside of parentheses, other than that of IS DISTINCT FROM.
    pub(super) fn reads_another(&self) -> bool {
        let is_from = |at: &Self| {
            let before = at.next.checked_sub(1).map(|next| Self { next, ..*at });
            at.skips(&["FROM"]) && !before.is_some_and(|before| before.skips(&["DISTINCT"]))
        };
        let (before, all) = (self.rest_until(is_from), self.rest());
        before.map(str::len) < all.map(str::len)
    }

    /// The text from here to the end.
    pub(super) fn rest(&self) -> Option<&'a str> {
        let first = self.tokens.get(self.next)?;
        let last = self.tokens.last()?;
        Some(&self.sql[first.range.start..last.range.end])
    }
    /// Skips `WITH [RECURSIVE] name [(..)] [USING KEY (..)] AS [[NOT] MATERIALIZED] (..), ..`.
    pub(super) fn skip_ctes(&mut self) -> bool {
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

    /// Skips a list of columns, but not a query in parentheses.
    pub(super) fn skip_columns(&mut self) {
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

    /// Whether the next name is followed by nothing or by a group.
    pub(super) fn is_last_name(&self) -> bool {
        self.tokens
            .get(self.next + 1)
            .is_none_or(|next| next.token == Token::Symbol('('))
    }
}
