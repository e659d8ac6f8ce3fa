//! The handler of one service.

use super::{Answered, Deadline, Invoked};
use crate::installation::{Installation, OpenError, PushedConsumer};
use pudato_engine::pace::millis;
use pudato_engine::settle::{Answer, Policy, Prepared, Preparer, Settler, Settling, carry_out};
use pudato_engine::{Backoff, Decision, Incoming, Jitter, Processor, span};
use pudato_messaging::{Clock, Consumer, Deleted, Delivery, Error, Lease};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};
use tracing::Instrument;

/// While a backend is down, the function retries for this long, and for no more than half of the remaining time: waiting is billed.
const PROBE_MS_MAX: u64 = 10_000;

pub(super) struct ServiceFunction {
    pudato: Arc<Installation>,
    service: String,
    opened: OnceCell<Arc<Opened>>,
}

/// The parts that need the queue, kept from the first invocation on.
struct Opened {
    pudato: Arc<Installation>,
    processor: Processor,
    source: Arc<dyn PushedConsumer>,
    consumer: Arc<dyn Consumer>,
    jitter: Jitter,
    results_topic: String,
    events_topic: String,
}

impl ServiceFunction {
    pub(super) fn new(pudato: Arc<Installation>, service: &str) -> Result<Self, OpenError> {
        pudato.handler(service)?;
        Ok(Self {
            pudato,
            service: service.to_owned(),
            opened: OnceCell::new(),
        })
    }

    async fn open(&self) -> Result<Arc<Opened>, OpenError> {
        let pudato = &self.pudato;
        let queue = pudato.names.queue(&self.service);
        let source = super::pushed(pudato, &queue).await?;
        let mut processor = pudato.processor(&self.service)?;
        // Whoever received the messages deletes them, in no transaction with their answers.
        processor.settles_at_once = false;
        // Nothing renews a running request here. It belongs to this invocation as long as the message is hidden, which is longer than it
        // may run.
        processor.lease = source.visibility();
        Ok(Arc::new(Opened {
            processor,
            consumer: Arc::clone(&source).as_consumer(),
            source,
            jitter: Jitter::new(),
            results_topic: pudato.names.results(),
            events_topic: pudato.names.events(),
            pudato: Arc::clone(pudato),
        }))
    }

    /// Handles the messages of an event.
    pub(super) async fn invoke(&self, event: &Value, end_ms: u64) -> Result<Invoked, OpenError> {
        let opened = self.opened.get_or_try_init(|| self.open()).await?;
        let deadline = Deadline::new(opened.clock().now_ms(), end_ms);
        let deliveries = opened.source.adopt(event)?;
        let consumer = Arc::clone(&opened.consumer);
        let clock = Arc::clone(&opened.pudato.clock);
        let (settler, settling) = Settler::new(consumer, clock);
        let settling = tokio::spawn(settling);
        let handlers = Arc::new(Semaphore::new(opened.pudato.settings().concurrency.max(1)));
        let mut running = tokio::task::JoinSet::new();
        let mut answers = Vec::with_capacity(deliveries.len());
        answers.resize_with(deliveries.len(), || None);
        let mut ids = Vec::with_capacity(deliveries.len());
        for (place, delivery) in deliveries.into_iter().enumerate() {
            let (opened, settler) = (Arc::clone(opened), settler.clone());
            let handlers = Arc::clone(&handlers);
            let in_hand = settler.announce();
            ids.push(delivery.message_id.clone());
            running.spawn(async move {
                let _in_hand = in_hand;
                let handled = opened.handle(delivery, &settler, &handlers, deadline);
                (place, handled.await)
            });
        }
        drop(settler);
        while let Some(ended) = running.join_next().await {
            match ended {
                Ok((place, answered)) => answers[place] = answered,
                // Its message is not settled, so it is among those to redeliver.
                Err(error) => tracing::error!(%error, "a message could not be handled"),
            }
        }
        let _ = settling.await;
        let left = opened.source.left();
        let settled = ids.into_iter().zip(answers);
        let settled = settled.filter(|(id, _)| !left.contains(id));
        Ok(Invoked {
            answers: settled.filter_map(|(_, answered)| answered).collect(),
            left,
        })
    }
}

impl Opened {
    fn clock(&self) -> &dyn Clock {
        &*self.pudato.clock
    }

    fn settling(&self) -> Settling<'_> {
        Settling {
            consumer: &*self.consumer,
            idempotency: &*self.processor.idempotency,
            preparer: Preparer {
                outbox: &self.pudato.outbox,
                results_topic: &self.results_topic,
                events_topic: &self.events_topic,
            },
            clock: self.clock(),
            jitter: &self.jitter,
        }
    }

    async fn handle(
        &self,
        delivery: Delivery,
        settler: &Settler,
        handlers: &Semaphore,
        deadline: Deadline,
    ) -> Option<Answered> {
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
            // A handler that is cancelled here has left no effect, or an answer that is stored.
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
        let answered = Answered::by(&decision);
        let settling = self.settling();
        let policy = GiveBack {
            settling,
            settler,
            attempt: message.attempt.unwrap_or(1),
        };
        let lease = std::future::ready(Some(lease));
        carry_out(settling, &policy, &message, lease, decision).await;
        answered
    }

    /// Decides. While a backend is down, tries again a few times.
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
            let wait = Backoff::PROBE.wait(failures, &self.jitter);
            let next_ms = self.clock().now_ms().saturating_add(millis(wait));
            if next_ms > now_ms.saturating_add(probe_ms) {
                return decision;
            }
            tracing::warn!(%why, "a backend is unavailable; the function tries again");
            self.clock().sleep_until(next_ms).await;
        }
    }
}

/// A Lambda function's policy: waiting is billed, and releasing a message spends an attempt, so a message is delayed for long while a
/// backend is down.
struct GiveBack<'a> {
    settling: Settling<'a>,
    settler: &'a Settler,
    attempt: u32,
}

impl Policy for GiveBack<'_> {
    fn unavailable_for(&self, attempt: u32) -> Duration {
        Backoff::OUTAGE.wait_long(attempt, self.settling.jitter)
    }

    async fn settle(
        &self,
        lease: Lease,
        (outcome, _): Answer<'_>,
        prepared: Result<Prepared, Error>,
    ) -> Result<Deleted, Error> {
        match prepared {
            Ok(prepared) => self.settler.settle(prepared.settlement(lease)).await,
            Err(error) => {
                self.settling.keep_answer(outcome).await;
                let after = self.unavailable_for(self.attempt);
                if let Err(error) = self.settling.consumer.release(lease, after).await {
                    // A record that was made by hand has no receipt. The message is redelivered nevertheless.
                    tracing::warn!(%error, "the message could not be delayed");
                }
                Err(error)
            }
        }
    }
}
