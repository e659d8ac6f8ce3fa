//! Recognizes names of secrets in a text. It compares whole words, because `disaster` contains `sas` and `monkey` contains `key`.

use regex::Regex;
use std::ops::Range;
use std::sync::LazyLock;

/// Words that name a secret, as a whole part of a name: `aws_session_token`, `X-Amz-Signature`, `clientSecret`.
const WORDS: [&str; 26] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "secrets",
    "token",
    "credential",
    "credentials",
    "signature",
    "sig",
    "sas",
    "apikey",
    "accesskey",
    "accountkey",
    "privatekey",
    "secretkey",
    "signingkey",
    "authtoken",
    "accesstoken",
    "refreshtoken",
    "sessiontoken",
    "idtoken",
    "clientsecret",
    "authkey",
    "apitoken",
];

/// Words that turn a following `key` into a secret.
const KEYS: [&str; 9] = [
    "api",
    "access",
    "private",
    "account",
    "secret",
    "signing",
    "encryption",
    "auth",
    "shared",
];

/// Matches `name=value`, `name: value`, or the same in JSON, up to the start of the value.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?P<name>[\w.-]+)(?P<quote>\\?["'])?\s*(?P<sign>[=:])\s*"#)
        .expect("a pattern of this file")
});

/// Words that follow the name of a field or an object in our own errors.
const NOT_A_VALUE: [&str; 4] = ["expected", "required", "unknown", "there"];

/// A name and the range of its value.
pub(crate) struct Assignment<'a> {
    name: &'a str,
    /// Whether the secret's word must be the last of the name: after an ordinary name, a colon is punctuation.
    is_prose: bool,
    /// The name of a folder in a path, such as `token=abc` in `lake/token=abc/x.csv`, the end of a path before a colon, or our own words.
    is_exempt: bool,
    pub(crate) value: Range<usize>,
}

impl<'a> Assignment<'a> {
    /// A part of a URL's query.
    pub(crate) fn of_query(name: &'a str, value: Range<usize>) -> Self {
        Self {
            name,
            is_prose: false,
            is_exempt: false,
            value,
        }
    }

    pub(crate) fn is_secret(&self) -> bool {
        if self.is_exempt || self.value.is_empty() {
            return false;
        }
        let parts = parts(self.name);
        let is_word = |n: usize| {
            let part = parts[n].as_str();
            let is_key = matches!(part, "key" | "keys")
                && n.checked_sub(1)
                    .is_some_and(|before| KEYS.contains(&parts[before].as_str()));
            // `PGPASSWORD`, `dbpassword`: no other word ends so.
            is_key
                || WORDS.contains(&part)
                || part.ends_with("password")
                || part.ends_with("passwd")
        };
        match self.is_prose {
            true => parts.len().checked_sub(1).is_some_and(is_word),
            false => (0..parts.len()).any(is_word),
        }
    }
}

/// All assignments in a text, in order; values do not overlap.
pub(crate) fn assignments(text: &str) -> impl Iterator<Item = Assignment<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let found = NAMED.captures_at(text, from)?;
        let (all, name) = (found.get_match(), found.name("name")?);
        let (is_quoted, sign) = (found.name("quote").is_some(), &found["sign"]);
        let value = value(text, all.end());
        let before = text[..name.start()].chars().next_back();
        let is_path = before == Some('/')
            && !is_quoted
            && match sign {
                "=" => {
                    let rest = &text[all.end()..];
                    let end =
                        rest.find(|c: char| c == '/' || c.is_whitespace() || "\"'&;,".contains(c));
                    // Only the sign is between the name and the value.
                    all.end() == name.end() + 1
                        && end.is_some_and(|end| end > 0 && rest[end..].starts_with('/'))
                }
                _ => true,
            };
        let is_word = sign == ":" && NOT_A_VALUE.contains(&text[value.clone()].trim_matches(':'));
        let assignment = Assignment {
            name: name.as_str(),
            is_prose: sign == ":" && !is_quoted,
            is_exempt: is_path || is_word,
            value,
        };
        // A value that is not a secret may contain a name and a secret.
        from = match assignment.is_secret() {
            true => assignment.value.end,
            false => all.end(),
        };
        Some(assignment)
    })
}

/// The value that begins at `start`: in quotes, which may contain spaces, or up to the end of the word.
fn value(text: &str, start: usize) -> Range<usize> {
    let rest = &text[start..];
    for quote in ["\\\"", "\"", "'"] {
        if let Some(inner) = rest.strip_prefix(quote) {
            let from = start + quote.len();
            return from..from + inner.find(quote).unwrap_or(inner.len());
        }
    }
    let ends = |c: char| c.is_whitespace() || "\"'&;,)}".contains(c);
    start..start + rest.find(ends).unwrap_or(rest.len())
}

/// The parts of a name in lower case, split at `_`, `-`, `.` and before capital letters. Digits at the end of a part are dropped.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_small = false;
    for c in name.chars() {
        if matches!(c, '_' | '-' | '.') {
            parts.push(String::new());
        } else {
            if was_small && c.is_uppercase() {
                parts.push(String::new());
            }
            if let Some(part) = parts.last_mut() {
                part.extend(c.to_lowercase());
            }
        }
        was_small = c.is_lowercase();
    }
    for part in &mut parts {
        let kept = part.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        part.truncate(kept);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_secret(text: &str) -> bool {
        assignments(text).any(|one| one.is_secret())
    }

    #[test]
    fn words_count_as_whole_parts_of_a_name_only() {
        for text in [
            "token=abc",
            "AWS_SESSION_TOKEN=abc",
            "X-Amz-Signature=abc",
            "clientSecret: abc",
            "PGPASSWORD=abc",
            "api_key: abc",
            "SharedAccessKey=abc",
            "password2=abc",
            "a?sig=abc",
            "x: token=abc",
            r#"{\"password\": \"abc\"}"#,
            "ünï_token=abc",
            "../password=abc",
            "sas=abc",
        ] {
            assert!(is_secret(text), "{text}");
        }
        for text in [
            "disaster=flood",
            "lake/disaster=flood/x",
            "monkey=abc",
            "keyboard: qwerty",
            "secretary=x",
            "tokenizer=x",
            "signatures=2",
            "design: x",
            "key=abc",
            "lake/token=abc/x.csv: there is no such object",
            "lake/secrets/token: there is no such object",
            "lake/token.csv: there",
            "payload.continuation_token: expected a text",
            "payload.token: required, expected a string",
        ] {
            assert!(!is_secret(text), "{text}");
        }
    }
}
