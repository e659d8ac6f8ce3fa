//! Claim checks: a message over the limit is stored in an object store, and a pointer travels in its place. The pointer has the format of
//! AWS's extended clients, so that they and pudato can read each other's claims.
//!
//! ```
//! use async_trait::async_trait;
//! use pudato_messaging::{ClaimStore, Error, ErrorKind, Limits, ManualClock, Message, claims};
//! use std::collections::BTreeMap;
//! use std::sync::Mutex;
//!
//! #[derive(Default)]
//! struct InMemory(Mutex<BTreeMap<String, Vec<u8>>>);
//!
//! #[async_trait]
//! impl ClaimStore for InMemory {
//!     fn container(&self) -> &str {
//!         "claims"
//!     }
//!     async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
//!         self.0.lock().expect("no panic").insert(key.into(), bytes);
//!         Ok(())
//!     }
//!     async fn get(&self, key: &str) -> Result<Vec<u8>, Error> {
//!         let found = self.0.lock().expect("no panic").get(key).cloned();
//!         found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("claim {key:?}")))
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Error> {
//! let (store, clock) = (InMemory::default(), ManualClock::at(0));
//! let body = format!(r#"{{"data": "{}"}}"#, "x".repeat(2_000_000));
//! let large = Message { body: body.clone(), attributes: BTreeMap::new() };
//!
//! // The sender stores the body and publishes a pointer in its place.
//! let pointer = claims::offload(large, &Limits::SQS, &store, &clock).await?;
//! assert!(pointer.bytes() < 1_000);
//!
//! // The receiver follows the pointer. A message that is not a pointer is returned as it is.
//! let resolved = claims::resolve(pointer.body.as_bytes(), &pointer.attributes, &store).await?;
//! assert!(resolved.is_claim);
//! assert_eq!(resolved.body, body.as_bytes());
//! let resolved = claims::resolve(b"{}", &BTreeMap::new(), &store).await?;
//! assert!(!resolved.is_claim);
//! # Ok(())
//! # }
//! ```

use crate::{Clock, Error, ErrorKind, Limits, Message};
use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The class name that marks a pointer in AWS's extended clients.
const POINTER_CLASS: &str = "software.amazon.payloadoffloading.PayloadS3Pointer";
/// The attribute that marks a pointer in AWS's extended clients. Its value is the size of the stored body in bytes.
pub const SIZE_ATTRIBUTE: &str = "ExtendedPayloadSize";
/// The same attribute in older clients.
pub const SIZE_ATTRIBUTE_OLD: &str = "SQSLargePayloadSize";

/// All attributes that mark a pointer.
pub(crate) const SIZES: [&str; 2] = [SIZE_ATTRIBUTE, SIZE_ATTRIBUTE_OLD];

/// The store of claims. Its lifecycle must keep a claim longer than any message that points at it can live; consumers never delete claims.
#[async_trait]
pub trait ClaimStore: Send + Sync {
    /// The container that pointers name. A pointer to any other container is refused.
    fn container(&self) -> &str;

    /// Stores `bytes` under a new key. The claim is durable when this returns.
    ///
    /// # Errors
    /// `Unavailable`: nothing is stored, or only a claim that no message points at.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error>;

    /// Reads the claim under `key`.
    ///
    /// # Errors
    /// `NotFound`: there is no such claim. `TooLarge`: the object is larger than a claim may be. `Unavailable`.
    async fn get(&self, key: &str) -> Result<Vec<u8>, Error>;
}

/// Turns a message over `limits` into a pointer, and returns other messages unchanged. The claim is durable when this returns.
///
/// # Errors
/// As [`ClaimStore::put`].
pub async fn offload(
    message: Message,
    limits: &Limits,
    store: &dyn ClaimStore,
    clock: &dyn Clock,
) -> Result<Message, Error> {
    if message.bytes() <= limits.message_bytes_max {
        return Ok(message);
    }
    put(message, store, clock).await
}

/// Turns a message into a pointer, whatever its size. The claim is durable when this returns.
///
/// # Errors
/// As [`ClaimStore::put`].
pub async fn put(
    message: Message,
    store: &dyn ClaimStore,
    clock: &dyn Clock,
) -> Result<Message, Error> {
    let Message {
        body,
        mut attributes,
    } = message;
    let (size, hash) = (body.len(), hex(&Sha256::digest(body.as_bytes())));
    let day = date(clock.now_ms());
    let key = format!("claims/{day}/{}.{hash}", uuid::Uuid::new_v4());
    store.put(&key, body.into_bytes()).await?;
    attributes.insert(SIZE_ATTRIBUTE.into(), size.to_string());
    let body =
        json!([POINTER_CLASS, {"s3BucketName": store.container(), "s3Key": key}]).to_string();
    Ok(Message { body, attributes })
}

/// Whether a message to send is a pointer.
#[cfg(feature = "aws")]
pub(crate) fn is_claim(message: &Message) -> bool {
    message.attributes.contains_key(SIZE_ATTRIBUTE)
}

/// A received body, after its claim was fetched.
#[derive(Debug)]
pub struct Resolved<'a> {
    /// The body of the message.
    pub body: Cow<'a, [u8]>,
    /// Whether the body was stored as a claim. It may then be larger than any message.
    pub is_claim: bool,
}

