//! Settlements of many tasks, in as few calls as possible: what waits while one call runs goes into the next together.

use pudato_messaging::{Consumer, Deleted, Error, ErrorKind, Settlement};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Most settlements of one call (SQS's batch, behaviours.md row 3).
const BATCH_MAX: usize = 10;
/// Settlements that may wait; more make their tasks wait.
const WAITING_MAX: usize = 256;

type Answer = oneshot::Sender<Result<Deleted, Error>>;

#[derive(Clone)]
pub(crate) struct Settler {
    waiting: mpsc::Sender<(Settlement, Answer)>,
}

impl Settler {
    /// The settler, and the loop that does its work until every clone of it is dropped.
    pub(crate) fn new(consumer: Arc<dyn Consumer>) -> (Self, impl Future<Output = ()> + Send) {
        let (waiting, mut incoming) = mpsc::channel::<(Settlement, Answer)>(WAITING_MAX);
        let work = async move {
            let mut batch = Vec::with_capacity(BATCH_MAX);
            while incoming.recv_many(&mut batch, BATCH_MAX).await > 0 {
                let (settlements, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
                let outcomes = consumer.settle(settlements).await;
                for (answer, outcome) in answers.into_iter().zip(outcomes) {
                    // A task that was cancelled needs no answer.
                    let _ = answer.send(outcome);
                }
            }
        };
        (Self { waiting }, work)
    }

    pub(crate) async fn settle(&self, settlement: Settlement) -> Result<Deleted, Error> {
        let stopped = || Error::new(ErrorKind::Unavailable, "the worker has stopped");
        let (answer, outcome) = oneshot::channel();
        let sent = self.waiting.send((settlement, answer)).await;
        sent.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }
}
