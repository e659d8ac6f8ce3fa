//! Masks secrets in texts that leave the handler. A location is an identity and not a text, so only parts of it are masked (see
//! [`location`]): two datasets must never become one.

use crate::secret_names::{Assignment, assignments};
use pudato_protocol::{DataReference, ExecutionRecord, Object};
use regex::{Captures, Regex};
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

/// Replaces a secret.
const MASK: &str = "********";

/// The forms of secrets without a name beside them. The part in front is kept, so that a reader still sees what was there.
static SECRETS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // Password, or token as user name, in a URL or DSN.
        r"(?P<keep>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/@:]*:)(?P<secret>[^\s/]+)(?P<after>@)",
        r"(?P<keep>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<secret>[^\s/@:]{16,})(?P<after>@)",
        // AWS key ids, GitHub, GitLab, Slack and Google tokens, JSON Web Tokens.
        r"(?P<keep>\b)(?P<secret>(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,})",
        r"(?P<keep>\b)(?P<secret>(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AIza)[A-Za-z0-9_-]{10,})",
        r"(?P<keep>\b)(?P<secret>eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)",
        // Authorization headers; the two words alone are English, so what follows them must look like no word.
        r#"(?i)(?P<keep>\bauthorization\\?["']?\s*[:=]\s*\\?["']?(?:bearer|basic)\s+)(?P<secret>[A-Za-z0-9._~+/=-]{6,})"#,
        r"(?i)(?P<keep>\b(?:bearer|basic)\s+)(?P<secret>[A-Za-z]*(?:[0-9=]|[._~+/-]+[A-Za-z0-9])[A-Za-z0-9._~+/=-]*|[A-Za-z]{20,})",
        // SQL: PASSWORD 'x', SECRET 'x', KEY_ID 'x', IDENTIFIED BY 'x'.
        r"(?i)(?P<keep>\b(?:password|secret|key_id|token|identified\s+by)\s+')(?P<secret>[^']*)",
        r"(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?P<secret>[^-]+)",
    ]
    .into_iter()
    .map(|pattern| Regex::new(pattern).expect("a pattern of this file"))
    .collect()
});

/// Masks what looks like a secret: passwords in URLs and DSNs, keys, tokens, `password=..` and the like. Use it for texts that leave the
/// handler: errors, records, logs. Data is not changed, and neither are locations, which are identities.
///
/// ```
/// use pudato_handler::redact;
/// assert_eq!(redact("postgres://me:hunter2@db/x is down"), "postgres://me:********@db/x is down");
/// assert_eq!(redact("token=abc"), "token=********");
/// assert_eq!(redact("lake/disaster=flood/a.csv"), "lake/disaster=flood/a.csv");
/// ```
pub fn redact(text: &str) -> Cow<'_, str> {
    // Most texts are names and numbers: shorter than any token, and without the characters that precede a secret.
    if text.len() < 16 && !text.contains(['=', ':', '\'', ' ']) {
        return Cow::Borrowed(text);
    }
    let mut redacted = Cow::Borrowed(text);
    for secret in SECRETS.iter() {
        let masked = secret.replace_all(&redacted, |found: &Captures<'_>| {
            let part = |name| found.name(name).map_or("", |part| part.as_str());
            format!("{}{MASK}{}", part("keep"), part("after"))
        });
        if let Cow::Owned(masked) = masked {
            redacted = Cow::Owned(masked);
        }
    }
    let named: Vec<_> = assignments(&redacted)
        .filter(Assignment::is_secret)
        .map(|assignment| assignment.value)
        .collect();
    mask(redacted, named)
}

