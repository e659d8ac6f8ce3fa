//! Idempotency records.

use super::state::milliseconds;
use crate::{BeginOutcome, IdempotencyRecord, Key};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
pub(super) struct Requests(BTreeMap<Key, Request>);

struct Request {
    fingerprint: String,
    owner: String,
    busy_until_ms: u64,
    answer: Option<String>,
}

impl Requests {
    pub(super) fn begin(
        &mut self,
        key: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
        now_ms: u64,
    ) -> BeginOutcome {
        if let Some(known) = self.0.get(key) {
            if known.fingerprint != fingerprint {
                return BeginOutcome::Mismatch;
            }
            if let Some(answer) = known.answer.clone() {
                return BeginOutcome::Done { answer };
            }
            if known.owner != owner && known.busy_until_ms > now_ms {
                let until_ms = known.busy_until_ms;
                return BeginOutcome::Busy { until_ms };
            }
        }
        let request = Request {
            fingerprint: fingerprint.to_owned(),
            owner: owner.to_owned(),
            busy_until_ms: now_ms.saturating_add(milliseconds(lease)),
            answer: None,
        };
        self.0.insert(key.clone(), request);
        BeginOutcome::New
    }

    /// Stores an answer, and returns whether the request belongs to the owner.
    pub(super) fn finish(&mut self, answered: IdempotencyRecord, now_ms: u64) -> bool {
        if let Some(fingerprint) = &answered.fingerprint {
            let IdempotencyRecord { key, owner, .. } = &answered;
            self.begin(key, fingerprint, owner, Duration::ZERO, now_ms);
        }
        if let Some(request) = self.open(&answered.key, &answered.owner) {
            request.answer = Some(answered.answer);
            return true;
        }
        let request = self.0.get(&answered.key);
        request.is_some_and(|request| request.owner == answered.owner)
    }

    pub(super) fn abandon(&mut self, key: &Key, owner: &str) {
        if self.open(key, owner).is_some() {
            self.0.remove(key);
        }
    }

    /// Forgets old requests, and returns how many.
    pub(super) fn forget(&mut self, before_ms: u64) -> u64 {
        let before = self.0.len();
        self.0
            .retain(|_, request| request.busy_until_ms >= before_ms);
        (before - self.0.len()) as u64
    }

    /// Returns the request if it belongs to `owner` and is not answered yet.
    fn open(&mut self, key: &Key, owner: &str) -> Option<&mut Request> {
        let request = self.0.get_mut(key)?;
        (request.owner == owner && request.answer.is_none()).then_some(request)
    }
}
