//! Receiving at the pace of the queue: one long poll while it is quiet, several calls at once while it is busy.

use futures_util::future::join_all;
use pudato_messaging::{Consumer, Delivery, Error, Limits, Receive};
use std::time::Duration;

/// The most calls at once.
const CALLS_MAX: usize = 4;
/// The most calls at once on a fabric that bills calls, where the last calls of a busy period find nothing.
const CALLS_MAX_BILLED: usize = 2;

/// The most messages that one [`AdaptiveReceiver::receive`] can return.
pub(crate) fn batch_max(limits: &Limits) -> usize {
    limits.batch_entries_max * calls_max(limits)
}

fn calls_max(limits: &Limits) -> usize {
    match limits.bills_calls() {
        true => CALLS_MAX_BILLED,
        false => CALLS_MAX,
    }
}

/// Receives from one queue. A full batch suggests that more messages are waiting, so the next receive does not wait, and makes twice as
/// many calls.
pub(crate) struct AdaptiveReceiver<'a> {
    consumer: &'a dyn Consumer,
    limits: Limits,
    /// The number of calls of the next receive, none of which waits. 0 means a single call that waits.
    calls: usize,
}

impl<'a> AdaptiveReceiver<'a> {
    pub(crate) fn new(consumer: &'a dyn Consumer) -> Self {
        Self {
            consumer,
            limits: consumer.limits(),
            calls: 0,
        }
    }

    /// Whether the last batch was full, so that the next receive does not wait.
    pub(crate) fn is_busy(&self) -> bool {
        self.calls > 0
    }

    /// Receives up to `max` messages.
    ///
    /// # Errors
    /// As [`Consumer::receive`], if no call returned a message. If some did, they are handled first; a lasting failure shows up again at
    /// the next receive.
    pub(crate) async fn receive(&mut self, max: usize) -> Result<Vec<Delivery>, Error> {
        let received = self.call(max).await?;
        let per_call = self.limits.batch_entries_max;
        let is_full = received.len() >= max.min(per_call * self.calls.max(1));
        self.calls = match is_full {
            true => (self.calls * 2).clamp(1, calls_max(&self.limits)),
            false => 0,
        };
        Ok(received)
    }

    async fn call(&self, max: usize) -> Result<Vec<Delivery>, Error> {
        let per_call = self.limits.batch_entries_max;
        let receive = |max, wait| self.consumer.receive(Receive { max, wait });
        if self.calls == 0 {
            return receive(max.min(per_call), self.limits.receive_wait_max).await;
        }
        let calls = (0..max).step_by(per_call).take(self.calls);
        let calls = calls.map(|from| receive((max - from).min(per_call), Duration::ZERO));
        let mut all = Vec::with_capacity(max.min(per_call * self.calls));
        let mut failure = None;
        for received in join_all(calls).await {
            match received {
                Ok(deliveries) => all.extend(deliveries),
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if all.is_empty() => Err(error),
            _ => Ok(all),
        }
    }
}
