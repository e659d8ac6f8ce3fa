//! Settles the messages of many tasks in as few calls as possible: messages that wait while one call runs share the next call.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pudato_messaging::{Clock, Consumer, Deleted, Error, ErrorKind, Settlement};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// The most settlements that may wait; further tasks must wait.
const WAITING_MAX: usize = 256;

/// How long a batch waits for messages in flight on a fabric that bills calls, so that messages that finish at about the same time are
/// settled together.
const FILL_MS: u64 = 50;
/// The most calls at once: enough that a slow call does not block the others, and few enough that batches fill.
const CALLS_MAX: usize = 4;

type Answer = oneshot::Sender<Result<Deleted, Error>>;

/// Settles messages in batches. Clones share the batches.
#[derive(Clone)]
pub struct Settler {
    waiting: mpsc::Sender<(Settlement, Answer)>,
    in_hand: Arc<AtomicUsize>,
}

/// Announces a message from before its handler runs until it is settled. A batch that is not full waits for announced messages.
pub struct Pending(Arc<AtomicUsize>);

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Settler {
    /// Returns the settler, and a loop that does its work until every clone of the settler is dropped.
    pub fn new(
        consumer: Arc<dyn Consumer>,
        clock: Arc<dyn Clock>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (waiting, mut incoming) = mpsc::channel::<(Settlement, Answer)>(WAITING_MAX);
        let in_hand = Arc::new(AtomicUsize::new(0));
        let all = Arc::clone(&in_hand);
        let work = async move {
            let limits = consumer.limits();
            let fill_ms = if limits.bills_calls() { FILL_MS } else { 0 };
            let batch_max = limits.batch_entries_max;
            let mut batch = Vec::with_capacity(batch_max);
            let mut calls = FuturesUnordered::new();
            let (mut due_ms, mut on_their_way) = (0, 0);
            loop {
                let others = all.load(Ordering::Relaxed).saturating_sub(on_their_way);
                let is_full = batch.len() == batch_max || batch.len() >= others;
                let is_due = is_full || clock.now_ms() >= due_ms;
                let is_free = calls.len() < CALLS_MAX;
                if !batch.is_empty() && is_due && is_free {
                    on_their_way += batch.len();
                    calls.push(settle(&*consumer, std::mem::take(&mut batch)));
                    continue;
                }
                let room = batch_max - batch.len();
                tokio::select! {
                    biased;
                    Some(count) = calls.next() => on_their_way -= count,
                    received = incoming.recv_many(&mut batch, room), if room > 0 => {
                        if received == 0 {
                            break;
                        }
                        if received == batch.len() {
                            due_ms = clock.now_ms().saturating_add(fill_ms);
                        }
                    }
                    () = clock.sleep_until(due_ms), if is_free && !batch.is_empty() => {}
                }
            }
            if !batch.is_empty() {
                calls.push(settle(&*consumer, batch));
            }
            while calls.next().await.is_some() {}
        };
        (Self { waiting, in_hand }, work)
    }

    /// Announces a message that will be settled soon.
    pub fn announce(&self) -> Pending {
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        Pending(Arc::clone(&self.in_hand))
    }

    /// Settles a message together with others. Returns when it is settled.
    ///
    /// # Errors
    /// As [`Consumer::settle`]; `Unavailable` if the loop has ended.
    pub async fn settle(&self, settlement: Settlement) -> Result<Deleted, Error> {
        let stopped = || Error::new(ErrorKind::Unavailable, "the worker has stopped");
        let (answer, outcome) = oneshot::channel();
        let sent = self.waiting.send((settlement, answer)).await;
        sent.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }
}

