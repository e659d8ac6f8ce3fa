//! The consumer of one queue of the embedded fabric.

use super::LocalFabric;
use super::idempotency;
use super::late;
use super::queue::{self, Queue, milliseconds};
use super::receipt::Receipt;
use super::receive;
use super::schema::database_error;
use super::send;
use super::settle;
use super::writer::Durability;
use crate::{
    Consumer, Deleted, Delivery, Error, ErrorKind, Hold, Kept, Lease, Limits, Message, Receive,
    RunningRequest, Settlement,
};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// A waiting receive looks again after this time even if nothing woke it, because a wake-up can be lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Receives and settles the messages of one queue.
pub struct LocalConsumer {
    fabric: LocalFabric,
    queue: Queue,
}

impl LocalConsumer {
    pub(super) fn open(fabric: LocalFabric, name: &str) -> Result<Self, Error> {
        let queue = fabric.read(|connection| queue::find(connection, name))?;
        Ok(Self { fabric, queue })
    }

    /// The fabric and the queue, for [`super::LocalEventSource`].
    pub(super) fn into_parts(self) -> (LocalFabric, Queue) {
        (self.fabric, self.queue)
    }

    /// Returns when the next message is due, and when the last one was sent.
    fn look(&self) -> Result<(Option<i64>, Option<u64>), Error> {
        self.fabric.read(|connection| {
            connection
                .prepare_cached(
                    "SELECT (SELECT MIN(visible_at_ms) FROM delivery WHERE queue = ?),
                     (SELECT sent_at_ms FROM message ORDER BY id DESC LIMIT 1)",
                )
                .and_then(|mut statement| {
                    statement.query_row([self.queue.id], |row| Ok((row.get(0)?, row.get(1)?)))
                })
                .map_err(|error| database_error(&self.queue.name, error))
        })
    }

    fn receipts(&self, leases: &[Lease]) -> Vec<Result<Receipt, Error>> {
        leases.iter().map(|lease| self.receipt(lease)).collect()
    }

    fn receipt(&self, lease: &Lease) -> Result<Receipt, Error> {
        let receipt: Receipt = lease.receipt.parse()?;
        if receipt.queue == self.queue.id {
            return Ok(receipt);
        }
        let context = format!(
            "receipt {:?}: it belongs to another queue than {:?}",
            lease.receipt, self.queue.name
        );
        Err(Error::new(ErrorKind::Invalid, context))
    }
}

#[async_trait]
impl Consumer for LocalConsumer {
    fn limits(&self) -> Limits {
        Limits::SQS
    }

    async fn receive(&self, receive: Receive) -> Result<Vec<Delivery>, Error> {
        Limits::SQS.check_receive(receive)?;
        let fabric = &self.fabric;
        let deadline_ms = fabric.now_ms() + milliseconds(receive.wait);
        // Starts listening before it looks, so that no arrival goes unnoticed in between.
        let mut arrivals = fabric.wake.listen(self.queue.id);
        loop {
            arrivals.mark_unchanged();
            let (next_ms, sent_ms) = self.look()?;
            // Another process may have sent the message before the clock was set back.
            let now_ms = fabric.time.at_least(sent_ms.unwrap_or(0));
            if next_ms.is_some_and(|next_ms| next_ms <= now_ms) {
                let (queue, time) = (self.queue.clone(), Arc::clone(&fabric.time));
                let received = fabric
                    .write(Durability::Written, move |transaction| {
                        // The lease begins when the message is handed out, not when the operation began to wait for the writer.
                        receive::receive(transaction, &queue, receive.max, time.now_ms())
                    })
                    .await?;
                if !received.is_empty() {
                    return Ok(received);
                }
                continue;
            }
            if now_ms >= deadline_ms {
                return Ok(Vec::new());
            }
            let until_ms = next_ms
                .unwrap_or(i64::MAX)
                .min(deadline_ms)
                .min(now_ms + milliseconds(LOOK_AGAIN));
            tokio::select! {
                // The sender is owned by `fabric`, so this cannot fail.
                _ = arrivals.changed() => {}
                () = fabric.time.sleep_until(until_ms) => {}
            }
        }
    }

    async fn delete(&self, leases: Vec<Lease>) -> Vec<Result<Deleted, Error>> {
        let receipts = self.receipts(&leases);
        let count = receipts.len();
        let (queue, now_ms) = (self.queue.clone(), self.fabric.now_ms());
        let deleted = self
            .fabric
            .write(Durability::Synced, move |transaction| {
                let delete = |receipt| settle::delete(transaction, &queue, receipt, now_ms);
                each(receipts, delete)
            })
            .await;
        spread(deleted, count)
    }

    async fn renew(&self, leases: Vec<&mut Lease>, want: Duration) -> Vec<Result<(), Error>> {
        let alone = leases.into_iter().map(|lease| Hold {
            lease,
            request: None,
        });
        let kept = self.hold(alone.collect(), want).await.into_iter();
        kept.map(|kept| kept.map(|_| ())).collect()
    }

