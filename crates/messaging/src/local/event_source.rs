//! Messages that somebody else received and hands over as an event, in the form of Lambda's events. Whoever received them deletes those
//! that were handled, so deleting here means remembering.

use super::LocalFabric;
use super::consumer::LocalConsumer;
use super::queue::Queue;
use super::writer::{Durability, Transaction};
use super::{idempotency, send};
use crate::{
    Consumer, Deleted, Delivery, Error, ErrorKind, Lease, Limits, Message, Receive, Settlement,
};
use async_trait::async_trait;
use rusqlite::params;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Settles the messages of events. What follows from a message is written in one transaction, as [`LocalConsumer`] does; the message itself
/// is not on a queue, or whoever received it deletes it there.
pub struct LocalEventSource {
    fabric: LocalFabric,
    queue: Queue,
    left: Mutex<BTreeMap<String, Held>>,
}

/// A message of an event, as a dead-letter queue keeps it.
#[derive(Clone)]
struct Held {
    message: Message,
    attempt: i64,
}

impl LocalEventSource {
    /// Accepts messages for the queue of `consumer`.
    pub fn new(consumer: LocalConsumer) -> Self {
        let (fabric, queue) = consumer.into_parts();
        Self {
            fabric,
            queue,
            left: Mutex::default(),
        }
    }

    /// Accepts the records of an event (`{"Records": [{"messageId": .., "body": ..}]}`) as deliveries.
    ///
    /// # Errors
    /// `Invalid`: it is not such an event. None of its messages can then be reported as failed.
    pub fn adopt(&self, event: &Value) -> Result<Vec<Delivery>, Error> {
        let invalid = |what: &str| Error::new(ErrorKind::Invalid, format!("event: {what}"));
        let records = event.get("Records").and_then(Value::as_array);
        let records = records.ok_or_else(|| invalid("expected a list Records, as SQS sends it"))?;
        let mut held = BTreeMap::new();
        let mut deliveries = Vec::with_capacity(records.len());
        for record in records {
            let text = |name: &str| Some(record.get(name)?.as_str()?.to_owned());
            let id = text("messageId").filter(|id| !id.is_empty());
            let (Some(id), Some(body)) = (id, text("body")) else {
                return Err(invalid("expected messageId and body in every record"));
            };
            let attributes = attributes(record);
            let count = record.pointer("/attributes/ApproximateReceiveCount");
            let count = count.and_then(Value::as_str).and_then(|n| n.parse().ok());
            deliveries.push(Delivery {
                message_id: id.clone(),
                body: body.clone().into_bytes(),
                attributes: attributes.clone(),
                attempt: count,
                attempt_max: self.queue.redrive.as_ref().map(|(max, _)| *max),
                first_received_ms: None,
                dead_letter: None,
                lease: Lease {
                    receipt: id.clone(),
                    deadline_ms: u64::MAX,
                },
            });
            let message = Message { body, attributes };
            let attempt = i64::from(count.unwrap_or(1));
            held.insert(id, Held { message, attempt });
        }
        *self.held() = held;
        Ok(deliveries)
    }

    /// The ids of the adopted messages to report as failed: those that were neither deleted nor dead-lettered.
    pub fn left(&self) -> Vec<String> {
        self.held().keys().cloned().collect()
    }

    /// How long a received message is hidden from other consumers.
    pub fn visibility(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.queue.visibility_ms).unwrap_or(0))
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Held>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, lease: &Lease) -> Result<Deleted, Error> {
        match self.held().remove(&lease.receipt) {
            Some(_) => Ok(Deleted::Deleted),
            None => Err(unknown(lease)),
        }
    }
}

fn unknown(lease: &Lease) -> Error {
    let what = format!(
        "receipt {:?}: no message of this event has it",
        lease.receipt
    );
    Error::new(ErrorKind::Invalid, what)
}

/// The attributes with a text.
fn attributes(record: &Value) -> BTreeMap<String, String> {
    let given = record.get("messageAttributes").and_then(Value::as_object);
    let texts = given.into_iter().flatten().filter_map(|(name, value)| {
        let text = value.get("stringValue")?.as_str()?;
        Some((name.clone(), text.to_owned()))
    });
    texts.collect()
}

