//! Properties of every body. The fuzzers (`fuzz/`) check them with generated bodies, the tests with the fuzzers' corpus.

use crate::decode::{careful, envelope, fast};
use crate::{
    CLAIM_KEYS_MAX, Command, Dataset, Event, KEYS_MAX, Message, Result, decode, decode_claim,
    encode, envelopes, keys, value,
};
use serde_json::Value;
use std::fmt::Debug;

/// Reads a body as every kind of message. Nothing panics; a message survives writing and reading; both readers agree; and the check of
/// envelopes sees the same message as the reader.
///
/// # Panics
/// If one of the properties does not hold.
pub fn body(body: &[u8]) {
    let command = message::<Command>(body);
    let result = message::<Result>(body);
    message::<Event>(body);
    enveloped(body, &command);
    enveloped(body, &result);
    for reference in result.iter().flat_map(|result| {
        let inputs = result.inputs.iter();
        inputs.chain(&result.outputs)
    }) {
        let dataset = Dataset::parse(&reference.location);
        assert_eq!(dataset.location(), reference.location);
        assert_eq!(Dataset::parse(&dataset.location()), dataset);
    }
}

fn message<M: Message + Debug + PartialEq>(body: &[u8]) -> Option<M> {
    agree::<M>(body);
    let read = decode_claim::<M>(body);
    if decode::<M>(body).is_ok() {
        assert!(read.is_ok(), "a claim may be all that a message may be");
    }
    let message = read.ok()?;
    let text = encode(&message);
    assert!(!text.contains(['\n', '\u{fffe}', '\u{ffff}']), "{text}");
    let value: Value = serde_json::from_str(&text).expect("what is written is JSON");
    assert_eq!(keys(&text), count(&value), "{text}");
    // Writing adds optional fields, so near the limit the text has a few more keys.
    if count(&value) <= CLAIM_KEYS_MAX {
        let again: M = decode_claim(text.as_bytes()).expect("what is written can be read");
        assert_eq!(again, message, "{text}");
        assert_eq!(encode(&again), text);
    }
    Some(message)
}

/// How many keys a value has.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(items) => items.len() + items.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// The message is what the innermost envelope holds; where none is told of, the body is no envelope.
fn enveloped<M: Message + Debug + PartialEq>(body: &[u8], read: &Option<M>) {
    if read.is_none() {
        return;
    }
    let envelopes = envelopes(body);
    let inner = envelopes
        .last()
        .map_or(body, |envelope| envelope.message.as_bytes());
    let inner = value::read(inner, CLAIM_KEYS_MAX).expect("it was read before");
    if envelopes.len() < 2 {
        assert_eq!(
            envelope(&inner),
            Ok(None),
            "an envelope that nobody is told of"
        );
    }
    let inner = M::from_value(inner).expect("the message");
    let made_up = |message: &M| with_made_up(message, body);
    assert_eq!(read.as_ref().map(made_up), Some(made_up(&inner)));
}

/// A message as JSON, without what the reader makes up where the body does not say it.
fn with_made_up<M: Message>(message: &M, body: &[u8]) -> Value {
    let mut value = serde_json::to_value(message).expect("written");
    let mut said = value::read(body, CLAIM_KEYS_MAX).unwrap_or_default();
    while let Ok(Some(message)) = envelope(&said) {
        said = value::read(message.as_bytes(), CLAIM_KEYS_MAX).unwrap_or_default();
    }
    for name in ["correlation_id", "timestamp"] {
        if said.get(name).is_none() {
            value[name] = Value::Null;
        }
    }
    value
}

/// Both readers read the same from a text; the fast one accepts nothing that the careful one refuses.
pub(crate) fn agree<M: Message + Debug>(body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    match (fast::<M>(body, KEYS_MAX), careful::<M>(body, KEYS_MAX)) {
        (Some(fast), Ok(careful)) => {
            let (fast, careful) = (with_made_up(&fast, body), with_made_up(&careful, body));
            assert_eq!(fast, careful, "{text}");
        }
        (Some(fast), Err(error)) => panic!("accepted {fast:?}, refused: {error}: {text}"),
        // The careful reader may accept what the fast one leaves to it.
        (None, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/messages");

    fn corpus() -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(CORPUS).expect("the corpus");
        let read = |file: std::io::Result<std::fs::DirEntry>| {
            std::fs::read(file.expect("a file").path()).expect("read")
        };
        let corpus: Vec<_> = files.map(read).collect();
        assert!(corpus.len() >= 5);
        corpus
    }

    #[test]
    fn what_holds_for_every_body_holds_for_the_corpus() {
        corpus().iter().for_each(|body| super::body(body));
    }

    #[test]
    fn what_holds_for_every_body_holds_for_bodies_near_the_corpus() {
        let corpus = corpus();
        let config = ProptestConfig {
            cases: 1_000,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let index = any::<prop::sample::Index>;
        let put = proptest::collection::vec(any::<u8>(), 0..4);
        proptest!(config, |(which in index(), at in index(), cut in 0..4_usize, put in put)| {
            let mut body = corpus[which.index(corpus.len())].clone();
            let at = at.index(body.len() + 1);
            body.splice(at..(at + cut).min(body.len()), put);
            super::body(&body);
        });
    }
}
