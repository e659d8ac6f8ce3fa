//! Whom a work waits for, told to those who want to know.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Whom a work waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitsFor {
    /// Who has what the work needs, e.g. `query execute_sql of step load (step-0123456789ab)`.
    pub what: String,
    /// Since when.
    pub since: SystemTime,
}

type Listener = dyn Fn(Option<&WaitsFor>) + Send + Sync;

/// Is told whom a work waits for, each time that this changes, and when the wait is over.
#[derive(Clone, Default)]
pub struct Waits(Option<Arc<Listener>>);

impl Waits {
    /// `listener` is given whom the work waits for, and `None` when the wait is over. It must not block.
    pub fn new(listener: impl Fn(Option<&WaitsFor>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(crate) fn tell(&self, waits_for: &WaitsFor) {
        if let Some(listener) = &self.0 {
            listener(Some(waits_for));
        }
    }

    pub(crate) fn over(&self) {
        if let Some(listener) = &self.0 {
            listener(None);
        }
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waits")
    }
}
