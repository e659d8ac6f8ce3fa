use crate::fast;
use crate::{BODY_BYTES_MAX, CLAIM_KEYS_MAX, Command, Event, FieldError, KEYS_MAX, Result, value};
use serde_json::Value;

/// The most envelopes to unwrap: an SNS notification, and one inside it.
const ENVELOPES_MAX: usize = 2;

/// A message that can be read from the wire.
pub trait Message: Sized + serde::Serialize + sealed::Sealed + fast::FromFields {
    /// Reads the message from its JSON value.
    ///
    /// # Errors
    /// A field is missing or has the wrong type.
    fn from_value(value: Value) -> std::result::Result<Self, FieldError>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! message {
    ($($name:ty),*) => {$(
        impl sealed::Sealed for $name {}
        impl Message for $name {
            fn from_value(value: Value) -> std::result::Result<Self, FieldError> {
                <$name>::read(value)
            }
        }
    )*};
}
message!(Command, Result, Event);

/// Reads a message from the body of a queue message: raw, or inside an SNS notification.
///
/// # Errors
/// The first problem, with the name of the field. This never panics.
pub fn decode<M: Message>(body: &[u8]) -> std::result::Result<M, FieldError> {
    if body.len() > BODY_BYTES_MAX {
        let reason = format!("{} bytes; at most {BODY_BYTES_MAX}", body.len());
        return Err(FieldError::new("body", reason));
    }
    read(body, KEYS_MAX)
}

/// As [`decode`], for a body that was stored as a claim. Its size was checked when it was fetched, and it may have more keys.
///
/// # Errors
/// As [`decode`].
pub fn decode_claim<M: Message>(body: &[u8]) -> std::result::Result<M, FieldError> {
    read(body, CLAIM_KEYS_MAX)
}

fn read<M: Message>(body: &[u8], keys_max: usize) -> std::result::Result<M, FieldError> {
    match fast(body, keys_max) {
        Some(message) => Ok(message),
        None => careful(body, keys_max),
    }
}

/// Reads a well-formed body in one pass; `None` if it needs a closer look.
pub(crate) fn fast<M: Message>(body: &[u8], keys_max: usize) -> Option<M> {
    // Checked once here, so that the texts in it need no further check.
    let body = std::str::from_utf8(body).ok()?;
    unwrapped(body, |text| fast::read(text, keys_max))
}

/// What `read` makes of a body, or of the message in its SNS envelopes; `None` if that needs a closer look. `read` returns `None` for a text
/// that it does not take, such as an envelope.
pub fn unwrapped<T>(body: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
    if let Some(message) = read(body) {
        return Some(message);
    }
    let mut text = fast::notification(body)?;
    for _ in 1..ENVELOPES_MAX {
        if let Some(message) = read(&text) {
            return Some(message);
        }
        text = fast::notification(&text)?.into_owned().into();
    }
    read(&text)
}

/// Reads a body in two passes, and reports what is wrong.
pub(crate) fn careful<M: Message>(
    body: &[u8],
    keys_max: usize,
) -> std::result::Result<M, FieldError> {
    let mut value = value::read(body, keys_max)?;
    for _ in 0..ENVELOPES_MAX {
        match envelope(&value)? {
            Some(message) => value = value::read(message.as_bytes(), keys_max)?,
            None => break,
        }
    }
    M::from_value(value)
}

/// Formats a message for the wire: one line of JSON, with fields in the contract's order. The two JSON characters that SQS refuses, U+FFFE
/// and U+FFFF (Amazon SQS API reference, "SendMessage"), are written as escapes.
///
/// ```
/// use pudato_protocol::{Object, Result, decode, encode};
///
/// let sent = Result::success("req-1", Object::new());
/// let read: Result = decode(encode(&sent).as_bytes())?;
/// assert_eq!(read, sent);
/// # Ok::<(), pudato_protocol::FieldError>(())
/// ```
pub fn encode<M: Message>(message: &M) -> String {
    escaped(
        serde_json::to_string(message).expect("a message has text keys only, so it can be written"),
    )
}

/// A JSON text in which the two characters that SQS refuses are escapes.
pub fn escaped(text: String) -> String {
    if text.is_ascii() {
        return text;
    }
    match text.contains('\u{fffe}') || text.contains('\u{ffff}') {
        // They occur within texts only, where an escape means the same character.
        true => text
            .replace('\u{fffe}', "\\ufffe")
            .replace('\u{ffff}', "\\uffff"),
        false => text,
    }
}

/// The fields of an SNS notification that matter for trusting it (Amazon SNS developer guide, "Verifying the signatures of Amazon SNS
/// messages"). A missing field is an empty text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The ARN of the topic that it claims to come from.
    pub topic: String,
    /// The message inside.
    pub message: String,
    /// SNS's id of the message.
    pub message_id: String,
    /// The subject, if there is one.
    pub subject: Option<String>,
    /// When SNS received the message, as written.
    pub timestamp: String,
    /// `1` (SHA-1) or `2` (SHA-256).
    pub signature_version: String,
    /// The signature, in base64.
    pub signature: String,
    /// The URL of the certificate for the signature.
    pub certificate_url: String,
}

