//! Deletes old records of requests from stores that do not expire them by themselves.

use pudato_engine::pace::sleep_or_drain;
use pudato_messaging::{Clock, IdempotencyStore};
use tokio_util::sync::CancellationToken;

/// Answers are kept for longer than their messages can be redelivered: 7 days on the queue, 14 on its dead-letter queue.
const KEEP_MS: u64 = 30 * 86_400_000;
/// The time between two deletions.
const FORGET_EVERY_MS: u64 = 3_600_000;

/// Deletes answers that are too old to be needed, until `drain` is cancelled.
pub(crate) async fn forget_old(
    store: &dyn IdempotencyStore,
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

/// Deletes them once.
pub(crate) async fn forget(store: &dyn IdempotencyStore, clock: &dyn Clock) {
    let before_ms = clock.now_ms().saturating_sub(KEEP_MS);
    match store.forget(before_ms).await {
        Ok(None | Some(0)) => {}
        Ok(Some(count)) => tracing::info!(count, "deleted the answers of old requests"),
        Err(error) => tracing::warn!(%error, "the answers of old requests could not be deleted"),
    }
}
