//! Answers in the registry's database, for fabrics that keep none themselves.

use async_trait::async_trait;
use futures_util::future::join_all;
use pudato_engine::pace::sleep_or_drain;
use pudato_messaging::{
    Answered, Begin, Clock, Error, ErrorKind, IdempotencyStore, Key, RunningRequest,
};
use pudato_registry::{AnswerKey, AnswerStore, Begun, KeptAnswer, RunningAnswer};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An [`IdempotencyStore`] on a database of the registry.
pub struct KeptAnswers {
    /// The database.
    pub store: Arc<dyn AnswerStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Answers are kept longer than their messages can come again: 7 days on the queue, 14 on its dead-letter queue.
const KEEP_MS: u64 = 30 * 86_400_000;
/// How often those that are older are forgotten.
const FORGET_EVERY_MS: u64 = 3_600_000;

/// Forgets answers that are too old to be asked for, until `drain` is cancelled.
pub(crate) async fn forget_old(
    store: &dyn AnswerStore,
    clock: &dyn Clock,
    drain: &CancellationToken,
) {
    loop {
        forget(store, clock).await;
        let next_ms = clock.now_ms().saturating_add(FORGET_EVERY_MS);
        if !sleep_or_drain(clock, next_ms, drain).await {
            return;
        }
    }
}

/// Forgets them once.
pub(crate) async fn forget(store: &dyn AnswerStore, clock: &dyn Clock) {
    let before_ms = clock.now_ms().saturating_sub(KEEP_MS);
    match store.forget_answers(before_ms).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "answers of old requests were forgotten"),
        Err(error) => tracing::warn!(%error, "old answers could not be forgotten"),
    }
}

fn key(key: &Key) -> AnswerKey<'_> {
    AnswerKey {
        service: &key.service,
        key: &key.key,
    }
}

fn until_ms(now_ms: u64, lease: Duration) -> u64 {
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    now_ms.saturating_add(lease_ms)
}

fn unavailable(error: pudato_registry::Error) -> Error {
    error.with_kind(ErrorKind::Unavailable)
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
        let until_ms = until_ms(now_ms, lease);
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
        let mut kept = self.finish_all(vec![answered]).await;
        kept.pop().expect("an answer for each")
    }

    async fn finish_all(&self, answered: Vec<Answered>) -> Vec<Result<bool, Error>> {
        let answers: Vec<KeptAnswer<'_>> = answered
            .iter()
            .map(|one| KeptAnswer {
                key: key(&one.key),
                owner: &one.owner,
                fingerprint: one.fingerprint.as_deref(),
                answer: &one.answer,
            })
            .collect();
        match self.store.keep_answers(&answers, self.clock.now_ms()).await {
            Ok(kept) => kept.into_iter().map(Ok).collect(),
            Err(error) => {
                let error = unavailable(error);
                answers.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    /// One statement for all; what it does not renew is begun again one by one, which says why.
    async fn renew_all(
        &self,
        running: &[RunningRequest],
        lease: Duration,
    ) -> Vec<Result<bool, Error>> {
        if running.is_empty() {
            return Vec::new();
        }
        let asked: Vec<RunningAnswer<'_>> = running
            .iter()
            .map(|one| RunningAnswer {
                key: key(&one.key),
                fingerprint: &one.fingerprint,
                owner: &one.owner,
            })
            .collect();
        let until_ms = until_ms(self.clock.now_ms(), lease);
        match self.store.renew_answers(&asked, until_ms).await {
            Ok(renewed) => {
                let all = running.iter().zip(renewed);
                let begun = all.map(|(one, is_renewed)| async move {
                    if is_renewed {
                        return Ok(true);
                    }
                    let begun = self.begin(&one.key, &one.fingerprint, &one.owner, lease);
                    begun.await.map(|begun| begun == Begin::New)
                });
                join_all(begun).await
            }
            Err(error) => {
                let error = unavailable(error);
                running.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    async fn abandon(&self, request: &Key, owner: &str) -> Result<(), Error> {
        let abandoned = self.store.abandon_answer(key(request), owner);
        abandoned.await.map_err(unavailable)
    }
}
