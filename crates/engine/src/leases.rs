//! The leases of the messages that a worker is handling, renewed together while their handlers run.
//!
//! On a busy machine, tasks may be delayed for longer than a lease lasts. Renewing is therefore a task apart from all others; where the
//! fabric can, it renews everything in one write ahead of all others; and a message that is received again by the worker that is handling
//! it is not run a second time.

use crate::pace::{millis, sleep_or_drain};
use pudato_messaging::{
    Clock, Consumer, Error, ErrorKind, Hold, IdempotencyStore, Kept, Lease, RunningRequest,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};
use tokio_util::sync::CancellationToken;

/// A message in flight.
pub(crate) struct Held {
    message_id: String,
    lease: AsyncMutex<Option<Lease>>,
    /// Whether the last renewal found that the message was received again. If this worker received it, the new lease arrives in a moment.
    received_again: AtomicBool,
    /// When the handler's time limit ends.
    give_up_ms: Mutex<u64>,
    /// The running request. Its owner keeps it as long as the lease is renewed.
    request: Mutex<Option<RunningRequest>>,
    /// Cancelled when the lease is lost or the time limit ends.
    pub(crate) lost: CancellationToken,
}

impl Held {
    /// Takes the lease in order to settle the message; `None` if the message was given up.
    pub(crate) async fn take(&self) -> Option<Lease> {
        self.lease.lock().await.take()
    }

    /// Returns the lease of a message whose answer is not published yet, so that it is renewed until it is taken again. The request is no
    /// longer renewed: its answer may be stored by now, and a renewal would then report the request as lost.
    pub(crate) async fn put_back(&self, lease: Lease) {
        let mut own = self.lease.lock().await;
        *guard(&self.request) = None;
        *own = Some(lease);
    }

    /// Sets the time limit of the handler and the request that it runs.
    pub(crate) fn runs(&self, until_ms: u64, request: Option<RunningRequest>) {
        *guard(&self.give_up_ms) = until_ms;
        *guard(&self.request) = request;
    }
}

/// All messages in flight.
pub(crate) struct Leases {
    held: Mutex<InHands>,
    visibility: Duration,
}

#[derive(Default)]
struct InHands {
    by_number: BTreeMap<u64, Arc<Held>>,
    by_message: HashMap<String, u64>,
    last: u64,
}

impl Leases {
    pub(crate) fn new(visibility: Duration) -> Self {
        Self {
            held: Mutex::default(),
            visibility,
        }
    }

    /// Renews the lease of a message until the returned guard is dropped.
    pub(crate) fn hold(self: &Arc<Self>, message_id: &str, lease: Lease) -> InHand {
        let held = Arc::new(Held {
            message_id: message_id.to_owned(),
            lease: AsyncMutex::new(Some(lease)),
            received_again: AtomicBool::new(false),
            give_up_ms: Mutex::new(u64::MAX),
            request: Mutex::new(None),
            lost: CancellationToken::new(),
        });
        let mut all = guard(&self.held);
        all.last += 1;
        let number = all.last;
        all.by_number.insert(number, Arc::clone(&held));
        all.by_message.insert(message_id.to_owned(), number);
        InHand {
            leases: Arc::clone(self),
            number,
            held,
        }
    }

    /// Replaces the lease of a message that was received again while its handler runs, and returns the old one. Returns `lease` itself if
    /// the message is not in flight or is being settled.
    pub(crate) async fn go_on(&self, message_id: &str, lease: Lease) -> Result<Lease, Lease> {
        let found = {
            let all = guard(&self.held);
            let number = all.by_message.get(message_id);
            number.and_then(|number| all.by_number.get(number).cloned())
        };
        let Some(held) = found else {
            return Err(lease);
        };
        let mut own = held.lease.lock().await;
        match own.as_mut() {
            Some(own) if !held.lost.is_cancelled() => {
                held.received_again.store(false, Ordering::Relaxed);
                Ok(std::mem::replace(own, lease))
            }
            _ => Err(lease),
        }
    }

    /// Renews leases at half their time, until `stop` is cancelled.
    pub(crate) async fn keep(&self, keeper: &Keeper, stop: &CancellationToken) {
        let half_ms = millis(self.visibility / 2);
        // A quarter of the lease, so that a message received right after one round is still renewed in time.
        let look_ms = (half_ms / 2).max(1);
        loop {
            let next_ms = keeper.clock.now_ms().saturating_add(look_ms);
            if !sleep_or_drain(&*keeper.clock, next_ms, stop).await {
                return;
            }
            let elsewhere = self.renew(keeper, half_ms).await;
            if elsewhere.is_empty() {
                continue;
            }
            let until_ms = keeper.clock.now_ms().saturating_add(look_ms);
            tokio::select! {
                biased;
                () = self.renew_requests(elsewhere, keeper) => {}
                // The next leases must be renewed in time even if the store of answers hangs.
                () = keeper.clock.sleep_until(until_ms) => {
                    tracing::warn!("renewing running requests took too long; the worker tries again");
                }
            }
        }
    }

