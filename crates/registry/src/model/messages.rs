//! Results and Events as the registry stores them.

use crate::batch::Difference;
use serde::Serialize;

/// A stored Result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredResult {
    /// The SHA-256 of its JSON as published.
    pub identity: String,
    /// Its JSON.
    pub body: String,
    /// When it was written to the registry.
    pub recorded_at: String,
    /// The field in which the Result differs from its step, if it does not match and was not applied. `None` if it counts.
    #[serde(rename = "claims")]
    pub mismatch: Option<Difference>,
}

/// A stored Event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredEvent {
    /// Grows with each recorded Event.
    pub cursor: i64,
    /// Its JSON.
    pub body: String,
    /// When it was written to the registry.
    pub recorded_at: String,
}