/// Fetches the claim if the body is a pointer, and returns other bodies unchanged.
///
/// # Errors
/// `Invalid`: a pointer that is malformed or names another container; nothing is fetched then. `NotFound`: there is no such claim.
/// `Corrupt`: the bytes are not those that were stored. `TooLarge`, `Unavailable`: see [`ClaimStore::get`].
pub async fn resolve<'a>(
    body: &'a [u8],
    attributes: &BTreeMap<String, String>,
    store: &dyn ClaimStore,
) -> Result<Resolved<'a>, Error> {
    let Some(key) = pointer(body, attributes, store.container())? else {
        return Ok(Resolved {
            body: Cow::Borrowed(body),
            is_claim: false,
        });
    };
    let bytes = store.get(&key).await?;
    // A claim of pudato has a hash at the end of its key. Claims of AWS's clients have none, so there is nothing to check.
    if let Some((_, hash)) = key.rsplit_once('.')
        && is_hash(hash)
        && hex(&Sha256::digest(&bytes)) != hash
    {
        let context = format!("claim {key:?}: its bytes differ from those that were stored");
        return Err(Error::new(ErrorKind::Corrupt, context));
    }
    Ok(Resolved {
        body: Cow::Owned(bytes),
        is_claim: true,
    })
}

/// The key in a pointer; `None` if the body is not a pointer.
fn pointer(
    body: &[u8],
    attributes: &BTreeMap<String, String>,
    container: &str,
) -> Result<Option<String>, Error> {
    let is_marked = SIZES.iter().any(|name| attributes.contains_key(*name));
    // A message is a JSON object and a pointer a JSON array, so the body is unambiguous even if the attribute was lost.
    let text = match enveloped_pointer(body) {
        Some(text) => text.into_bytes(),
        None if body.starts_with(b"[") || is_marked => body.to_vec(),
        None => return Ok(None),
    };
    let invalid = |what: &str| Error::new(ErrorKind::Invalid, format!("claim: {what}"));
    let value: Value = serde_json::from_slice(&text)
        .map_err(|error| invalid("the pointer is not JSON").with_source(error))?;
    let (Some(class), Some(at)) = (value[0].as_str(), value[1].as_object()) else {
        return Err(invalid("expected [class, {s3BucketName, s3Key}]"));
    };
    let text = |name: &str| at.get(name).and_then(Value::as_str);
    let (Some(bucket), Some(key)) = (text("s3BucketName"), text("s3Key")) else {
        return Err(invalid("s3BucketName and s3Key: expected texts"));
    };
    // AWS's older clients use another class name with the same last part.
    if !class.ends_with("S3Pointer") {
        return Err(invalid("the pointer's class is not known"));
    }
    if bucket != container {
        return Err(invalid(&format!(
            "s3BucketName: expected {container:?}, found {bucket:?}; nothing was fetched"
        )));
    }
    Ok(Some(key.to_owned()))
}

/// The text of a pointer in an SNS envelope, read in the same way as the check of envelopes.
fn enveloped_pointer(body: &[u8]) -> Option<String> {
    let mentions = |what: &[u8]| body.windows(what.len()).any(|part| part == what);
    if !body.starts_with(b"{") || body.len() > POINTER_BYTES_MAX || !mentions(b"S3Pointer") {
        return None;
    }
    let message = pudato_protocol::envelopes(body).pop()?.message;
    message.starts_with('[').then_some(message)
}