    async fn hold(&self, held: Vec<Hold<'_>>, want: Duration) -> Vec<Result<Kept, Error>> {
        let entry = |held: &Hold<'_>| Ok((self.receipt(held.lease)?, held.request.cloned()));
        let entries: Vec<_> = held.iter().map(entry).collect();
        let (queue, time) = (self.queue.clone(), Arc::clone(&self.fabric.time));
        let kept = self
            .fabric
            .writer
            .call_first(move |transaction| {
                let now_ms = time.now_ms();
                each(
                    entries,
                    |(receipt, request): (_, Option<RunningRequest>)| {
                        let receipt = settle::hide(transaction, &queue, receipt, want, now_ms)?;
                        let is_own = match request {
                            Some(request) => {
                                idempotency::renew(transaction, &request, want, now_ms)?
                            }
                            None => true,
                        };
                        Ok((receipt, is_own))
                    },
                )
            })
            .await;
        let kept = spread(kept, held.len()).into_iter();
        let entries = held.into_iter().zip(kept);
        entries
            .map(|(held, kept)| {
                let (receipt, is_own) = kept?;
                held.lease.receipt = receipt.to_string();
                held.lease.deadline_ms = u64::try_from(receipt.visible_at_ms).unwrap_or(0);
                Ok(match is_own {
                    true => Kept::All,
                    false => Kept::RequestLost,
                })
            })
            .collect()
    }

    async fn excuse(&self, lease: &Lease) {
        let Ok(receipt) = self.receipt(lease) else {
            return;
        };
        let time = Arc::clone(&self.fabric.time);
        // If this cannot be written, the attempt counts.
        let _ = self
            .fabric
            .write(Durability::Written, move |transaction| {
                late::excuse(transaction, receipt, time.now_ms())
            })
            .await;
    }

    async fn release(&self, lease: Lease, after: Duration) -> Result<(), Error> {
        let receipt = self.receipt(&lease)?;
        let (queue, now_ms) = (self.queue.clone(), self.fabric.now_ms());
        self.fabric
            .write(Durability::Written, move |transaction| {
                settle::release(transaction, &queue, receipt, after, now_ms)
            })
            .await
    }

    async fn hand_back(&self, lease: Lease, after: Duration) -> Result<(), Error> {
        let receipt = self.receipt(&lease)?;
        let (queue, now_ms) = (self.queue.clone(), self.fabric.now_ms());
        self.fabric
            .write(Durability::Written, move |transaction| {
                settle::release(transaction, &queue, receipt, after, now_ms)?;
                late::not_handled(transaction, receipt)
            })
            .await
    }

    async fn dead_letter(
        &self,
        lease: Lease,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<(), Error> {
        let receipt = self.receipt(&lease)?;
        let (queue, reason) = (self.queue.clone(), reason.to_owned());
        let now_ms = self.fabric.now_ms();
        self.fabric
            .write(Durability::Synced, move |transaction| {
                settle::dead_letter(transaction, &queue, receipt, &reason, now_ms)?;
                settle::publish_all(transaction, &publish, now_ms)
            })
            .await
    }

    async fn schedule(
        &self,
        messages: Vec<(Duration, Message)>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        Limits::SQS.check_batch(messages.iter().map(|(_, message)| message))?;
        let (queue, now_ms) = (self.queue.id, self.fabric.now_ms());
        self.fabric
            .write(Durability::Synced, move |transaction| {
                let entries = messages.iter().map(|(delay, message)| {
                    let checked = Limits::SQS.check_delay(*delay);
                    match checked.and_then(|()| Limits::SQS.check(message)) {
                        Ok(()) => {
                            let due_ms = now_ms + milliseconds(*delay);
                            send::insert(transaction, queue, message, now_ms, due_ms).map(Ok)
                        }
                        Err(refusal) => Ok(Err(refusal)),
                    }
                });
                entries.collect()
            })
            .await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<Deleted, Error>> {
        let count = settlements.len();
        let (queue, now_ms) = (self.queue.clone(), self.fabric.now_ms());
        let entries: Vec<_> = settlements
            .into_iter()
            .map(|settlement| self.receipt(&settlement.lease).map(|_| settlement))
            .collect();
        let settled = self
            .fabric
            .write(Durability::Synced, move |transaction| {
                let settle = |settlement| settle::settle(transaction, &queue, settlement, now_ms);
                each(entries, settle)
            })
            .await;
        spread(settled, count)
    }
}

/// Runs an operation for each entry. A refused entry fails alone. A disk error may have stopped an entry half-way, so it fails all of them,
/// and all are rolled back.
fn each<T, U>(
    entries: Vec<Result<T, Error>>,
    mut run: impl FnMut(T) -> Result<U, Error>,
) -> Result<Vec<Result<U, Error>>, Error> {
    entries
        .into_iter()
        .map(|entry| match entry.and_then(&mut run) {
            Err(error) if matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Corrupt) => {
                Err(error)
            }
            entry => Ok(entry),
        })
        .collect()
}

/// A failed commit fails every entry.
fn spread<T>(outcome: Result<Vec<Result<T, Error>>, Error>, count: usize) -> Vec<Result<T, Error>> {
    match outcome {
        Ok(entries) => entries,
        Err(error) => (0..count).map(|_| Err(error.clone())).collect(),
    }
}
