//! The messages and outages that a board shows.

use serde::{Deserialize, Serialize};

/// A message that a worker is handling.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InHand {
    /// The worker's service.
    pub service: String,
    /// The Command's action, if the message could be read.
    pub action: Option<String>,
    /// The correlation id of the message.
    pub correlation_id: Option<String>,
    /// The Command's job.
    pub job_id: Option<String>,
    /// The Command's step.
    pub step_id: Option<String>,
    /// The fabric's id of the message.
    pub message_id: String,
    /// The number of this attempt.
    pub attempt: Option<u32>,
    /// When the worker received it, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// When the time limit of its action ends, in milliseconds since the Unix epoch.
    pub gives_up_at_ms: Option<u64>,
    /// The current wait.
    pub waits_for: Option<Waited>,
}

/// A wait.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Waited {
    /// The object of the sentence "It is waiting for ...".
    pub what: String,
    /// When the wait began, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Whether the sender is notified with a `pending` Result if the wait is long.
    #[serde(skip)]
    pub(crate) is_told: bool,
}

/// The reason why a part of a program cannot continue, e.g. an open breaker.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outage {
    /// The part: a service, or `results`.
    pub of: String,
    /// The reason.
    pub why: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// The correlation id of the Command that ran into it last and retries.
    pub held_by: Option<String>,
}

impl InHand {
    /// A description of the message for people.
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
