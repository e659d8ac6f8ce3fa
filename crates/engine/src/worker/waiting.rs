//! The reports of the worker: which messages it is handling, what they are waiting for, and why it stopped receiving.

use super::Running;
use crate::board::{self, Cause, InHand, OnBoard};
use crate::process::Incoming;
use pudato_protocol::Command;
use std::convert::Infallible;

/// A shorter wait gets no `pending` Result, because the registry keeps each of them.
const TELL_AFTER_MS: u64 = 2_000;
/// The shortest time between two reports of a wait whose reason changes.
const TELL_EVERY_MS: u64 = 10_000;

impl Running {
    /// The note for a message that was just received.
    pub(super) fn entry(&self, message: &Incoming) -> InHand {
        let attribute = |name: &str| message.attributes.get(name).cloned();
        InHand {
            service: self.service().to_owned(),
            action: attribute("action"),
            correlation_id: attribute("correlation_id"),
            message_id: message.message_id.clone(),
            attempt: message.attempt,
            ..InHand::default()
        }
    }

    fn service(&self) -> &str {
        self.worker.processor.handler.service()
    }

    /// Notes that this worker cannot continue, and which message found out.
    pub(super) fn stops(&self, cause: Cause, why: &str, found_by: Option<&OnBoard>) {
        let found_by = found_by.and_then(OnBoard::correlation_id);
        let board = &self.worker.board;
        board.stops(self.service(), cause, why, found_by.as_deref());
    }

    /// Notes that this worker can continue.
    pub(super) fn goes_on(&self, cause: Cause) {
        self.worker.board.goes_on(self.service(), cause);
    }

    /// Notes that the backend answered, or that the next message must probe.
    pub(super) fn is_back(&self, was_away: bool) {
        // In nearly all cases there was no outage, and then this costs nothing.
        if was_away || self.breaker.is_open() {
            self.breaker.close();
            self.goes_on(Cause::Backend);
        }
    }

    /// Notes that the fabric accepted an answer, or that the next answer must probe.
    pub(super) fn takes_answers(&self, failed_before: bool) {
        if failed_before || self.breaker.is_open() {
            self.breaker.close();
            self.goes_on(Cause::Answers);
        }
    }

    /// Publishes `pending` Results that report what a Command is waiting for, if the wait is long. Runs until it is dropped.
    pub(super) async fn report_waits(&self, command: &Command, noted: &OnBoard) -> Infallible {
        let processor = &self.worker.processor;
        let mut told = None;
        loop {
            let Some(waited) = noted.waited() else {
                noted.wait_began().await;
                continue;
            };
            let now_ms = processor.clock.now_ms();
            let due_ms = waited.since_ms.saturating_add(TELL_AFTER_MS);
            if now_ms < due_ms {
                processor.clock.sleep_until(due_ms).await;
                continue;
            }
            if told.as_ref() != Some(&waited) {
                let progress = &processor.progress;
                progress.report(command, board::told(&waited));
                told = Some(waited);
            }
            let next_ms = now_ms.saturating_add(TELL_EVERY_MS);
            processor.clock.sleep_until(next_ms).await;
        }
    }
}
