//! Answers in the registry's database, for fabrics that keep none themselves.

use async_trait::async_trait;
use pudato_messaging::{Answered, Begin, Clock, Error, ErrorKind, IdempotencyStore, Key};
use pudato_registry::{AnswerKey, AnswerStore, Begun};
use std::sync::Arc;
use std::time::Duration;

/// An [`IdempotencyStore`] on a database of the registry.
pub struct KeptAnswers {
    /// The database.
    pub store: Arc<dyn AnswerStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

fn key(key: &Key) -> AnswerKey<'_> {
    AnswerKey {
        service: &key.service,
        key: &key.key,
    }
}

fn unavailable(error: pudato_registry::Error) -> Error {
    Error::new(ErrorKind::Unavailable, error.to_string())
}

#[async_trait]
impl IdempotencyStore for KeptAnswers {
    async fn begin(
        &self,
        request: &Key,
        fingerprint: &str,
        owner: &str,
        lease: Duration,
    ) -> Result<Begin, Error> {
        let now_ms = self.clock.now_ms();
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let until_ms = now_ms.saturating_add(lease_ms);
        let begun = self
            .store
            .begin_answer(key(request), fingerprint, owner, now_ms, until_ms);
        Ok(match begun.await.map_err(unavailable)? {
            Begun::New => Begin::New,
            Begun::Done(answer) => Begin::Done { answer },
            Begun::Busy(until_ms) => Begin::Busy { until_ms },
            Begun::Mismatch => Begin::Mismatch,
        })
    }

    async fn finish(&self, answered: Answered) -> Result<bool, Error> {
        let Answered {
            key: request,
            owner,
            answer,
        } = &answered;
        let now_ms = self.clock.now_ms();
        let kept = self.store.keep_answer(key(request), owner, answer, now_ms);
        kept.await.map_err(unavailable)
    }

    async fn abandon(&self, request: &Key, owner: &str) -> Result<(), Error> {
        let abandoned = self.store.abandon_answer(key(request), owner);
        abandoned.await.map_err(unavailable)
    }
}
