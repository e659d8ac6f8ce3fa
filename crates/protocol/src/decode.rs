use crate::{BODY_BYTES_MAX, Command, Error, Event, Result, value};
use serde_json::Value;

/// Envelopes that are unwrapped: an SNS notification, and one inside it.
const ENVELOPES_MAX: usize = 2;

/// A message that can be read from the wire.
pub trait Message: Sized + serde::Serialize + sealed::Sealed {
    /// Reads the message from its JSON value.
    ///
    /// # Errors
    /// A field that is missing or of another type than the contract says.
    fn from_value(value: Value) -> std::result::Result<Self, Error>;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! message {
    ($($name:ty),*) => {$(
        impl sealed::Sealed for $name {}
        impl Message for $name {
            fn from_value(value: Value) -> std::result::Result<Self, Error> {
                <$name>::read(value)
            }
        }
    )*};
}
message!(Command, Result, Event);

/// Reads a message from a body as it stands on a queue: raw, or inside an SNS notification.
///
/// # Errors
/// The first thing that is wrong, with the field's name. Never panics.
pub fn decode<M: Message>(body: &[u8]) -> std::result::Result<M, Error> {
    if body.len() > BODY_BYTES_MAX {
        let reason = format!("{} bytes; at most {BODY_BYTES_MAX}", body.len());
        return Err(Error::new("body", reason));
    }
    decode_claim(body)
}

/// As [`decode`], for a body that came as a claim: its bytes were limited when it was fetched.
///
/// # Errors
/// As [`decode`].
pub fn decode_claim<M: Message>(body: &[u8]) -> std::result::Result<M, Error> {
    let mut value = value::read(body)?;
    for _ in 0..ENVELOPES_MAX {
        match envelope(&value)? {
            Some(message) => value = value::read(message.as_bytes())?,
            None => break,
        }
    }
    M::from_value(value)
}

/// Writes a message as it travels: one line of JSON, fields in the contract's order.
///
/// ```
/// use pudato_protocol::{Object, Result, decode, encode};
///
/// let sent = Result::success("req-1", Object::new());
/// let read: Result = decode(encode(&sent).as_bytes())?;
/// assert_eq!(read, sent);
/// # Ok::<(), pudato_protocol::Error>(())
/// ```
pub fn encode<M: Message>(message: &M) -> String {
    serde_json::to_string(message).expect("a message has text keys only, so it can be written")
}

/// The text inside an SNS envelope, or `None` where the value is no envelope. A `Message` key alone does not make
/// one: a payload may have such a key of its own.
fn envelope(value: &Value) -> std::result::Result<Option<&str>, Error> {
    let (Some(Value::String(kind)), Some(_)) = (value.get("Type"), value.get("TopicArn")) else {
        return Ok(None);
    };
    if kind != "Notification" {
        let reason = format!("expected Notification, found {kind:?}, which carries no message");
        return Err(Error::new("Type", reason));
    }
    match value.get("Message") {
        Some(Value::String(message)) => Ok(Some(message)),
        _ => Err(Error::new(
            "Message",
            "expected a string, as SNS sends it; it is missing or of another type",
        )),
    }
}
