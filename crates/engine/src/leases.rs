//! The leases of the messages that a worker has in hand, renewed together while their handlers run.
//!
//! A machine may be busier than a lease is long. So renewing is a task apart from all others, what it renews is one write before all
//! others where the fabric can, and a message that comes again to the worker that has it in hand is not run a second time.

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

/// A message in hand.
pub(crate) struct Held {
    message_id: String,
    lease: AsyncMutex<Option<Lease>>,
    /// Whether its last renewal found that the message was received again. Where it was this worker that received it, its new lease comes
    /// in a moment.
    received_again: AtomicBool,
    /// When the handler has had all its time.
    give_up_ms: Mutex<u64>,
    /// The running request, which stays its owner's as long as the lease does.
    request: Mutex<Option<RunningRequest>>,
    /// Cancelled when the lease is lost or the time is up.
    pub(crate) lost: CancellationToken,
}

impl Held {
    /// Takes the lease to settle the message; `None` when it was given up.
    pub(crate) async fn take(&self) -> Option<Lease> {
        self.lease.lock().await.take()
    }

    /// Gives back the lease of a message whose answer was not published yet, to be renewed until it is taken again. Its request is
    /// renewed no longer: its answer may be kept by now, and a request that was answered would be taken for another's.
    pub(crate) async fn put_back(&self, lease: Lease) {
        let mut own = self.lease.lock().await;
        *guard(&self.request) = None;
        *own = Some(lease);
    }

    /// Says how long the handler may run, and which request it runs.
    pub(crate) fn runs(&self, until_ms: u64, request: Option<RunningRequest>) {
        *guard(&self.give_up_ms) = until_ms;
        *guard(&self.request) = request;
    }
}

/// All messages in hand.
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

    /// Holds the lease of a message, and renews it until what is returned is dropped.
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

    /// Gives a message that was received again while its handler runs its new lease, and answers the one that ended; gives `lease` back
    /// where the message is not in hand, or is being settled.
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

    /// Renews at half the lease, until `stop`.
    pub(crate) async fn keep(&self, keeper: &Keeper, stop: &CancellationToken) {
        let half_ms = millis(self.visibility / 2);
        // Half of the half: what was received right after a look is still renewed in time.
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
                // The next leases are renewed in time, whatever becomes of the store of answers.
                () = keeper.clock.sleep_until(until_ms) => {
                    tracing::warn!("running requests could not be renewed in time; they are tried again");
                }
            }
        }
    }

    /// Renews what is due, all of it at once. Answers the requests that another store keeps.
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
                tracing::warn!("the action had all its time; it is cancelled and comes again");
                held.lost.cancel();
            } else if held.received_again.load(Ordering::Relaxed) {
                tracing::warn!("a lease was lost; its handler is cancelled");
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
        tracing::warn!(message_id = %self.message_id, "the request is another's by now; its handler is cancelled");
        self.lost.cancel();
    }
}

/// A lease that is renewed now.
struct Due<'a> {
    held: &'a Arc<Held>,
    lease: MutexGuard<'a, Option<Lease>>,
    request: Option<RunningRequest>,
}

impl Due<'_> {
    /// What became of it; answers its request, where another store keeps it.
    fn outcome(self, kept: Result<Kept, Error>) -> Option<(Arc<Held>, RunningRequest)> {
        let Self { held, request, .. } = self;
        match kept {
            Ok(Kept::All) => {}
            Ok(Kept::LeaseAlone) => return Some((Arc::clone(held), request?)),
            Ok(Kept::RequestLost) => held.request_lost(),
            Err(error) if error.kind == ErrorKind::Unavailable => {
                tracing::warn!(%error, "a lease could not be renewed; it is tried again");
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

/// A message in hand; ends also when its task panics.
pub(crate) struct InHand {
    leases: Arc<Leases>,
    number: u64,
    pub(crate) held: Arc<Held>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut all = guard(&self.leases.held);
        all.by_number.remove(&self.number);
        // Another delivery of it may be in hand by now.
        if all.by_message.get(&self.held.message_id) == Some(&self.number) {
            all.by_message.remove(&self.held.message_id);
        }
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
