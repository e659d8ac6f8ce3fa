//! When two messages are the same request, and how its answer is kept.

use pudato_handler::FollowUp;
use pudato_protocol::{Command, Event, Result as Reply, decode_claim, encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::Duration;

/// The SHA-256 of `bytes`, in hex.
///
/// ```
/// assert!(pudato_runtime::sha256_hex(b"").starts_with("e3b0c442"));
/// ```
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The caller's key; else the message's own hash where it carries both its correlation id and its time; else the fabric's
/// id (design.md, "Idempotency key").
pub(crate) fn key(command: &Command, body: &[u8], message_id: &str) -> String {
    if let Some(Value::String(key)) = command.metadata.get("idempotency_key")
        && !key.is_empty()
    {
        return format!("key:{key}");
    }
    // What the reader filled in itself is new each time and so stands nowhere in the body.
    let carries = |text: &str| {
        let text = text.as_bytes();
        !text.is_empty() && body.windows(text.len()).any(|part| part == text)
    };
    if carries(&command.correlation_id) && carries(command.timestamp.as_str()) {
        return format!("sha256:{}", sha256_hex(encode(command).as_bytes()));
    }
    format!("message:{message_id}")
}

/// Tells payloads apart.
pub(crate) fn fingerprint(command: &Command, action: &str) -> String {
    let content = json!([command.r#type, action, command.payload]);
    sha256_hex(content.to_string().as_bytes())
}

/// Writes an answer so that [`kept`] reads it back.
pub(crate) fn keep(result: &Reply, events: &[Event], follow_up: Option<&FollowUp>) -> String {
    let events: Vec<String> = events.iter().map(encode).collect();
    let mut answer = json!({"result": encode(result), "events": events});
    if let Some(FollowUp { after, command }) = follow_up {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        answer["follow_up"] = json!({"after_ms": after_ms, "command": encode(command)});
    }
    answer.to_string()
}

/// An answer that was kept: its Result, its Events, and what goes on from it.
pub(crate) type Kept = (Reply, Vec<Event>, Option<FollowUp>);

pub(crate) fn kept(answer: &str) -> Option<Kept> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    let result = decode_claim(answer["result"].as_str()?.as_bytes()).ok()?;
    let events = answer["events"].as_array()?.iter().map(|event| {
        let event = event.as_str()?;
        decode_claim(event.as_bytes()).ok()
    });
    let follow_up = match answer.get("follow_up") {
        None => None,
        Some(said) => Some(FollowUp {
            after: Duration::from_millis(said["after_ms"].as_u64()?),
            command: decode_claim(said["command"].as_str()?.as_bytes()).ok()?,
        }),
    };
    Some((result, events.collect::<Option<_>>()?, follow_up))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pudato_protocol::{Object, decode};

    #[test]
    fn a_command_that_carries_its_id_and_time_is_known_by_its_content() {
        let body = encode(&Command::new("query", "execute_sql", Object::new()));
        let read = || decode::<Command>(body.as_bytes()).expect("a command");
        let first = key(&read(), body.as_bytes(), "m-1");
        assert_eq!(first, key(&read(), body.as_bytes(), "m-2"));
        assert!(first.starts_with("sha256:"));
    }

    #[test]
    fn a_command_without_id_or_time_is_known_by_its_message() {
        let body = br#"{"type":"query","action":"execute_sql","correlation_id":"r-1"}"#;
        let command: Command = decode(body).expect("a command");
        assert_eq!(key(&command, body, "m-1"), "message:m-1");
    }

    #[test]
    fn an_answer_is_read_back_byte_for_byte() {
        let result = Reply::success("r-1", Object::new());
        let event = Event::new("query.done", Object::new());
        let follow_up = FollowUp {
            after: Duration::from_secs(30),
            command: Command::new("query", "poll", Object::new()),
        };
        let one = std::slice::from_ref(&event);
        for follow_up in [None, Some(follow_up)] {
            let answer = keep(&result, one, follow_up.as_ref());
            let (again, events, goes_on) = kept(&answer).expect("readable");
            assert_eq!(encode(&again), encode(&result));
            assert_eq!(encode(&events[0]), encode(&event));
            assert_eq!(goes_on, follow_up);
        }
    }
}
