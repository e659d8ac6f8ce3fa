//! Progress of long actions: `pending` Results that are published while the action runs.

use crate::outbox::Outbox;
use pudato_handler::Progress;
use pudato_messaging::Clock;
use pudato_protocol::{Command, Object, Result as Reply, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// The most reports that may wait to be published; further ones are dropped.
const WAITING_MAX: usize = 16;
/// The shortest time between two reports of one Command: the registry keeps every report.
const EVERY_MS: u64 = 1_000;
/// The most Commands that are remembered.
const COMMANDS_MAX: usize = 1_000;

/// Publishes reports one after the other. A report that cannot be published is dropped, since another follows.
pub struct ProgressReporter {
    service: String,
    clock: Arc<dyn Clock>,
    waiting: mpsc::Sender<Reply>,
    /// When each Command reported last.
    last_ms: Mutex<BTreeMap<String, u64>>,
}

impl ProgressReporter {
    /// Returns the reporter, and a loop that publishes to `topic` until it is dropped.
    pub fn new(
        service: &str,
        outbox: Outbox,
        topic: String,
        clock: Arc<dyn Clock>,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (waiting, mut incoming) = mpsc::channel::<Reply>(WAITING_MAX);
        let work = async move {
            while let Some(result) = incoming.recv().await {
                let sent = match outbox.result(&topic, &result).await {
                    Ok(message) => outbox.publisher.publish(&topic, vec![message]).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = sent {
                    tracing::debug!(%error, "a progress report could not be published and was dropped");
                }
            }
        };
        let reporter = Self {
            service: service.to_owned(),
            clock,
            waiting,
            last_ms: Mutex::default(),
        };
        (reporter, work)
    }

    fn is_due(&self, id: &str) -> bool {
        let now_ms = self.clock.now_ms();
        let mut last = self.last_ms.lock().unwrap_or_else(PoisonError::into_inner);
        if last.get(id).is_some_and(|last| now_ms < last + EVERY_MS) {
            return false;
        }
        if last.len() >= COMMANDS_MAX {
            last.retain(|_, at| now_ms < *at + EVERY_MS);
        }
        last.insert(id.to_owned(), now_ms);
        true
    }
}

impl Progress for ProgressReporter {
    fn report(&self, command: &Command, data: Object) {
        if !self.is_due(&command.correlation_id) {
            return;
        }
        let mut result = Reply::pending(command.correlation_id.as_str(), data);
        result.job_id.clone_from(&command.job_id);
        result.step_id.clone_from(&command.step_id);
        result.handler = Some(self.service.clone());
        result.timestamp = Timestamp::from_unix_ms(self.clock.now_ms());
        let _ = self.waiting.try_send(result);
    }
}
