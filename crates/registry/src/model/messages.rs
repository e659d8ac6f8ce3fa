//! Results and Events as the registry stores them.

use crate::batch::Difference;
use serde::Serialize;

/// A Result as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredResult {
    /// The SHA-256 of its JSON as published.
    pub identity: String,
    /// Its JSON.
    pub body: String,
    /// When it was written to the registry.
    pub recorded_at: String,
    /// In what it differs from the step that it names: it is a claim then, and not applied. `None` where it counts.
    #[serde(rename = "claims")]
    pub mismatch: Option<Difference>,
}

/// An Event as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredEvent {
    /// Grows with each Event that is recorded.
    pub cursor: i64,
    /// Its JSON.
    pub body: String,
    /// When it was written to the registry.
    pub recorded_at: String,
}
