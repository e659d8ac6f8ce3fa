//! What a board shows of messages and outages.

use serde::{Deserialize, Serialize};

/// A message that a worker has in hand.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InHand {
    /// The worker's service.
    pub service: String,
    /// The Command's action, where it could be read.
    pub action: Option<String>,
    /// Its correlation id.
    pub correlation_id: Option<String>,
    /// Its job.
    pub job_id: Option<String>,
    /// Its step.
    pub step_id: Option<String>,
    /// The fabric's id of the message.
    pub message_id: String,
    /// Which attempt it is.
    pub attempt: Option<u32>,
    /// Since when it is in hand.
    pub since_ms: u64,
    /// When its action has had all its time.
    pub gives_up_at_ms: Option<u64>,
    /// What it waits for.
    pub waits_for: Option<Waited>,
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Waited {
    /// For what, as the end of the sentence "it waits for ..".
    pub what: String,
    /// Since when.
    pub since_ms: u64,
    /// Whether its sender is told with a `pending` Result, where the wait is long.
    #[serde(skip)]
    pub(crate) is_told: bool,
}

/// What keeps a part of a program from going on, e.g. an open breaker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outage {
    /// The part: a service, or `results`.
    pub of: String,
    /// What is known about it.
    pub why: String,
    /// Since when.
    pub since_ms: u64,
    /// The correlation id of the Command that found out last, and asks again.
    pub held_by: Option<String>,
}

impl InHand {
    /// How it is called where people read of it.
    pub fn called(&self) -> String {
        let action = self.action.as_deref().unwrap_or("?");
        let whose = match (&self.step_id, &self.job_id) {
            (Some(step), Some(job)) => format!("step {step} of {job}"),
            (Some(step), None) => format!("step {step}"),
            (None, _) => match &self.correlation_id {
                Some(id) => id.clone(),
                None => format!("message {}", self.message_id),
            },
        };
        format!("{} {action} ({whose})", self.service)
    }
}
