//! Properties of every body. The fuzzers (`fuzz/`) check them with generated bodies, the tests with the fuzzers' corpus.

use crate::claims::{self, ClaimStore, SIZE_ATTRIBUTE};
use crate::{Error, ErrorKind};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The container of claims.
const CONTAINER: &str = "pudato-claims";

/// Returns the same claim for every key, and stores nothing.
struct Store;

#[async_trait]
impl ClaimStore for Store {
    fn container(&self) -> &str {
        CONTAINER
    }
    async fn put(&self, _key: &str, _bytes: Vec<u8>) -> Result<(), Error> {
        Ok(())
    }
    async fn get(&self, key: &str) -> Result<Vec<u8>, Error> {
        Ok(key.as_bytes().to_vec())
    }
}

/// Resolves a body, with and without the attribute that marks a pointer. Nothing panics; a body that is not a pointer stays as it is; a
/// pointer that is followed names the container; and the check of envelopes notices an envelope around it.
///
/// # Panics
/// If one of the properties does not hold.
pub fn body(body: &[u8]) {
    for attributes in [
        BTreeMap::new(),
        BTreeMap::from([(SIZE_ATTRIBUTE.to_owned(), "1".to_owned())]),
    ] {
        match now(claims::resolve(body, &attributes, &Store)) {
            Ok(resolved) if resolved.is_claim => {
                let text = String::from_utf8_lossy(body);
                // The name may be written with escapes.
                assert!(text.contains(CONTAINER) || text.contains("\\u"), "{text}");
                let is_told = !pudato_protocol::envelopes(body).is_empty();
                assert!(
                    is_told || body.trim_ascii_start().starts_with(b"["),
                    "{text}"
                );
            }
            Ok(resolved) => assert_eq!(resolved.body, body),
            Err(error) => assert!(
                matches!(error.kind, ErrorKind::Invalid | ErrorKind::Corrupt),
                "{error}"
            ),
        }
    }
}

/// The output of a future that never waits.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something"),
    }
}

#[cfg(test)]
mod tests {
    const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/messages");

    #[test]
    fn what_holds_for_every_body_holds_for_the_corpus() {
        for file in std::fs::read_dir(CORPUS).expect("the corpus") {
            let body = std::fs::read(file.expect("a file").path()).expect("read");
            super::body(&body);
        }
    }
}
