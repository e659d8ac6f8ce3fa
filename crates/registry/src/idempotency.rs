//! Records of requests in the registry's database: the port [`pudato_messaging::IdempotencyStore`] for fabrics that keep none themselves.

use crate::error::{Error, ErrorKind};
use crate::hash::sha256_hex;
use pudato_messaging::{BeginOutcome, Key};
use std::time::Duration;

/// One text for both parts of a key, of the same length for all.
pub(crate) fn text(key: &Key) -> String {
    let length = key.service.len().to_le_bytes();
    sha256_hex(&[&length, key.service.as_bytes(), key.key.as_bytes()])
}

/// Takes a request that is new, the owner's own, or nobody's any more.
pub(crate) const BEGIN: &str =
    "INSERT INTO answer (key, fingerprint, owner, busy_until_ms, at_ms) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (key) DO UPDATE SET owner = excluded.owner, busy_until_ms = excluded.busy_until_ms
    WHERE answer.answer IS NULL AND answer.fingerprint = excluded.fingerprint
        AND (answer.owner = excluded.owner OR answer.busy_until_ms <= excluded.at_ms)
    RETURNING 1";

/// Why it could not be taken.
pub(crate) const STANDING: &str =
    "SELECT fingerprint, answer, busy_until_ms FROM answer WHERE key = $1";

pub(crate) const ABANDON: &str =
    "DELETE FROM answer WHERE key = $1 AND owner = $2 AND answer IS NULL";

pub(crate) const FORGET: &str = "DELETE FROM answer WHERE at_ms < $1 AND busy_until_ms < $1";

/// What a request that could not be taken is.
pub(crate) fn standing(
    fingerprint: &str,
    own: &str,
    answer: Option<String>,
    busy_until_ms: i64,
) -> BeginOutcome {
    match answer {
        _ if own != fingerprint => BeginOutcome::Mismatch,
        Some(answer) => BeginOutcome::Done { answer },
        None => BeginOutcome::Busy {
            until_ms: u64::try_from(busy_until_ms).unwrap_or(0),
        },
    }
}

/// A time as the databases have it.
pub(crate) fn ms(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX)
}

/// When a lease ends that begins now.
pub(crate) fn until(now_ms: u64, lease: Duration) -> i64 {
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    ms(now_ms.saturating_add(lease_ms))
}

/// No request is to blame for the database, whatever is wrong with it: the caller waits.
pub(crate) fn unavailable(error: Error) -> Error {
    error.with_kind(ErrorKind::Unavailable)
}

/// The answer for each of `count` requests that were handled together.
pub(crate) fn each(count: usize, done: Result<Vec<bool>, Error>) -> Vec<Result<bool, Error>> {
    match done {
        Ok(done) => done.into_iter().map(Ok).collect(),
        Err(error) => {
            let error = unavailable(error);
            (0..count).map(|_| Err(error.clone())).collect()
        }
    }
}
