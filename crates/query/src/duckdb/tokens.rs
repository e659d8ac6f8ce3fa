//! Splits SQL into tokens in the same way as DuckDB's own lexer (DuckDB 1.5.6, `scan.l`).
//!
//! This only goes as far as needed to find the ends of texts, names and comments, and the words that begin a statement. Security does not
//! depend on it: DuckDB's parser counts the statements (`parse.rs`), and its binder shows what each does (`plan.rs`). A text that the two
//! could read differently is refused.

use std::ops::Range;

/// A significant token. Spaces and comments are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A word as written.
    Word(String),
    /// A quoted name, without its quotes.
    Name(String),
    /// A text in single quotes, without them.
    Text(String),
    /// A number, or a text with a prefix or between dollars.
    Literal,
    /// Any other character.
    Symbol(char),
}

/// A token with its byte range in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) range: Range<usize>,
}

/// The deepest nesting of SQL. DuckDB's parser and binder need more stack with each level.
const DEPTH_MAX: usize = 200;

/// Reads the tokens of `sql`.
///
/// # Errors
/// A text is not closed, or a character is not allowed in its place. The error says where.
pub(super) fn tokens(sql: &str) -> Result<Vec<Placed>, String> {
    let mut lexer = Lexer {
        sql,
        at: 0,
        misread: None,
    };
    let (mut tokens, mut depth) = (Vec::new(), 0_usize);
    let mut space = None;
    while lexer.skip_blank()? {
        let start = lexer.at;
        let token = lexer.token()?;
        match &token {
            Token::Symbol('(' | '[' | '{') => depth += 1,
            Token::Symbol(')' | ']' | '}') => depth = depth.saturating_sub(1),
            Token::Word(word) if word.eq_ignore_ascii_case("CASE") => depth += 1,
            Token::Word(word) if word.eq_ignore_ascii_case("END") => {
                depth = depth.saturating_sub(1)
            }
            _ => {}
        }
        if depth > DEPTH_MAX {
            return Err(format!(
                "payload.sql: expected parentheses, brackets and CASE nested at most {DEPTH_MAX} deep, found more at {}",
                place(sql, start)
            ));
        }
        if !matches!(token, Token::Word(_) | Token::Symbol(_)) {
            let text = &sql[start..lexer.at];
            let found = || text.char_indices().find(|(_, c)| is_replaced(*c));
            space = space.or_else(|| found().map(|(n, c)| (start + n, c)));
        }
        tokens.push(Placed {
            token,
            range: start..lexer.at,
        });
    }
    match (space, lexer.misread) {
        (Some((at, c)), Some(cause)) => Err(format!(
            "payload.sql: DuckDB would read the character U+{:04X} at {} as a space, though it is quoted, because of what stands \
             at {}: leave out quotes, dashes and dollars there, or bind the value as a parameter",
            u32::from(c),
            place(sql, at),
            place(sql, cause)
        )),
        _ => Ok(tokens),
    }
}

