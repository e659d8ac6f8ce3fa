//! The handler of one service.

use super::Deadline;
use crate::answering::Answering;
use crate::chance::{Backoff, Chance};
use crate::process::{Decision, Incoming, Processor};
use crate::settler::Settler;
use crate::wiring::{OpenError, Pudato};
use crate::worker::span;
use pudato_messaging::aws::SqsConsumer;
use pudato_messaging::{Clock, Consumer, Deleted, Delivery, Error, Lease};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tracing::Instrument;

/// While a backend is down it is asked again for so long, and no longer than half of the time that is left: waiting is billed.
const PROBE_MS_MAX: u64 = 10_000;

pub(super) struct ServiceFunction {
    pudato: Arc<Pudato>,
    service: String,
    opened: OnceCell<Arc<Opened>>,
}

/// What needs the queue, and is kept from the first invocation on.
struct Opened {
    pudato: Arc<Pudato>,
    processor: Processor,
    consumer: Arc<SqsConsumer>,
    chance: Chance,
    results_topic: String,
    events_topic: String,
}

impl ServiceFunction {
    pub(super) fn new(pudato: Arc<Pudato>, service: &str) -> Result<Self, OpenError> {
        pudato.require_handler(service)?;
        Ok(Self {
            pudato,
            service: service.to_owned(),
            opened: OnceCell::new(),
        })
    }

    async fn open(&self) -> Result<Arc<Opened>, OpenError> {
        let pudato = &self.pudato;
        let queue = pudato.names.queue(&self.service);
        let consumer = pudato.event_source(&queue).await?;
        let mut processor = pudato.processor(&self.service)?;
        // Nothing renews a running request here; it is this one's as long as the message is hidden, which is longer than it may run.
        processor.lease = consumer.visibility();
        Ok(Arc::new(Opened {
            processor,
            consumer: Arc::new(consumer),
            chance: Chance::new(),
            results_topic: pudato.names.results(),
            events_topic: pudato.names.events(),
            pudato: Arc::clone(pudato),
        }))
    }

    /// Answers the ids of the messages that must come again.
    pub(super) async fn invoke(
        &self,
        event: &Value,
        end_ms: u64,
    ) -> Result<Vec<String>, OpenError> {
        let opened = self.opened.get_or_try_init(|| self.open()).await?;
        let deadline = Deadline::new(opened.clock().now_ms(), end_ms);
        let deliveries = opened.consumer.adopt(event)?;
        let consumer: Arc<dyn Consumer> = Arc::clone(&opened.consumer) as _;
        let clock = Arc::clone(&opened.pudato.clock);
        let (settler, settling) = Settler::new(consumer, clock);
        let settling = tokio::spawn(settling);
        let handlers = Arc::new(Semaphore::new(opened.pudato.settings().concurrency.max(1)));
        let mut running = tokio::task::JoinSet::new();
        for delivery in deliveries {
            let (opened, settler) = (Arc::clone(opened), settler.clone());
            let handlers = Arc::clone(&handlers);
            let in_hand = settler.take_in_hand();
            running.spawn(async move {
                let _in_hand = in_hand;
                opened.handle(delivery, &settler, &handlers, deadline).await;
            });
        }
        drop(settler);
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                // Its message is not settled, so it is among those that come again.
                tracing::error!(%error, "a message could not be handled");
            }
        }
        let _ = settling.await;
        Ok(opened.consumer.left())
    }
}

impl Opened {
    fn clock(&self) -> &dyn Clock {
        &*self.pudato.clock
    }

