//! Which requests were answered.

use super::state::milliseconds;
use crate::{Answered, Begin, Key};
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
    ) -> Begin {
        if let Some(known) = self.0.get(key) {
            if known.fingerprint != fingerprint {
                return Begin::Mismatch;
            }
            if let Some(answer) = known.answer.clone() {
                return Begin::Done { answer };
            }
            if known.owner != owner && known.busy_until_ms > now_ms {
                let until_ms = known.busy_until_ms;
                return Begin::Busy { until_ms };
            }
        }
        let request = Request {
            fingerprint: fingerprint.to_owned(),
            owner: owner.to_owned(),
            busy_until_ms: now_ms.saturating_add(milliseconds(lease)),
            answer: None,
        };
        self.0.insert(key.clone(), request);
        Begin::New
    }

    /// Answers whether the request is the owner's.
    pub(super) fn finish(&mut self, answered: Answered, now_ms: u64) -> bool {
        if let Some(fingerprint) = &answered.fingerprint {
            let Answered { key, owner, .. } = &answered;
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

    /// The request, if it is `owner`'s and not yet answered.
    fn open(&mut self, key: &Key, owner: &str) -> Option<&mut Request> {
        let request = self.0.get_mut(key)?;
        (request.owner == owner && request.answer.is_none()).then_some(request)
    }
}
