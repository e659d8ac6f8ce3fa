//! Settlements of many tasks, in as few calls as possible: what waits while one call runs goes into the next together.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pudato_messaging::{Clock, Consumer, Deleted, Error, ErrorKind, Settlement};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Most settlements of one call (SQS's batch, behaviours.md row 3).
const BATCH_MAX: usize = 10;
/// Settlements that may wait; more make their tasks wait.
const WAITING_MAX: usize = 256;

/// How long a batch is filled where calls cost: what handlers finish at about the same time is settled together. One that is alone while
/// nothing is on its way does not wait.
const FILL_MS: u64 = 25;
/// Calls on their way at once: enough that none waits for a slow one, few enough that batches fill.
const CALLS_MAX: usize = 4;

type Answer = oneshot::Sender<Result<Deleted, Error>>;

#[derive(Clone)]
pub(crate) struct Settler {
    waiting: mpsc::Sender<(Settlement, Answer)>,
}

impl Settler {
    /// The settler, and the loop that does its work until every clone of it is dropped.
    pub(crate) fn new(
        consumer: Arc<dyn Consumer>,
        clock: Arc<dyn Clock>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (waiting, mut incoming) = mpsc::channel::<(Settlement, Answer)>(WAITING_MAX);
        let work = async move {
            let fill_ms = match consumer.limits().batch_fill.is_zero() {
                true => 0,
                false => FILL_MS,
            };
            let mut batch = Vec::with_capacity(BATCH_MAX);
            let mut calls = FuturesUnordered::new();
            let mut due_ms = 0;
            loop {
                let is_alone = batch.len() == 1 && calls.is_empty();
                let is_due = !batch.is_empty() && clock.now_ms() >= due_ms;
                let is_ready = batch.len() == BATCH_MAX || is_alone || is_due;
                let is_free = calls.len() < CALLS_MAX;
                if is_ready && is_free {
                    calls.push(settle(&*consumer, std::mem::take(&mut batch)));
                    continue;
                }
                let room = BATCH_MAX - batch.len();
                tokio::select! {
                    biased;
                    Some(()) = calls.next() => {}
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
        (Self { waiting }, work)
    }

    /// Settles with others; answers when it is done.
    pub(crate) async fn settle(&self, settlement: Settlement) -> Result<Deleted, Error> {
        let stopped = || Error::new(ErrorKind::Unavailable, "the worker has stopped");
        let (answer, outcome) = oneshot::channel();
        let sent = self.waiting.send((settlement, answer)).await;
        sent.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }
}

async fn settle(consumer: &dyn Consumer, batch: Vec<(Settlement, Answer)>) {
    let (settlements, answers): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    let outcomes = consumer.settle(settlements).await;
    for (answer, outcome) in answers.into_iter().zip(outcomes) {
        // A task that was cancelled needs no answer.
        let _ = answer.send(outcome);
    }
}