/// An envelope around a pointer is far smaller than this; larger bodies are messages.
const POINTER_BYTES_MAX: usize = 16 * 1024;

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The date in UTC, `YYYY-MM-DD`.
fn date(now_ms: u64) -> String {
    let seconds = i64::try_from(now_ms / 1_000).unwrap_or(i64::MAX);
    match time::OffsetDateTime::from_unix_timestamp(seconds) {
        Ok(at) => at.date().to_string(),
        // A clock beyond the year 9999 still yields a key.
        Err(_) => "undated".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;
    use std::sync::Mutex;

    #[derive(Default)]
    struct InMemory(Mutex<BTreeMap<String, Vec<u8>>>);

    #[async_trait]
    impl ClaimStore for InMemory {
        fn container(&self) -> &str {
            "pudato-claims"
        }
        async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
            self.0.lock().expect("no panic").insert(key.into(), bytes);
            Ok(())
        }
        async fn get(&self, key: &str) -> Result<Vec<u8>, Error> {
            let found = self.0.lock().expect("no panic").get(key).cloned();
            found.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("claim {key:?}")))
        }
    }

    fn large() -> Message {
        Message {
            body: format!("{{\"x\":\"{}\"}}", "a".repeat(2_000_000)),
            attributes: BTreeMap::from([("type".into(), "storage".into())]),
        }
    }

    async fn offloaded(store: &InMemory) -> Message {
        // 2026-11-23T00:00:00Z
        let clock = ManualClock::at(1_795_392_000_000);
        offload(large(), &Limits::SQS, store, &clock)
            .await
            .expect("stored")
    }

    #[tokio::test]
    async fn a_claim_resolves_to_the_bytes_that_were_offloaded() {
        let store = InMemory::default();
        let pointer = offloaded(&store).await;
        assert!(pointer.bytes() < 1_000);
        assert_eq!(pointer.attributes[SIZE_ATTRIBUTE], "2000008");
        assert!(pointer.body.contains("claims/2026-11-23/"));
        let resolved = resolve(pointer.body.as_bytes(), &pointer.attributes, &store)
            .await
            .expect("found");
        assert!(resolved.is_claim);
        assert_eq!(resolved.body, large().body.as_bytes());
    }

    #[tokio::test]
    async fn an_enveloped_pointer_resolves_as_well() {
        let store = InMemory::default();
        let pointer = offloaded(&store).await;
        let envelope =
            json!({"Type": "Notification", "TopicArn": "arn:x", "Message": pointer.body});
        let envelope = envelope.to_string();
        let resolved = resolve(envelope.as_bytes(), &BTreeMap::new(), &store).await;
        assert_eq!(resolved.expect("found").body, large().body.as_bytes());
    }

    #[tokio::test]
    async fn a_pointer_in_an_envelope_with_a_duplicate_key_is_not_followed() {
        let store = InMemory::default();
        let pointer = offloaded(&store).await;
        let envelope =
            json!({"Type": "Notification", "TopicArn": "arn:x", "Message": pointer.body});
        // The check of envelopes refuses an envelope with a duplicate key, so no pointer may be read from it.
        let twice = envelope
            .to_string()
            .replacen('{', "{\"Type\":\"Notification\",", 1);
        assert!(pudato_protocol::envelopes(twice.as_bytes()).is_empty());
        let resolved = resolve(twice.as_bytes(), &BTreeMap::new(), &store).await;
        let resolved = resolved.expect("nothing to fetch");
        assert!(!resolved.is_claim);
        assert_eq!(resolved.body, twice.as_bytes());
    }

    #[tokio::test]
    async fn an_altered_or_dangling_claim_is_refused() {
        let store = InMemory::default();
        let pointer = offloaded(&store).await;
        let key = store.0.lock().expect("no panic").keys().next().cloned();
        let key = key.expect("one claim");
        store.put(&key, b"{}".to_vec()).await.expect("stored");
        let error = resolve(pointer.body.as_bytes(), &pointer.attributes, &store).await;
        assert_eq!(error.expect_err("altered").kind, ErrorKind::Corrupt);
        store.0.lock().expect("no panic").clear();
        let error = resolve(pointer.body.as_bytes(), &pointer.attributes, &store).await;
        assert_eq!(error.expect_err("dangling").kind, ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_pointer_to_another_container_is_refused_before_anything_is_fetched() {
        let body = json!([POINTER_CLASS, {"s3BucketName": "secrets", "s3Key": "k"}]).to_string();
        let store = InMemory::default();
        let error = resolve(body.as_bytes(), &BTreeMap::new(), &store).await;
        let error = error.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.context.contains("\"secrets\""), "{}", error.context);
    }

    #[tokio::test]
    async fn a_message_that_fits_is_left_as_it_is() {
        let message = Message {
            body: "{}".into(),
            attributes: BTreeMap::new(),
        };
        let store = InMemory::default();
        let clock = ManualClock::at(0);
        let same = offload(message.clone(), &Limits::SQS, &store, &clock).await;
        assert_eq!(same.expect("nothing to do"), message);
        let resolved = resolve(b"{}", &BTreeMap::new(), &store).await;
        assert!(!resolved.expect("nothing to fetch").is_claim);
    }
}