struct Lexer<'a> {
    sql: &'a str,
    at: usize,
    /// The position of something that confuses DuckDB while it searches for spaces to replace ([`is_replaced`]).
    misread: Option<usize>,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        &self.sql[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, is: impl Fn(char) -> bool) -> &str {
        let begin = self.at;
        let rest = self.rest();
        self.at += rest.find(|c| !is(c)).unwrap_or(rest.len());
        &self.sql[begin..self.at]
    }

    /// Skips spaces and comments, and returns whether anything follows.
    fn skip_blank(&mut self) -> Result<bool, String> {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
            if self.rest().starts_with("--") {
                let begin = self.at;
                self.take_while(|c| c != '\n' && c != '\r');
                self.check_comment(begin)?;
            } else if self.rest().starts_with("/*") {
                self.skip_block()?;
            } else {
                break;
            }
        }
        match self.peek() {
            Some(c) if is_strange(c) => Err(strange(c, self.sql, self.at)),
            next => Ok(next.is_some()),
        }
    }

    /// A comment between slashes and stars, which may be nested.
    fn skip_block(&mut self) -> Result<(), String> {
        let begin = self.at;
        let mut depth = 0_u32;
        loop {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.at += 2;
            } else if rest.starts_with("*/") {
                depth -= 1;
                self.at += 2;
            } else if let Some(c) = rest.chars().next() {
                self.at += c.len_utf8();
            } else {
                return Err(endless("comment", self.sql, begin));
            }
            if depth == 0 {
                let comment = &self.sql[begin..self.at];
                if comment.contains(['\'', '"', '$']) || comment.contains("--") {
                    self.misread.get_or_insert(begin);
                }
                return self.check_comment(begin);
            }
        }
    }

    fn check_comment(&self, begin: usize) -> Result<(), String> {
        let mut characters = self.sql[begin..self.at].char_indices();
        match characters.find(|(_, c)| is_control(*c)) {
            Some((n, c)) => Err(strange(c, self.sql, begin + n)),
            None => Ok(()),
        }
    }

    fn token(&mut self) -> Result<Token, String> {
        let begin = self.at;
        let Some(first) = self.peek() else {
            return Ok(Token::Literal);
        };
        Ok(match first {
            '\'' => Token::Text(self.quoted('\'')?),
            '"' => Token::Name(self.quoted('"')?),
            '$' => self.dollar()?,
            '0'..='9' => self.number(),
            c if is_word_start(c) => {
                let word = self.take_while(is_word_part).to_owned();
                if let Some((n, c)) = word.char_indices().find(|(_, c)| is_strange(*c)) {
                    return Err(strange(c, self.sql, begin + n));
                }
                if word.matches('$').count() > 1 {
                    self.misread.get_or_insert(begin);
                }
                self.prefixed(word, begin)?
            }
            c => {
                self.at += c.len_utf8();
                Token::Symbol(c)
            }
        })
    }

    /// A word, or a text with that word as its prefix.
    fn prefixed(&mut self, word: String, begin: usize) -> Result<Token, String> {
        let rest = self.rest();
        match word.as_str() {
            "e" | "E" if rest.starts_with('\'') => {
                self.escaped(begin)?;
                Ok(Token::Literal)
            }
            "b" | "B" | "x" | "X" if rest.starts_with('\'') => {
                self.quoted('\'')?;
                Ok(Token::Literal)
            }
            "u" | "U" if rest.starts_with("&'") || rest.starts_with("&\"") => Err(format!(
                "payload.sql: U& at {} is not allowed: write the characters themselves",
                place(self.sql, begin)
            )),
            _ => Ok(Token::Word(word)),
        }
    }

    /// The content between two quotes. A doubled quote stands for one.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let begin = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != quote));
            if self.peek().is_none() {
                let what = if quote == '"' { "quoted name" } else { "text" };
                return Err(endless(what, self.sql, begin));
            }
            self.at += 1;
            if self.peek() != Some(quote) {
                return Ok(text);
            }
            self.at += 1;
            text.push(quote);
        }
    }

    /// A text in which a backslash escapes the following quote.
    fn escaped(&mut self, begin: usize) -> Result<(), String> {
        self.at += 1;
        loop {
            self.take_while(|c| c != '\'' && c != '\\');
            let Some(c) = self.peek() else {
                return Err(endless("text", self.sql, begin));
            };
            self.at += 1;
            if c == '\\' {
                if self.peek() == Some('\'') {
                    self.misread.get_or_insert(begin);
                }
                self.at += self.peek().map_or(0, char::len_utf8);
            } else if self.peek() == Some('\'') {
                self.at += 1;
            } else {
                break;
            }
        }
        // A text on the next line would continue this one, with its own backslashes.
        let end = self.at;
        if self.skip_blank()? && self.peek() == Some('\'') {
            return Err(format!(
                "payload.sql: the string at {} continues in another one; write it as one string",
                place(self.sql, begin)
            ));
        }
        self.at = end;
        Ok(())
    }

    /// `$tag$ .. $tag$`, or the character alone.
    fn dollar(&mut self) -> Result<Token, String> {
        let begin = self.at;
        self.at += 1;
        if self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.take_while(|c| c.is_ascii_digit());
            return Ok(Token::Literal);
        }
        let is_tag = |c: char| is_word_part(c) && c != '$';
        let rest = self.rest();
        let length = rest.find(|c| !is_tag(c)).unwrap_or(rest.len());
        if !rest[length..].starts_with('$') {
            return Ok(Token::Symbol('$'));
        }
        let delimiter = self.sql[begin..self.at + length + 1].to_owned();
        self.at = begin + delimiter.len();
        let Some(length) = self.rest().find(&delimiter) else {
            return Err(endless("text", self.sql, begin));
        };
        if length == 0 {
            self.misread.get_or_insert(begin);
        }
        self.at += length + delimiter.len();
        Ok(Token::Literal)
    }

    /// A number. What follows it without a space is a token of its own.
    fn number(&mut self) -> Token {
        let is_digit = |c: char| c.is_ascii_digit() || c == '_';
        let digits = self.take_while(is_digit).to_owned();
        if digits == "0" && self.rest().starts_with(['x', 'X']) {
            self.at += 1;
            self.take_while(|c| c.is_ascii_hexdigit() || c == '_');
            return Token::Literal;
        }
        if self.rest().starts_with('.') && !self.rest().starts_with("..") {
            self.at += 1;
            self.take_while(is_digit);
        }
        let exponent = self.rest().strip_prefix(['e', 'E']);
        let digits = exponent.map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
        if let Some(digits) =
            digits.filter(|digits| digits.starts_with(|c: char| c.is_ascii_digit()))
        {
            self.at = self.sql.len() - digits.len();
            self.take_while(is_digit);
        }
        Token::Literal
    }
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_word_part(c: char) -> bool {
    is_word_start(c) || c.is_ascii_digit() || c == '$'
}

/// Control characters except for line ends and the tab.
fn is_control(c: char) -> bool {
    c.is_control() && !matches!(c, '\t' | '\n' | '\r')
}

/// Characters that look like a space or are invisible: DuckDB treats some as spaces and others as letters.
fn is_strange(c: char) -> bool {
    is_control(c)
        || (!c.is_ascii() && c.is_whitespace())
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Spaces that DuckDB replaces with the usual one before it reads a text (DuckDB 1.5.6, `Parser::StripUnicodeSpaces`). It skips those in
/// quotes, but it does not know comments between slashes and stars, backslashes, dollars within words, and empty texts between dollars. After one of these, it may
/// confuse quoted and unquoted parts.
fn is_replaced(c: char) -> bool {
    matches!(
        c,
        '\u{a0}' | '\u{2000}'
            ..='\u{200b}' | '\u{202f}' | '\u{205f}' | '\u{2060}' | '\u{3000}' | '\u{feff}'
    )
}

fn strange(c: char, sql: &str, at: usize) -> String {
    format!(
        "payload.sql: the character U+{:04X} at {} is outside of quotes; write a space, or quote the name that it is in",
        u32::from(c),
        place(sql, at)
    )
}

fn endless(what: &str, sql: &str, at: usize) -> String {
    format!(
        "payload.sql: the {what} that begins at {} has no end",
        place(sql, at)
    )
}

/// The line and the column, for people.
fn place(sql: &str, at: usize) -> String {
    let before = &sql[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default();
    format!("line {line}, column {}", column.chars().count() + 1)
}

#[cfg(test)]
mod tests;
