use pudato_protocol::{DataReference, ExecutionRecord, Object};
use regex::{Captures, Regex};
use serde_json::Value;
use std::borrow::Cow;
use std::sync::LazyLock;

/// What stands in a secret's place.
const MASK: &str = "********";

/// How secrets look: the part in front of each is kept, so that a reader still sees what was there.
static SECRETS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // Password, or token as user name, in a URL or DSN.
        r"(?P<keep>[a-zA-Z][a-zA-Z0-9+.-]*://[^\s/@:]*:)(?P<secret>[^\s/]+)(?P<after>@)",
        r"(?P<keep>[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<secret>[^\s/@:]{16,})(?P<after>@)",
        // AWS key ids, GitHub, GitLab, Slack and Google tokens, JSON Web Tokens.
        r"(?P<keep>\b)(?P<secret>(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{12,})",
        r"(?P<keep>\b)(?P<secret>(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|AIza)[A-Za-z0-9_-]{10,})",
        r"(?P<keep>\b)(?P<secret>eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)",
        // Authorization headers.
        r"(?i)(?P<keep>\b(?:bearer|basic)\s+)(?P<secret>[A-Za-z0-9._~+/=-]{6,})",
        // The same as below with a quoted value, which may hold spaces.
        r#"(?i)(?P<keep>\b[a-z0-9_.-]*(?:password|passwd|pwd|secret|token|api_?key|access_?key|private_?key|signature|credential)[a-z0-9_.-]*["']?\s*[=:]\s*')(?P<secret>[^']*)"#,
        r#"(?i)(?P<keep>\b[a-z0-9_.-]*(?:password|passwd|pwd|secret|token|api_?key|access_?key|private_?key|signature|credential)[a-z0-9_.-]*["']?\s*[=:]\s*")(?P<secret>[^"]*)"#,
        // name=value and name: value, quoted or not; also in query strings, DSNs and JSON.
        r#"(?ix)(?P<keep>\b[a-z0-9_.-]*(?:password|passwd|pwd|secret|token|api_?key|access_?key|private_?key|signature|credential|sas|\bsig)
            [a-z0-9_.-]*["']?\s*(?:=|:)\s*["']?)(?P<secret>[^\s"'&;,)}]+)"#,
        // SQL: PASSWORD 'x', SECRET 'x', KEY_ID 'x', IDENTIFIED BY 'x'.
        r"(?i)(?P<keep>\b(?:password|secret|key_id|token|identified\s+by)\s+')(?P<secret>[^']*)",
        r"(?P<keep>-----BEGIN [A-Z ]*PRIVATE KEY-----)(?P<secret>[^-]+)",
    ]
    .into_iter()
    .map(|pattern| Regex::new(pattern).expect("a pattern of this file"))
    .collect()
});

/// Masks what looks like a secret: passwords in URLs and DSNs, keys, tokens, `password=..` and the like. For texts that
/// leave the handler: errors, lineage, logs. Data is not touched.
///
/// ```
/// use pudato_handler::redact;
/// assert_eq!(redact("postgres://me:hunter2@db/x is down"), "postgres://me:********@db/x is down");
/// assert_eq!(redact("rows: 5"), "rows: 5");
/// ```
pub fn redact(text: &str) -> Cow<'_, str> {
    // Most texts are names and numbers: shorter than any token, and with nothing that stands in front of a secret.
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
    redacted
}

fn redact_text(text: &mut String) {
    if let Cow::Owned(redacted) = redact(text) {
        *text = redacted;
    }
}

fn redact_value(value: &mut Value) {
    match value {
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
        redact_text(&mut reference.location);
        redact_object(&mut reference.metadata);
    }
}

pub(crate) fn executions(executions: &mut [ExecutionRecord]) {
    for execution in executions {
        redact_object(&mut execution.details);
    }
}