/// The envelopes of a body, the outermost first.
pub fn envelopes(body: &[u8]) -> Vec<Envelope> {
    const NAME: &[u8] = b"TopicArn";
    // The start of an escape of one of its letters. No other letter needs one.
    const ESCAPE: &[u8] = b"\\u00";
    let mut envelopes = Vec::new();
    // Nearly all bodies are raw, and need no second reading.
    let has = |part: &[u8]| body.windows(part.len()).any(|window| window == part);
    let names_one = has(NAME) || has(ESCAPE);
    let mut text = match std::str::from_utf8(body) {
        Ok(text) if names_one => text.to_owned(),
        _ => return envelopes,
    };
    for _ in 0..ENVELOPES_MAX {
        let Ok(value) = value::read(text.as_bytes(), CLAIM_KEYS_MAX) else {
            break;
        };
        let Ok(Some(message)) = envelope(&value) else {
            break;
        };
        let known = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let field = |name: &str| known(name).unwrap_or_default();
        envelopes.push(Envelope {
            topic: field("TopicArn"),
            message: message.to_owned(),
            message_id: field("MessageId"),
            subject: known("Subject"),
            timestamp: field("Timestamp"),
            signature_version: field("SignatureVersion"),
            signature: field("Signature"),
            certificate_url: field("SigningCertURL"),
        });
        text = message.to_owned();
    }
    envelopes
}

/// The text inside an SNS envelope; `None` if the value is not one. A `Message` key alone is not enough, because a payload may have such a
/// key as well.
pub(crate) fn envelope(value: &Value) -> std::result::Result<Option<&str>, FieldError> {
    let (Some(Value::String(kind)), Some(_)) = (value.get("Type"), value.get("TopicArn")) else {
        return Ok(None);
    };
    if kind != "Notification" {
        let reason = format!("expected Notification, found {kind:?}, which carries no message");
        return Err(FieldError::new("Type", reason));
    }
    match value.get("Message") {
        Some(Value::String(message)) => Ok(Some(message)),
        _ => Err(FieldError::new(
            "Message",
            "expected a string, as SNS sends it; it is missing or of another type",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::agree;
    use proptest::prelude::*;

    #[test]
    fn what_sqs_refuses_is_written_as_an_escape_and_read_as_it_was() {
        let mut data = crate::Object::new();
        data.insert("\u{ffff}".into(), "a\u{fffe}b\\ufffe".into());
        let sent = crate::Result::success("id", data);
        let text = encode(&sent);
        assert!(!text.contains(['\u{fffe}', '\u{ffff}']), "{text}");
        let read: crate::Result = decode(text.as_bytes()).expect("read");
        assert_eq!(read, sent);
    }

    #[test]
    fn an_envelope_is_told_of_however_its_names_are_written() {
        let message = r#"{"type":"storage","action":"list_objects"}"#;
        let plain =
            serde_json::json!({"Type": "Notification", "TopicArn": "arn:x", "Message": message});
        let plain = plain.to_string();
        for body in [
            plain.replace("TopicArn", "Topic\\u0041rn"),
            plain
                .replace("Type", "\\u0054ype")
                .replace("TopicArn", "\\u0054opicArn"),
            plain,
        ] {
            let read: Command = decode(body.as_bytes()).expect("a command");
            assert_eq!(read.action, "list_objects");
            let told = envelopes(body.as_bytes());
            assert_eq!(told.len(), 1, "{body}");
            assert_eq!(told[0].message, message);
        }
    }

    /// The bodies of the test vectors, each with its kind.
    fn vectors() -> Vec<(String, String)> {
        let lines = concat!(
            include_str!("../../../fixtures/valid.jsonl"),
            include_str!("../../../fixtures/invalid.jsonl")
        );
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).expect("a line");
            let text = |name: &str| line[name].as_str().expect("a text").to_owned();
            (text("kind"), text("body"))
        };
        lines.lines().map(line).collect()
    }

    fn agree_on(kind: &str, body: &[u8]) {
        match kind {
            "command" => agree::<Command>(body),
            "result" => agree::<Result>(body),
            _ => agree::<Event>(body),
        }
    }

    #[test]
    fn the_fast_reader_takes_every_valid_vector_but_those_with_unknown_fields() {
        let vectors = vectors();
        let taken = vectors.iter().filter(|(kind, body)| {
            let body = body.as_bytes();
            agree_on(kind, body);
            match kind.as_str() {
                "command" => fast::<Command>(body, KEYS_MAX).is_some(),
                "result" => fast::<Result>(body, KEYS_MAX).is_some(),
                _ => fast::<Event>(body, KEYS_MAX).is_some(),
            }
        });
        assert!(taken.count() >= 30);
    }

    /// Snippets that change the meaning of a text when they are inserted.
    const PIECES: [&str; 16] = [
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "1",
        "-1",
        "1.5",
        "\"type\":\"x\",",
        "\"Type\":\"Notification\",",
        "\"TopicArn\":\"x\",",
        "\\u0000",
        "\"payload\":{\"a\":1,\"a\":2},",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn the_fast_reader_accepts_nothing_that_the_careful_one_refuses(
            vector in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), cut in 0..3usize,
            piece in prop::sample::select(&PIECES[..]),
        ) {
            let vectors = vectors();
            let (kind, body) = &vectors[vector.index(vectors.len())];
            let mut bytes = body.clone().into_bytes();
            let at = at.index(bytes.len() + 1);
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, piece.bytes());
            for other in ["command", "result", "event"] {
                agree_on(other, &bytes);
            }
            agree_on(kind, &bytes);
        }
    }
}
