//! A gate that calls pass through, and that can be closed to some of them.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
struct State {
    /// Calls whose name begins so wait before the gate.
    closed_to: Option<String>,
    /// How many calls are on their way, by their names.
    inside: BTreeMap<String, usize>,
}

/// A gate, open at first.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self
            .changed
            .wait_while(self.state(), |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a call in, as soon as the gate is not closed to it. It is on its way until the return value is dropped.
    pub(crate) fn enter(&self, name: &str) -> Inside<'_> {
        let is_closed = |state: &State| {
            let closed_to = state.closed_to.as_deref();
            closed_to.is_some_and(|start| name.starts_with(start))
        };
        let mut state = self.wait_while(is_closed);
        *state.inside.entry(name.to_owned()).or_default() += 1;
        Inside {
            gate: self,
            name: name.to_owned(),
        }
    }

    /// Closes the gate to calls whose name begins with `start`, and waits until none of them is on its way.
    pub(crate) fn close(&self, start: &str) {
        self.state().closed_to = Some(start.to_owned());
        self.wait_for_none(start);
    }

    /// Waits until no call whose name begins with `start` is on its way.
    pub(crate) fn wait_for_none(&self, start: &str) {
        let is_used = |state: &State| {
            let mut inside = state.inside.iter();
            inside.any(|(name, count)| *count > 0 && name.starts_with(start))
        };
        drop(self.wait_while(is_used));
    }

    pub(crate) fn open(&self) {
        self.state().closed_to = None;
        self.changed.notify_all();
    }
}

/// A call on its way.
pub(crate) struct Inside<'a> {
    gate: &'a Gate,
    name: String,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.gate.state().inside.get_mut(&self.name) {
            *count -= 1;
        }
        self.gate.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::Gate;
    use std::sync::mpsc;

    #[test]
    fn a_closed_gate_waits_for_the_calls_inside_and_keeps_others_outside() {
        let gate = Gate::default();
        let (events, seen) = mpsc::channel();
        std::thread::scope(|scope| {
            let first = gate.enter("SNS PublishBatch");
            let closing = events.clone();
            let gate = &gate;
            scope.spawn(move || {
                gate.close("SNS Publish");
                closing.send("closed").expect("a receiver");
            });
            while gate.state().closed_to.is_none() {
                std::thread::yield_now();
            }
            let late = events.clone();
            scope.spawn(move || {
                let _inside = gate.enter("SNS Publish");
                late.send("entered").expect("a receiver");
            });
            // Other calls pass.
            drop(gate.enter("SQS ReceiveMessage"));
            assert!(seen.try_recv().is_err(), "the first call is on its way");
            drop(first);
            assert_eq!(seen.recv(), Ok("closed"));
            assert!(seen.try_recv().is_err(), "the late call waits");
            gate.open();
            assert_eq!(seen.recv(), Ok("entered"));
        });
    }
}