    fn answering(&self) -> Answering<'_> {
        Answering {
            outbox: &self.pudato.outbox,
            results_topic: &self.results_topic,
            events_topic: &self.events_topic,
        }
    }

    async fn handle(
        &self,
        delivery: Delivery,
        settler: &Settler,
        handlers: &Semaphore,
        deadline: Deadline,
    ) {
        let lease = delivery.lease;
        let message = Incoming {
            message_id: delivery.message_id,
            body: delivery.body,
            attributes: delivery.attributes,
            attempt: delivery.attempt,
            attempt_max: delivery.attempt_max,
        };
        let decision = tokio::select! {
            biased;
            // What ran so far leaves nothing, or an answer that is kept.
            () = self.clock().sleep_until(deadline.stop_ms) => Decision::Retry {
                why: "the invocation has no time left for it".into(),
                after: None,
            },
            decision = async {
                // The semaphore is never closed.
                let _handler = handlers.acquire().await;
                self.decide(&message, deadline).await
            } => decision,
        };
        let settled = self.obey(&message, lease, decision, settler).await;
        if let Err(error) = settled {
            tracing::warn!(%error, message_id = message.message_id, "it could not be settled; it comes again");
        }
    }

    /// Decides, and while a backend is down asks again a few times.
    async fn decide(&self, message: &Incoming, deadline: Deadline) -> Decision {
        let now_ms = self.clock().now_ms();
        let probe_ms = (deadline.stop_ms.saturating_sub(now_ms) / 2).min(PROBE_MS_MAX);
        let mut failures = 0;
        loop {
            let decision = match self.processor.read(message).await {
                Ok(read) => {
                    let span = span(message, Some(&read));
                    let decide = self.processor.decide(message, &read);
                    decide.instrument(span).await
                }
                Err(decision) => decision,
            };
            let Decision::Unavailable { why } = &decision else {
                return decision;
            };
            failures += 1;
            let wait = Backoff::PROBE.wait(failures, &self.chance);
            let next_ms = self.clock().now_ms().saturating_add(milliseconds(wait));
            if next_ms > now_ms.saturating_add(probe_ms) {
                return decision;
            }
            tracing::warn!(%why, "a backend is unavailable; it is asked again");
            self.clock().sleep_until(next_ms).await;
        }
    }

    async fn obey(
        &self,
        message: &Incoming,
        lease: Lease,
        decision: Decision,
        settler: &Settler,
    ) -> Result<(), Error> {
        let attempt = message.attempt.unwrap_or(1);
        let (outcome, follow_up) = match decision {
            Decision::Done(outcome) => (outcome, None),
            Decision::Pending(outcome, follow_up) => (outcome, Some(*follow_up)),
            Decision::Retry { why, after } => {
                let after = after.unwrap_or_else(|| Backoff::RETRY.wait(attempt, &self.chance));
                tracing::warn!(%why, after_s = after.as_secs(), "it is tried again");
                return self.consumer.release(lease, after).await;
            }
            Decision::Busy { until_ms } => {
                let left_ms = until_ms.saturating_sub(self.clock().now_ms());
                tracing::info!("the same request runs elsewhere; it is given back");
                let after = Duration::from_millis(left_ms);
                return self.consumer.release(lease, after).await;
            }
            Decision::Unavailable { why } => {
                let after = Backoff::OUTAGE.wait_long(attempt, &self.chance);
                tracing::warn!(%why, after_s = after.as_secs(), "it is given back");
                return self.consumer.release(lease, after).await;
            }
            Decision::Reject { why, result } => {
                tracing::error!(%why, "it is dead-lettered");
                let publish = self.answering().told(result.as_deref()).await?;
                return self.consumer.dead_letter(lease, &why, publish).await;
            }
        };
        let (answering, limits) = (self.answering(), self.consumer.limits());
        let prepared = answering
            .prepare(&outcome, follow_up.as_ref(), &limits)
            .await;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // Its effect is made: who receives it next gives the same answer.
                if let Some(answered) = outcome.answered.clone()
                    && let Err(error) = self.processor.idempotency.finish(answered).await
                {
                    tracing::warn!(%error, "the answer could not be kept");
                }
                let after = Backoff::OUTAGE.wait_long(attempt, &self.chance);
                self.consumer.release(lease, after).await?;
                return Err(error);
            }
        };
        match settler.settle(prepared.settlement(lease)).await? {
            Deleted::LeaseLost => tracing::warn!("the lease was lost; the answer is not published"),
            Deleted::Deleted | Deleted::Unknown => {
                tracing::debug!(status = ?outcome.result.status, duration_ms = outcome.result.duration_ms, "answered");
            }
        }
        Ok(())
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
