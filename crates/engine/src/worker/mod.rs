//! The loop that receives the messages of one service and carries out what [`crate::process`] decides about each.

mod handling;
mod settling;
mod waiting;

use crate::board::{Board, Cause};
use crate::leases::{Keeper, Leases};
use crate::outbox::Outbox;
use crate::pace::breaker::Breaker;
use crate::pace::{Jitter, ReceiveBackoff, millis};
use crate::process::{Incoming, Processor, Read};
use crate::receive::{AdaptiveReceiver, batch_max};
use crate::settle::{Preparer, Settler, Settling};
use crate::spawn::Spawn;
use pudato_messaging::{Consumer, Error};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The number of messages that may wait for their settlement beside those whose handlers run, so that handlers continue during a commit or
/// call.
const SETTLING: usize = 64;
/// A handler that took less than this is quick: a message that waits for such a handler waits less than a receive takes.
const QUICK_MS: u64 = 50;
/// The time limit for releasing messages after the grace time, so that a hanging fabric cannot keep a program from ending.
const GIVE_BACK_MS_MAX: u64 = 10_000;

/// A worker of one service.
pub struct Worker {
    /// Decides about messages.
    pub processor: Arc<Processor>,
    /// The queue of the service.
    pub consumer: Arc<dyn Consumer>,
    /// Makes Results and Events ready to be published.
    pub outbox: Outbox,
    /// The topic of Results.
    pub results_topic: String,
    /// The topic of Events.
    pub events_topic: String,
    /// Jitter for waiting times.
    pub jitter: Arc<Jitter>,
    /// Starts tasks.
    pub spawn: Arc<dyn Spawn>,
    /// The most messages that are handled at once.
    pub concurrency: usize,
    /// How long a received message is hidden from other consumers.
    pub visibility: Duration,
    /// The grace time of a drain, within which handlers may finish.
    pub grace: Duration,
    /// Shows the messages in flight and what they are waiting for.
    pub board: Board,
}

struct Running {
    worker: Worker,
    leases: Arc<Leases>,
    settler: Settler,
    breaker: Breaker,
    /// One permit for each handler that may run.
    handlers: Arc<Semaphore>,
    /// One permit for each message that may be in flight, from its receive until it is settled.
    in_hand: Arc<Semaphore>,
    in_hand_max: u32,
    /// Whether the last handler was quick.
    is_quick: AtomicBool,
    /// Cancelled when messages in flight must be released.
    abort: CancellationToken,
    /// Cancelled when no handler may start any more.
    drain: CancellationToken,
}

impl Worker {
    /// Receives and handles messages until `drain` is cancelled. Then finishes the messages in flight, releases those that take longer than
    /// the grace time, and returns.
    ///
    /// # Errors
    /// The queue does not exist, or the worker may not read it.
    pub async fn run(self, drain: CancellationToken) -> Result<(), Error> {
        let (settler, settling) = Settler::new(
            Arc::clone(&self.consumer),
            Arc::clone(&self.processor.clock),
        );
        let spawn = Arc::clone(&self.spawn);
        spawn.spawn(Box::pin(settling));
        let concurrency = self.concurrency.max(1);
        let running = Arc::new(Running {
            leases: Arc::new(Leases::new(self.visibility)),
            settler,
            breaker: Breaker::new(),
            handlers: Arc::new(Semaphore::new(concurrency)),
            in_hand: Arc::new(Semaphore::new(concurrency + SETTLING)),
            in_hand_max: u32::try_from(concurrency + SETTLING).unwrap_or(u32::MAX),
            is_quick: AtomicBool::new(false),
            abort: CancellationToken::new(),
            drain,
            worker: self,
        });
        let stop = CancellationToken::new();
        // Also if this future is dropped before its end: nobody would settle the messages whose leases are renewed.
        let _stops = stop.clone().drop_guard();
        let (keeper, leases) = (running.worker.keeper(), Arc::clone(&running.leases));
        // Handlers may keep all threads of their runtime busy.
        spawn.spawn_apart(
            "pudato-leases",
            Box::pin(async move { leases.keep(&keeper, &stop).await }),
        );
        let outcome = running.receive().await;
        running.finish().await;
        outcome
    }