    /// Renews all leases that are due, in one call. Returns the requests that are kept in another store.
    async fn renew(&self, keeper: &Keeper, half_ms: u64) -> Vec<(Arc<Held>, RunningRequest)> {
        let now_ms = keeper.clock.now_ms();
        let all: Vec<Arc<Held>> = guard(&self.held).by_number.values().cloned().collect();
        let mut due = Vec::new();
        for held in &all {
            let lease = held.lease.lock().await;
            let Some(ends_ms) = lease.as_ref().map(|lease| lease.deadline_ms) else {
                continue;
            };
            if *guard(&held.give_up_ms) <= now_ms {
                tracing::warn!(
                    "the action reached its time limit; the worker cancels it, and its message will be redelivered"
                );
                held.lost.cancel();
            } else if held.received_again.load(Ordering::Relaxed) {
                tracing::warn!("a lease was lost; the worker cancels its handler");
                held.lost.cancel();
            } else if !held.lost.is_cancelled() && ends_ms <= now_ms.saturating_add(half_ms) {
                due.push(Due {
                    held,
                    lease,
                    request: guard(&held.request).clone(),
                });
            }
        }
        let holds = due.iter_mut().filter_map(|due| {
            Some(Hold {
                lease: due.lease.as_mut()?,
                request: due.request.as_ref(),
            })
        });
        let holds: Vec<Hold<'_>> = holds.collect();
        if holds.is_empty() {
            return Vec::new();
        }
        let kept = keeper.consumer.hold(holds, self.visibility).await;
        let entries = due.into_iter().zip(kept);
        let elsewhere = entries.filter_map(|(due, kept)| due.outcome(kept));
        elsewhere.collect()
    }

    async fn renew_requests(&self, running: Vec<(Arc<Held>, RunningRequest)>, keeper: &Keeper) {
        let (held, requests): (Vec<Arc<Held>>, Vec<RunningRequest>) = running.into_iter().unzip();
        let renewed = keeper.idempotency.renew_all(&requests, self.visibility);
        for (held, renewed) in held.into_iter().zip(renewed.await) {
            match renewed {
                Ok(true) => {}
                Ok(false) => held.request_lost(),
                Err(error) => tracing::warn!(%error, "a running request could not be renewed"),
            }
        }
    }
}

impl Held {
    fn request_lost(&self) {
        tracing::warn!(message_id = %self.message_id, "the request now belongs to another worker; its handler is cancelled");
        self.lost.cancel();
    }
}

/// A lease that is being renewed.
struct Due<'a> {
    held: &'a Arc<Held>,
    lease: MutexGuard<'a, Option<Lease>>,
    request: Option<RunningRequest>,
}

impl Due<'_> {
    /// Applies the outcome of the renewal. Returns the request if it is kept in another store.
    fn outcome(self, kept: Result<Kept, Error>) -> Option<(Arc<Held>, RunningRequest)> {
        let Self { held, request, .. } = self;
        match kept {
            Ok(Kept::All) => {}
            Ok(Kept::LeaseAlone) => return Some((Arc::clone(held), request?)),
            Ok(Kept::RequestLost) => held.request_lost(),
            Err(error) if error.kind == ErrorKind::Unavailable => {
                tracing::warn!(%error, "a lease could not be renewed; the worker tries again");
            }
            Err(error) => {
                let message_id = &held.message_id;
                tracing::warn!(%error, %message_id, "a lease ended before it was renewed");
                held.received_again.store(true, Ordering::Relaxed);
            }
        }
        None
    }
}

/// A message in flight. Dropping it stops the renewals, also if its task panics.
pub(crate) struct InHand {
    leases: Arc<Leases>,
    number: u64,
    pub(crate) held: Arc<Held>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut all = guard(&self.leases.held);
        all.by_number.remove(&self.number);
        // Another delivery of the same message may be in flight by now.
        if all.by_message.get(&self.held.message_id) == Some(&self.number) {
            all.by_message.remove(&self.held.message_id);
        }
    }
}

/// The lease and the request, as the renewal needs them.
pub(crate) struct Keeper {
    pub(crate) consumer: Arc<dyn Consumer>,
    pub(crate) idempotency: Arc<dyn IdempotencyStore>,
    pub(crate) clock: Arc<dyn Clock>,
}

fn guard<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Every change of the state is complete before the lock is released, so a panic elsewhere cannot leave it half-changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