/// Publishes what follows from a message, schedules its follow-up and stores its answer.
fn follow(
    transaction: &Transaction<'_>,
    queue: &Queue,
    settlement: &Settlement,
    now_ms: i64,
) -> Result<(), Error> {
    // Checks everything that can be refused first, because the rest must not stop half-way.
    let routes = settlement
        .publish
        .iter()
        .map(|(topic, message)| send::route(transaction, topic, message));
    let routes: Vec<send::Route> = routes.collect::<Result<_, _>>()?;
    for (delay, message) in &settlement.schedule {
        Limits::SQS.check(message)?;
        Limits::SQS.check_delay(*delay)?;
    }
    for (route, (_, message)) in routes.iter().zip(&settlement.publish) {
        send::send(transaction, route, message, now_ms)?;
    }
    for (delay, message) in &settlement.schedule {
        let due = now_ms.saturating_add(super::queue::milliseconds(*delay));
        send::insert(transaction, queue.id, message, now_ms, due)?;
    }
    if let Some(answered) = &settlement.answered {
        idempotency::finish(transaction, answered, now_ms)?;
    }
    Ok(())
}

#[async_trait]
impl Consumer for LocalEventSource {
    fn limits(&self) -> Limits {
        Limits::SQS
    }

    /// Messages come by [`LocalEventSource::adopt`] alone.
    async fn receive(&self, _: Receive) -> Result<Vec<Delivery>, Error> {
        Ok(Vec::new())
    }

    async fn delete(&self, leases: Vec<Lease>) -> Vec<Result<Deleted, Error>> {
        leases.iter().map(|lease| self.forget(lease)).collect()
    }

    /// Whoever received the message holds its lease.
    async fn renew(&self, leases: Vec<&mut Lease>, _: Duration) -> Vec<Result<(), Error>> {
        leases.iter().map(|_| Ok(())).collect()
    }

    /// The message stays among those that are left.
    async fn release(&self, _: Lease, _: Duration) -> Result<(), Error> {
        Ok(())
    }

    async fn dead_letter(
        &self,
        lease: Lease,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<(), Error> {
        let Some((_, to)) = self.queue.redrive else {
            let context = format!("queue {:?} has no dead-letter queue", self.queue.name);
            return Err(Error::new(ErrorKind::NotFound, context));
        };
        let found = self.held().get(&lease.receipt).cloned();
        let held = found.ok_or_else(|| unknown(&lease))?;
        let (source, reason) = (self.queue.name.clone(), reason.to_owned());
        let now_ms = self.fabric.now_ms();
        let kept = self.fabric.write(Durability::Synced, move |transaction| {
            for (topic, message) in &publish {
                send::publish(transaction, topic, message, now_ms)?;
            }
            send::insert(transaction, to, &held.message, now_ms, now_ms)?;
            // The table of deliveries has no row ids, so this is the message's.
            let row = transaction.connection.last_insert_rowid();
            send::run(
                transaction,
                "UPDATE delivery SET source = ?, reason = ?, receive_count = ?
                 WHERE queue = ? AND visible_at_ms = ? AND message = ?",
                params![source, reason, held.attempt, to, now_ms, row],
            )?;
            Ok(())
        });
        kept.await?;
        self.forget(&lease).map(|_| ())
    }

    async fn schedule(
        &self,
        messages: Vec<(Duration, Message)>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        let consumer = self.fabric.consumer(&self.queue.name).await?;
        consumer.schedule(messages).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<Deleted, Error>> {
        let mut settled = Vec::with_capacity(settlements.len());
        for settlement in settlements {
            // Only the messages of this event; another call may settle the others at the same time.
            if !self.held().contains_key(&settlement.lease.receipt) {
                settled.push(Err(unknown(&settlement.lease)));
                continue;
            }
            let (queue, now_ms) = (self.queue.clone(), self.fabric.now_ms());
            let receipt = settlement.lease.receipt.clone();
            let written = self.fabric.write(Durability::Synced, move |transaction| {
                follow(transaction, &queue, &settlement, now_ms)
            });
            let written = written.await;
            if written.is_ok() {
                self.held().remove(&receipt);
            }
            settled.push(written.map(|()| Deleted::Deleted));
        }
        settled
    }
}