    fn settling(&self) -> Settling<'_> {
        Settling {
            consumer: &*self.consumer,
            idempotency: &*self.processor.idempotency,
            preparer: Preparer {
                outbox: &self.outbox,
                results_topic: &self.results_topic,
                events_topic: &self.events_topic,
            },
            clock: &*self.processor.clock,
            jitter: &self.jitter,
        }
    }

    fn keeper(&self) -> Keeper {
        Keeper {
            consumer: Arc::clone(&self.consumer),
            idempotency: Arc::clone(&self.processor.idempotency),
            clock: Arc::clone(&self.processor.clock),
        }
    }
}

impl Running {
    async fn receive(self: &Arc<Self>) -> Result<(), Error> {
        let mut backoff = ReceiveBackoff::default();
        let mut receiver = AdaptiveReceiver::new(&*self.worker.consumer);
        loop {
            let is_one = tokio::select! {
                biased;
                () = self.drain.cancelled() => return Ok(()),
                is_one = self.breaker.closed(&*self.worker.processor.clock) => is_one,
            };
            let Some(room) = self.room().await else {
                return Ok(());
            };
            let max = if is_one { 1 } else { room };
            let received = tokio::select! {
                biased;
                () = self.drain.cancelled() => return Ok(()),
                received = receiver.receive(max) => received,
            };
            match received {
                Ok(deliveries) => {
                    if backoff.renew() {
                        self.goes_on(Cause::Receive);
                    }
                    for delivery in deliveries {
                        // The lease is renewed from now on, since the task may start late.
                        let Some((message, in_hand)) = self.take_in_hand(delivery).await else {
                            continue;
                        };
                        let Ok(permit) = Arc::clone(&self.in_hand).acquire_owned().await else {
                            return Ok(());
                        };
                        let running = Arc::clone(self);
                        self.worker.spawn.spawn(Box::pin(async move {
                            running.handle(message, in_hand).await;
                            drop(permit);
                        }));
                    }
                }
                Err(error) => {
                    self.stops(Cause::Receive, &error.to_string(), None);
                    let (clock, jitter) = (&self.worker.processor.clock, &self.worker.jitter);
                    backoff.wait(error, &**clock, jitter, &self.drain).await?;
                }
            }
        }
    }

    /// Waits for room. Returns how many messages there is room for, or `None` if the worker drains. If handlers are quick, some messages
    /// wait here for a handler; if they are slow, a message that waits here could run elsewhere.
    async fn room(&self) -> Option<usize> {
        let is_quick = self.is_quick.load(Ordering::Relaxed);
        let limits = self.worker.consumer.limits();
        let per_call = u32::try_from(limits.batch_entries_max).unwrap_or(1);
        let free = async {
            // Quick handlers finish soon and make room for a whole batch, which saves receives.
            let room = if is_quick { per_call } else { 1 };
            let in_hand = self.in_hand.acquire_many(room).await;
            let handler = match is_quick {
                true => None,
                false => Some(self.handlers.acquire().await),
            };
            drop((in_hand, handler));
        };
        tokio::select! {
            biased;
            () = self.drain.cancelled() => return None,
            () = free => {}
        }
        let in_hand = self.in_hand.available_permits();
        if is_quick {
            return Some(in_hand.clamp(1, batch_max(&limits)));
        }
        Some(self.handlers.available_permits().min(in_hand).max(1))
    }

    /// Waits for the messages in flight, and releases those that take longer than the grace time.
    async fn finish(&self) {
        let clock = &self.worker.processor.clock;
        let until_ms = clock.now_ms().saturating_add(millis(self.worker.grace));
        tokio::select! {
            biased;
            _ = self.in_hand.acquire_many(self.in_hand_max) => return,
            () = clock.sleep_until(until_ms) => {}
        }
        tracing::warn!("the grace time is over; the worker releases its messages");
        self.abort.cancel();
        let until_ms = clock.now_ms() + GIVE_BACK_MS_MAX;
        tokio::select! {
            biased;
            _ = self.in_hand.acquire_many(self.in_hand_max) => {}
            () = clock.sleep_until(until_ms) => {
                tracing::warn!("the fabric does not answer; the messages will be redelivered when their leases end");
            }
        }
    }
}

/// The span that the log lines about a message share.
pub fn span(message: &Incoming, read: Option<&Read>) -> tracing::Span {
    let command = read.map(|read| &read.command);
    let given = message.attributes.get("correlation_id").map(String::as_str);
    let id = command.map(|command| command.correlation_id.as_str());
    tracing::info_span!(
        "command",
        correlation_id = id.or(given),
        job_id = command.and_then(|command| command.job_id.as_deref()),
        step_id = command.and_then(|command| command.step_id.as_deref()),
        attempt = message.attempt,
    )
}
