//! The consumer of one queue of the fabric in memory.

use super::MemoryFabric;
use super::receipt::Receipt;
use super::state::milliseconds;
use crate::{
    Consumer, Deleted, Delivery, Error, Lease, Limits, Message, QueueConfig, Receive, Settlement,
};
use async_trait::async_trait;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Receives and settles the messages of one queue.
pub struct MemoryConsumer {
    fabric: MemoryFabric,
    queue: QueueConfig,
}

impl MemoryConsumer {
    pub(super) fn new(fabric: MemoryFabric, queue: QueueConfig) -> Self {
        Self { fabric, queue }
    }

    fn receipt(&self, lease: &Lease) -> Result<Receipt, Error> {
        Receipt::of(lease, &self.queue.name)
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    fn limits(&self) -> Limits {
        Limits::SQS
    }

    async fn receive(&self, receive: Receive) -> Result<Vec<Delivery>, Error> {
        Limits::SQS.check_receive(receive)?;
        let (fabric, name) = (&self.fabric, &self.queue.name);
        let deadline_ms = fabric.now_ms().saturating_add(milliseconds(receive.wait));
        let arrivals = Arc::clone(&fabric.state().queue(name)?.arrivals);
        loop {
            let mut arrived = pin!(arrivals.notified());
            // Starts listening before it looks, so that no arrival goes unnoticed in between.
            arrived.as_mut().enable();
            let now_ms = fabric.now_ms();
            let next_ms = {
                let mut state = fabric.state();
                let received = state.receive(name, receive.max, now_ms)?;
                if !received.is_empty() || now_ms >= deadline_ms {
                    return Ok(received);
                }
                let mut dues = state.queue(name)?.messages.keys();
                dues.next().map_or(deadline_ms, |(due_ms, _)| *due_ms)
            };
            // In a fixed order, so that a simulation always runs the same way.
            tokio::select! {
                biased;
                () = arrived => {}
                () = fabric.clock.sleep_until(next_ms.min(deadline_ms)) => {}
            }
        }
    }

    async fn delete(&self, leases: Vec<Lease>) -> Vec<Result<Deleted, Error>> {
        let now_ms = self.fabric.now_ms();
        let mut state = self.fabric.state();
        let entries = leases.iter();
        entries
            .map(|lease| state.delete(&self.receipt(lease)?, now_ms))
            .collect()
    }

    async fn renew(&self, leases: Vec<&mut Lease>, want: Duration) -> Vec<Result<(), Error>> {
        let now_ms = self.fabric.now_ms();
        let mut state = self.fabric.state();
        let entries = leases.into_iter();
        entries
            .map(|lease| {
                *lease = state.hide(self.receipt(lease)?, want, now_ms)?.lease();
                Ok(())
            })
            .collect()
    }

    async fn excuse(&self, lease: &Lease) {
        let now_ms = self.fabric.now_ms();
        if let Ok(receipt) = self.receipt(lease) {
            // A queue that is gone has no attempts to excuse.
            let _ = self.fabric.state().excuse(&receipt, now_ms);
        }
    }

    async fn release(&self, lease: Lease, after: Duration) -> Result<(), Error> {
        let now_ms = self.fabric.now_ms();
        let receipt = self.receipt(&lease)?;
        self.fabric.state().release(receipt, after, now_ms)
    }

    async fn hand_back(&self, lease: Lease, after: Duration) -> Result<(), Error> {
        let now_ms = self.fabric.now_ms();
        let receipt = self.receipt(&lease)?;
        let mut state = self.fabric.state();
        state.release(receipt.clone(), after, now_ms)?;
        state.not_handled(&receipt)
    }

    async fn dead_letter(
        &self,
        lease: Lease,
        reason: &str,
        publish: Vec<(String, Message)>,
    ) -> Result<(), Error> {
        let now_ms = self.fabric.now_ms();
        let receipt = self.receipt(&lease)?;
        let mut state = self.fabric.state();
        state.dead_letter(&self.queue, &receipt, reason, publish, now_ms)
    }

    async fn schedule(
        &self,
        messages: Vec<(Duration, Message)>,
    ) -> Result<Vec<Result<String, Error>>, Error> {
        Limits::SQS.check_batch(messages.iter().map(|(_, message)| message))?;
        let (name, now_ms) = (&self.queue.name, self.fabric.now_ms());
        let mut state = self.fabric.state();
        state.queue(name)?;
        let entries = messages.into_iter();
        Ok(entries
            .map(|(delay, message)| {
                Limits::SQS.check_delay(delay)?;
                Limits::SQS.check(&message)?;
                let due_ms = now_ms.saturating_add(milliseconds(delay));
                let id = state.insert(name, message, now_ms, due_ms);
                Ok(id.unwrap_or_default())
            })
            .collect())
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Vec<Result<Deleted, Error>> {
        let now_ms = self.fabric.now_ms();
        let mut state = self.fabric.state();
        let entries = settlements.into_iter();
        entries
            .map(|settlement| {
                let receipt = self.receipt(&settlement.lease)?;
                state.settle(&receipt, settlement, now_ms)
            })
            .collect()
    }
}