/// Returns how many messages were settled.
async fn settle(consumer: &dyn Consumer, batch: Vec<(Settlement, Answer)>) -> usize {
    let count = batch.len();
    let (settlements, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let outcomes = consumer.settle(settlements).await;
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // A task that was cancelled needs no answer.
        let _ = answer.send(outcome);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use pudato_messaging::{Delivery, Lease, Limits, ManualClock, Message, Receive};
    use std::sync::{Mutex, PoisonError};
    use std::time::Duration;

    /// A fabric that bills calls. It counts the messages of each call.
    #[derive(Default)]
    struct Billed(Mutex<Vec<usize>>);

    #[async_trait]
    impl Consumer for Billed {
        fn limits(&self) -> Limits {
            Limits {
                batch_fill: Duration::from_millis(FILL_MS),
                ..Limits::SQS
            }
        }
        async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<Deleted, Error>> {
            let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push(settlements.len());
            settlements.iter().map(|_| Ok(Deleted::Deleted)).collect()
        }
        async fn receive(&self, _: Receive) -> Result<Vec<Delivery>, Error> {
            Ok(Vec::new())
        }
        async fn delete(&self, _: Vec<Lease>) -> Vec<Result<Deleted, Error>> {
            Vec::new()
        }
        async fn renew(&self, _: Vec<&mut Lease>, _: Duration) -> Vec<Result<(), Error>> {
            Vec::new()
        }
        async fn release(&self, _: Lease, _: Duration) -> Result<(), Error> {
            Ok(())
        }
        async fn dead_letter(
            &self,
            _: Lease,
            _: &str,
            _: Vec<(String, Message)>,
        ) -> Result<(), Error> {
            Ok(())
        }
        async fn schedule(
            &self,
            _: Vec<(Duration, Message)>,
        ) -> Result<Vec<Result<String, Error>>, Error> {
            Ok(Vec::new())
        }
    }

    struct Bench {
        calls: Arc<Billed>,
        clock: ManualClock,
        settler: Settler,
    }

    impl Bench {
        fn new() -> Self {
            let (calls, clock) = (Arc::new(Billed::default()), ManualClock::at(0));
            let consumer: Arc<dyn Consumer> = Arc::clone(&calls) as _;
            let (settler, work) = Settler::new(consumer, Arc::new(clock.clone()));
            tokio::spawn(work);
            Self {
                calls,
                clock,
                settler,
            }
        }

        /// Settles one message, which was announced if `in_hand` is set.
        fn settle(&self, in_hand: Option<Pending>) {
            let settler = self.settler.clone();
            tokio::spawn(async move {
                let lease = Lease {
                    receipt: String::new(),
                    deadline_ms: 0,
                };
                let settled = settler.settle(Settlement::of(lease)).await;
                drop(in_hand);
                settled
            });
        }

        async fn calls(&self) -> Vec<usize> {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            self.calls.0.lock().expect("no panic").clone()
        }
    }

    #[tokio::test]
    async fn a_billed_call_waits_briefly_for_other_messages_in_flight() {
        let bench = Bench::new();
        let mut in_hand: Vec<_> = (0..13).map(|_| bench.settler.announce()).collect();
        (0..9).for_each(|_| bench.settle(in_hand.pop()));
        assert!(
            bench.calls().await.is_empty(),
            "the batch waits for the others"
        );
        bench.settle(in_hand.pop());
        assert_eq!(bench.calls().await, [10], "the batch is full");
        bench.settle(in_hand.pop());
        assert_eq!(bench.calls().await, [10], "the batch waits for two others");
        bench.settle(in_hand.pop());
        bench.clock.advance(Duration::from_millis(FILL_MS));
        assert_eq!(
            bench.calls().await,
            [10, 2],
            "the batch does not wait longer for the third"
        );
        bench.settle(in_hand.pop());
        assert_eq!(
            bench.calls().await,
            [10, 2, 1],
            "no other message is announced"
        );
    }

    #[tokio::test]
    async fn a_message_that_is_not_announced_is_settled_at_once() {
        let bench = Bench::new();
        bench.settle(None);
        assert_eq!(bench.calls().await, [1]);
    }
}