/// Masks these parts of a text, in order.
fn mask(text: Cow<'_, str>, parts: Vec<Range<usize>>) -> Cow<'_, str> {
    if parts.is_empty() {
        return text;
    }
    let mut masked = String::with_capacity(text.len());
    let mut from = 0;
    for part in parts {
        masked.push_str(&text[from..part.start]);
        masked.push_str(MASK);
        from = part.end;
    }
    masked.push_str(&text[from..]);
    Cow::Owned(masked)
}

/// Schemes in whose locations a question mark is part of a name: file paths and object keys.
const WITHOUT_QUERY: [&str; 10] = [
    "file", "s3", "s3a", "gs", "abfs", "abfss", "wasbs", "hdfs", "duckdb", "sqlite",
];

/// Masks the secrets in a URL: the password before the host and secrets in the query. The rest stays unchanged, so that two locations never
/// become one. A text that is not a URL is masked as a text.
pub(crate) fn location(text: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| {
        let is_inner = |c: char| c.is_ascii_alphanumeric() || "+.-".contains(c);
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_inner)
    }) else {
        return redact(text);
    };
    let scheme = scheme.to_ascii_lowercase();
    let start = text.len() - rest.len();
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let mut secrets = Vec::new();
    if let Some(at) = authority.rfind('@') {
        let user = &authority[..at];
        match user.find(':') {
            Some(colon) => secrets.push(start + colon + 1..start + at),
            // A token in place of the user name. In Azure's URLs, this is the container.
            None if user.len() >= 16 && !matches!(&*scheme, "abfs" | "abfss" | "wasbs") => {
                secrets.push(start..start + at);
            }
            None => {}
        }
    }
    let end = text.find('#').unwrap_or(text.len());
    let query = text[..end].find('?');
    if let Some(query) = query.filter(|_| !WITHOUT_QUERY.contains(&scheme.as_str())) {
        let looks_so = |value: &str| redact(value) != value;
        let parts = query_of(text, query + 1, end);
        let parts = parts.filter(|one| one.is_secret() || looks_so(&text[one.value.clone()]));
        secrets.extend(parts.map(|one| one.value));
    }
    mask(Cow::Borrowed(text), secrets)
}

/// The parts of the query, which spans `start` to `end` in `text`.
fn query_of(text: &str, start: usize, end: usize) -> impl Iterator<Item = Assignment<'_>> {
    let mut next = start;
    text[start..end].split(['&', ';']).filter_map(move |part| {
        let from = next;
        next += part.len() + 1;
        let (name, value) = part.split_once('=')?;
        let value_at = from + part.len() - value.len();
        Some(Assignment::of_query(name, value_at..from + part.len()))
    })
}

fn redact_text(text: &mut String) {
    if let Cow::Owned(redacted) = redact(text) {
        *text = redacted;
    }
}

fn redact_location(text: &mut String) {
    if let Cow::Owned(redacted) = location(text) {
        *text = redacted;
    }
}

fn redact_value(value: &mut Value) {
    match value {
        // A location in a record must look the same as in lineage.
        Value::String(text) if text.contains("://") && !text.contains(char::is_whitespace) => {
            redact_location(text);
        }
        Value::String(text) => redact_text(text),
        Value::Array(items) => items.iter_mut().for_each(redact_value),
        Value::Object(fields) => redact_object(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn redact_object(fields: &mut Object) {
    fields.iter_mut().for_each(|(_, value)| redact_value(value));
}

pub(crate) fn errors(errors: &mut [String]) {
    errors.iter_mut().for_each(redact_text);
}

pub(crate) fn references(references: &mut [DataReference]) {
    for reference in references {
        redact_location(&mut reference.location);
        for (name, value) in &mut reference.metadata {
            match value {
                // The inputs of an output are locations as well.
                Value::Array(from) if name == "from" => {
                    for one in from {
                        match one {
                            Value::String(text) => redact_location(text),
                            other => redact_value(other),
                        }
                    }
                }
                value => redact_value(value),
            }
        }
    }
}

pub(crate) fn executions(executions: &mut [ExecutionRecord]) {
    for execution in executions {
        redact_object(&mut execution.details);
    }
}
