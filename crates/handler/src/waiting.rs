//! Reports what a Command waits for, so that the caller who waits for its Result can see it.

use crate::redact;
use pudato_protocol::Command;
use std::fmt;
use std::sync::Arc;

/// Receives what one Command waits for, and when the wait is over. Callable from any thread; it never blocks.
pub trait Waiting: Send + Sync {
    /// A wait begins. Returns a number that identifies it.
    fn begins(&self, what: String) -> u64;
    /// The wait continues, for something else or with more details.
    fn changes(&self, wait: u64, what: String);
    /// The wait is over.
    fn ends(&self, wait: u64);
}

/// Reports what one Command waits for. Clones report to the same place; the default discards everything.
#[derive(Clone, Default)]
pub struct Waits(Option<Arc<dyn Waiting>>);

impl Waits {
    /// Reports to `told`.
    pub fn new(told: Arc<dyn Waiting>) -> Self {
        Self(Some(told))
    }

    /// Reports that the Command waits for `what` until the returned value is dropped. `what` completes the sentence "it waits for ..": a
    /// thing and, if known, who has it and since when. This takes a lock and makes no call, so it can be used before it is known whether
    /// the wait will be long.
    ///
    /// ```
    /// # let waits = pudato_handler::Waits::default();
    /// let mut wait = waits.waits_for("the warehouse");
    /// wait.now_for("the warehouse, which query execute_sql (step load) has had since 12:03:05 UTC");
    /// drop(wait);
    /// ```
    pub fn waits_for(&self, what: impl Into<String>) -> Wait {
        let told = self.0.clone().map(|told| {
            let wait = told.begins(masked(what.into()));
            (told, wait)
        });
        Wait(told)
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waits")
    }
}

/// A wait, which ends when this is dropped.
#[must_use = "the wait ends when this is dropped"]
pub struct Wait(Option<(Arc<dyn Waiting>, u64)>);

impl Wait {
    /// Changes what this wait is for.
    pub fn now_for(&mut self, what: impl Into<String>) {
        if let Some((told, wait)) = &self.0 {
            told.changes(*wait, masked(what.into()));
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some((told, wait)) = &self.0 {
            told.ends(*wait);
        }
    }
}

/// The text leaves the process.
fn masked(what: String) -> String {
    redact(&what).into_owned()
}

/// The name of a Command for people: `query execute_sql (step load-3 of job-1)`.
///
/// ```
/// use pudato_handler::called;
/// use pudato_protocol::{Command, Object};
///
/// let mut command = Command::new("query", "execute_sql", Object::new());
/// command.correlation_id = "c-1".into();
/// assert_eq!(called(&command), "query execute_sql (c-1)");
/// command.step_id = Some("load-3".into());
/// assert_eq!(called(&command), "query execute_sql (step load-3)");
/// ```
pub fn called(command: &Command) -> String {
    let whose = match (&command.step_id, &command.job_id) {
        (Some(step), Some(job)) => format!("step {step} of {job}"),
        (Some(step), None) => format!("step {step}"),
        (None, _) => command.correlation_id.clone(),
    };
    masked(format!("{} {} ({whose})", command.r#type, command.action))
}
