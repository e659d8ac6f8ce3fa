//! What is known about a backend before it is opened.

use super::OpenError;
use super::fabric::{Fabric, Parts};
use super::objects::Unlisted;
use crate::serve::Role;
use std::fmt;
use std::pin::Pin;

/// A backend, as the settings choose it. The list `BACKENDS` has all of them.
pub struct Backend {
    /// The name, which is the value of `PUDATO_FABRIC`.
    pub name: &'static str,
    /// Whether this setting chooses it, if `PUDATO_FABRIC` is not set.
    pub(crate) is_chosen_by: fn(&str) -> bool,
    /// Whether it needs credentials and a region of AWS.
    pub(super) needs_aws: bool,
    /// The place of containers that no setting lists.
    pub(super) unlisted: Unlisted,
    /// Whether it stores answers itself, so that `PUDATO_IDEMPOTENCY_URL` would have no effect.
    pub(crate) stores_answers: bool,
    /// Whether a caller can get a queue of its own, so that `PUDATO_REPLIES` may be `queue`.
    pub(crate) has_reply_queues: bool,
    /// Whether Lambda can deliver its messages.
    pub(crate) feeds_lambda: bool,
    /// The settings that a program with these roles cannot do without. Without roles: those that every program needs.
    pub(crate) requires: fn(&[Role]) -> Vec<String>,
    /// The remedy if such a setting is missing.
    pub(crate) requires_advice: &'static str,
    /// Opens the fabric.
    pub(super) open: Open,
}

/// Opens a fabric.
pub(super) type Open =
    for<'a> fn(Parts<'a>) -> Pin<Box<dyn Future<Output = Result<Fabric, OpenError>> + Send + 'a>>;

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
