//! The leases of the messages that a worker has in hand, renewed together while their handlers run.

use futures_util::future::join_all;
use pudato_messaging::{Begin, Clock, Consumer, ErrorKind, IdempotencyStore, Key, Lease};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::sync::CancellationToken;

/// Most leases of one renewal (SQS's batch, behaviours.md row 3).
const BATCH_MAX: usize = 10;

/// A request that runs.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) key: Key,
    pub(crate) fingerprint: String,
    pub(crate) owner: String,
}

/// A message in hand.
pub(crate) struct Held {
    lease: AsyncMutex<Option<Lease>>,
    /// When the handler has had all its time.
    give_up_ms: Mutex<u64>,
    /// The running request, which stays its owner's as long as the lease does.
    request: Mutex<Option<Request>>,
    /// Cancelled when the lease is lost or the time is up.
    pub(crate) lost: CancellationToken,
}

impl Held {
    /// Takes the lease to settle the message; `None` when it was given up.
    pub(crate) async fn take(&self) -> Option<Lease> {
        self.lease.lock().await.take()
    }

    /// Says how long the handler may run, and which request it runs.
    pub(crate) fn runs(&self, until_ms: u64, request: Option<Request>) {
        *guard(&self.give_up_ms) = until_ms;
        *guard(&self.request) = request;
    }
}

/// All messages in hand.
pub(crate) struct Leases {
    held: Mutex<BTreeMap<u64, Arc<Held>>>,
    next: Mutex<u64>,
    visibility: Duration,
}

impl Leases {
    pub(crate) fn new(visibility: Duration) -> Self {
        Self {
            held: Mutex::default(),
            next: Mutex::new(0),
            visibility,
        }
    }

    /// Holds a lease, and renews it until what is returned is dropped.
    pub(crate) fn hold(&self, lease: Lease) -> InHand<'_> {
        let held = Arc::new(Held {
            lease: AsyncMutex::new(Some(lease)),
            give_up_ms: Mutex::new(u64::MAX),
            request: Mutex::new(None),
            lost: CancellationToken::new(),
        });
        let mut next = guard(&self.next);
        *next += 1;
        guard(&self.held).insert(*next, Arc::clone(&held));
        InHand {
            leases: self,
            id: *next,
            held,
        }
    }

    /// Renews at half the lease, in batches, until `stop`.
    pub(crate) async fn keep(&self, keeper: &Keeper, stop: &CancellationToken) {
        let half_ms = u64::try_from(self.visibility.as_millis() / 2).unwrap_or(u64::MAX);
        loop {
            // Half of the half: what was received right after a look is still renewed in time.
            let next_ms = keeper.clock.now_ms() + (half_ms / 2).max(1);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = keeper.clock.sleep_until(next_ms) => {}
            }
            let all: Vec<Arc<Held>> = guard(&self.held).values().cloned().collect();
            let mut renewed = Vec::new();
            for batch in all.chunks(BATCH_MAX) {
                renewed.extend(self.renew(batch, keeper, half_ms).await);
            }
            let until_ms = keeper.clock.now_ms() + (half_ms / 2).max(1);
            tokio::select! {
                biased;
                () = self.renew_requests(renewed, keeper) => {}
                // The next leases are renewed in time, whatever becomes of the store of answers.
                () = keeper.clock.sleep_until(until_ms) => {
                    tracing::warn!("running requests could not be renewed in time; they are tried again");
                }
            }
        }
    }

    /// Answers those whose leases were renewed.
    async fn renew(&self, batch: &[Arc<Held>], keeper: &Keeper, half_ms: u64) -> Vec<Arc<Held>> {
        let now_ms = keeper.clock.now_ms();
        let mut due = Vec::new();
        for held in batch {
            let lease = held.lease.lock().await;
            let Some(ends_ms) = lease.as_ref().map(|lease| lease.deadline_ms) else {
                continue;
            };
            if *guard(&held.give_up_ms) <= now_ms {
                tracing::warn!("the action had all its time; it is cancelled and comes again");
                held.lost.cancel();
            } else if ends_ms <= now_ms + half_ms {
                due.push((held, lease));
            }
        }
        let leases = due.iter_mut().filter_map(|(_, lease)| lease.as_mut());
        let leases: Vec<&mut Lease> = leases.collect();
        if leases.is_empty() {
            return Vec::new();
        }
        let renewed = keeper.consumer.renew(leases, self.visibility).await;
        for ((held, _), outcome) in due.iter().zip(renewed) {
            match outcome {
                Ok(()) => {}
                Err(error) if error.kind == ErrorKind::Unavailable => {
                    tracing::warn!(%error, "a lease could not be renewed; it is tried again");
                }
                Err(error) => {
                    tracing::warn!(%error, "a lease was lost; its handler is cancelled");
                    held.lost.cancel();
                }
            }
        }
        let kept = due.iter().filter(|(held, _)| !held.lost.is_cancelled());
        kept.map(|(held, _)| Arc::clone(held)).collect()
    }

    /// All at once: a store that hangs must not make one wait for another.
    async fn renew_requests(&self, renewed: Vec<Arc<Held>>, keeper: &Keeper) {
        let requests = renewed.into_iter().filter_map(|held| {
            let request = guard(&held.request).clone()?;
            Some((held, request))
        });
        let renewals = requests.map(|(held, request)| async move {
            let Request {
                key,
                fingerprint,
                owner,
            } = request;
            let begun = keeper
                .idempotency
                .begin(&key, &fingerprint, &owner, self.visibility);
            match begun.await {
                Ok(Begin::New) => {}
                Ok(_) => {
                    tracing::warn!("the request is another's by now; its handler is cancelled");
                    held.lost.cancel();
                }
                Err(error) => tracing::warn!(%error, "a running request could not be renewed"),
            }
        });
        join_all(renewals).await;
    }
}

/// A message in hand; ends also when its task panics.
pub(crate) struct InHand<'a> {
    leases: &'a Leases,
    id: u64,
    pub(crate) held: Arc<Held>,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        guard(&self.leases.held).remove(&self.id);
    }
}

/// What renewing needs.
pub(crate) struct Keeper {
    pub(crate) consumer: Arc<dyn Consumer>,
    pub(crate) idempotency: Arc<dyn IdempotencyStore>,
    pub(crate) clock: Arc<dyn Clock>,
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is guarded is whole at every moment, so a panic elsewhere does not spoil it.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
