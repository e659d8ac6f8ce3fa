//! Identifies requests, so that a repeated message gets the same answer, and encodes the stored answers.

use pudato_handler::FollowUp;
use pudato_protocol::{Command, Event, Result as Reply, decode_claim, encode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::time::Duration;

/// The SHA-256 of `bytes`, in hex.
///
/// ```
/// assert!(pudato_engine::sha256_hex(b"").starts_with("e3b0c442"));
/// ```
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The key of a Command's request: the caller's key, within its job or else its sender; without such a key, the hash of the message if it
/// has both a correlation id and a time; otherwise the fabric's id (docs/design/idempotency.md).
pub(crate) fn key(command: &Command, body: &[u8], message_id: &str) -> String {
    if let Some(Value::String(key)) = command.metadata.get("idempotency_key")
        && !key.is_empty()
    {
        // Two callers who do not know of each other may choose the same key. Neither may get, or block, the answer of the other.
        return match scope(command) {
            Some((kind, scope)) => format!("scoped:{}", json!([kind, scope, key])),
            None => format!("key:{key}"),
        };
    }
    // Values that the reader filled in are new each time, so they do not occur in the body.
    let carries = |text: &str| {
        let text = text.as_bytes();
        !text.is_empty() && body.windows(text.len()).any(|part| part == text)
    };
    if carries(&command.correlation_id) && carries(command.timestamp.as_str()) {
        return format!("sha256:{}", sha256_hex(encode(command).as_bytes()));
    }
    format!("message:{message_id}")
}

/// The scope of a key: the job, else the user, else the source. Senders that name none of them share one scope.
fn scope(command: &Command) -> Option<(&'static str, Value)> {
    let said = |name: &'static str| {
        let value = command.metadata.get(name)?;
        let is_nothing = value.is_null() || value.as_str() == Some("");
        (!is_nothing).then(|| (name, value.clone()))
    };
    let job = command.job_id.as_deref().filter(|id| !id.is_empty());
    let job = job.map(|id| ("job", id.into()));
    job.or_else(|| said("user")).or_else(|| said("source"))
}

/// A hash that differs for different payloads.
pub(crate) fn fingerprint(command: &Command, action: &str) -> String {
    let content = json!([command.r#type, action, command.payload]);
    sha256_hex(content.to_string().as_bytes())
}

/// Encodes an answer for [`kept`].
pub(crate) fn keep(result: &Reply, events: &[Event], follow_up: Option<&FollowUp>) -> String {
    let events: Vec<String> = events.iter().map(encode).collect();
    let mut answer = json!({"result": encode(result), "events": events});
    if let Some(FollowUp { after, command }) = follow_up {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        answer["follow_up"] = json!({"after_ms": after_ms, "command": encode(command)});
    }
    answer.to_string()
}

/// A stored answer: its Result, its Events and its follow-up.
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
    fn a_key_belongs_to_its_job_else_to_its_sender_else_to_all_senders() {
        let key_of = |job: Option<&str>, metadata: Value| {
            let mut command = Command::new("query", "execute_sql", Object::new());
            command.job_id = job.map(str::to_owned);
            command.metadata = metadata.as_object().cloned().unwrap_or_default();
            command
                .metadata
                .insert("idempotency_key".into(), "k".into());
            // Each is a different message, so only the scope and the key can make two requests the same.
            key(
                &command,
                encode(&command).as_bytes(),
                &command.correlation_id,
            )
        };
        let senders = [
            (Some("job-1"), json!({})),
            (Some("job-2"), json!({})),
            (None, json!({"user": "job-1"})),
            (None, json!({"user": "ann"})),
            (None, json!({"source": "ann"})),
            (None, json!({"user": 1})),
            (None, json!({"user": "1"})),
            (None, json!({})),
        ];
        let keys = senders.clone().map(|(job, metadata)| key_of(job, metadata));
        let again = senders.map(|(job, metadata)| key_of(job, metadata));
        assert_eq!(keys, again);
        let all: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(all.len(), keys.len(), "{keys:?}");
        // The keys of a job are the same for every sender, and those of a user for every source.
        let (one, other) = (
            json!({"user": "ann", "source": "a"}),
            json!({"user": "ann", "source": "b"}),
        );
        assert_eq!(key_of(Some("job-1"), one.clone()), keys[0]);
        assert_eq!(key_of(None, one), key_of(None, other));
        assert_eq!(
            key_of(Some(""), json!({"user": "", "source": null})),
            keys[7]
        );
        // A caller cannot write a scope into a key.
        let mut command = Command::new("query", "execute_sql", Object::new());
        let scope = keys[0].trim_start_matches("scoped:").to_owned();
        for text in [scope, keys[0].clone()] {
            command
                .metadata
                .insert("idempotency_key".into(), text.into());
            assert_ne!(key(&command, b"", "m"), keys[0]);
        }
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
