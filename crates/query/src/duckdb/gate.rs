//! Decides who may use the warehouse: the works of this program share it, while dbt needs the file for itself.
//!
//! Works and loans take tickets in the order of their arrival.
//!
//! - Works run beside each other: DuckDB gives each its own snapshot, so a write does not wait for a read.
//! - A loan waits for the works that began before it was requested. Works that arrive meanwhile may run, because they delay nobody. When
//!   only such latecomers are left, those that read are stopped and run again after the loan; those that write finish first.
//! - A work may ask to run alone: a work that may have crashed the engine's process is retried without neighbours.

use pudato_handler::{Wait, Waits};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;
use tokio::sync::{Notify, watch};

/// The purpose of a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Work { alone: bool },
    Loan,
}

struct Waiting {
    kind: Kind,
}

struct Working {
    label: String,
    since: SystemTime,
    /// Whether the work only reads, so that it can be stopped and run again.
    only_reads: bool,
    alone: bool,
    /// Becomes true when the work must make way.
    stop: watch::Sender<bool>,
}

struct Borrower {
    label: String,
    since: SystemTime,
}

#[derive(Default)]
struct State {
    last_ticket: u64,
    waiting: BTreeMap<u64, Waiting>,
    working: BTreeMap<u64, Working>,
    lent: Option<Borrower>,
}

impl State {
    /// The loan that has waited longest.
    fn first_loan(&self) -> Option<u64> {
        let mut waiting = self.waiting.iter();
        waiting
            .find(|(_, waiting)| waiting.kind == Kind::Loan)
            .map(|(ticket, _)| *ticket)
    }

    fn may_begin(&self, ticket: u64, kind: Kind) -> bool {
        if self.lent.is_some() || self.working.values().any(|working| working.alone) {
            return false;
        }
        let mut earlier = self.waiting.range(..ticket);
        match kind {
            Kind::Loan | Kind::Work { alone: true } => {
                self.working.is_empty() && earlier.next().is_none()
            }
            Kind::Work { alone: false } => {
                let is_alone =
                    |(_, waiting): (_, &Waiting)| waiting.kind == Kind::Work { alone: true };
                let holds_up = self.first_loan().is_some_and(|loan| {
                    loan < ticket && self.working.range(..loan).next().is_none()
                });
                !holds_up && !earlier.any(is_alone)
            }
        }
    }

    /// The holder that `ticket` waits for: the one that has used the warehouse longest.
    fn blocker(&self, ticket: u64) -> Option<String> {
        if let Some(Borrower { label, since }) = &self.lent {
            return Some(format!(
                "the warehouse, which {label} has had since {}",
                time(*since)
            ));
        }
        let Working { label, since, .. } = self.working.values().next()?;
        let others = match self.working.len() - 1 {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        let since = time(*since);
        let is_behind_loan = self.first_loan().is_some_and(|loan| loan < ticket);
        Some(match is_behind_loan {
            true => format!(
                "the warehouse, for which dbt waits as well; {label}{others} has used it since {since}"
            ),
            false => format!("the warehouse, which {label}{others} has used since {since}"),
        })
    }

    /// Stops latecomers that only read, if nothing else delays the first loan.
    fn make_way(&self) {
        let Some(loan) = self.first_loan().filter(|_| self.lent.is_none()) else {
            return;
        };
        if self.working.range(..loan).next().is_some() {
            return;
        }
        for working in self.working.values().filter(|working| working.only_reads) {
            working.stop.send_replace(true);
        }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Notify,
}

impl Gate {
    /// Lets a work in. With `alone`, no other work runs meanwhile.
    pub(super) async fn work(
        self: &Arc<Self>,
        label: &str,
        alone: bool,
        waits: &Waits,
    ) -> WorkPass {
        let kind = Kind::Work { alone };
        let (stop, stopped) = watch::channel(false);
        let ticket = self
            .enter(kind, waits, |state, ticket| {
                let working = Working {
                    label: label.to_owned(),
                    since: SystemTime::now(),
                    only_reads: false,
                    alone,
                    stop,
                };
                state.working.insert(ticket, working);
            })
            .await;
        WorkPass {
            gate: Arc::clone(self),
            ticket,
            stopped,
        }
    }

    /// Lets in a borrower that needs the file for itself.
    pub(super) async fn loan(self: &Arc<Self>, label: &str, waits: &Waits) -> LoanPass {
        self.enter(Kind::Loan, waits, |state, _| {
            state.lent = Some(Borrower {
                label: label.to_owned(),
                since: SystemTime::now(),
            });
        })
        .await;
        LoanPass(Arc::clone(self))
    }

    async fn enter(
        self: &Arc<Self>,
        kind: Kind,
        waits: &Waits,
        begin: impl FnOnce(&mut State, u64),
    ) -> u64 {
        let ticket = {
            let mut state = self.lock();
            state.last_ticket += 1;
            let ticket = state.last_ticket;
            if state.may_begin(ticket, kind) {
                begin(&mut state, ticket);
                return ticket;
            }
            state.waiting.insert(ticket, Waiting { kind });
            state.make_way();
            ticket
        };
        // Takes the ticket back if the caller is dropped meanwhile.
        let mut queued = Queued {
            gate: Arc::clone(self),
            ticket: Some(ticket),
        };
        let mut told: Option<(Wait, String)> = None;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                if state.may_begin(ticket, kind) {
                    state.waiting.remove(&ticket);
                    queued.ticket = None;
                    begin(&mut state, ticket);
                    drop(state);
                    // Others may start beside this one.
                    self.changed.notify_waiters();
                    return ticket;
                }
                let blocker = state.blocker(ticket);
                drop(state);
                // If there is none, the next one in line has not woken up yet.
                match (blocker, &mut told) {
                    (Some(blocker), None) => {
                        told = Some((waits.waits_for(blocker.as_str()), blocker));
                    }
                    (Some(blocker), Some((wait, last))) if *last != blocker => {
                        wait.now_for(blocker.as_str());
                        *last = blocker;
                    }
                    _ => {}
                }
            }
            changed.await;
        }
    }

    fn leave(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.make_way();
        drop(state);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time of day, e.g. `12:03:05 UTC`.
fn time(at: SystemTime) -> String {
    let seconds = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
        % 86_400;
    format!(
        "{:02}:{:02}:{:02} UTC",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60
    )
}

struct Queued {
    gate: Arc<Gate>,
    ticket: Option<u64>,
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.gate.leave(|state| {
                state.waiting.remove(&ticket);
            });
        }
    }
}

/// A work inside. Dropping it lets others in.
pub(super) struct WorkPass {
    gate: Arc<Gate>,
    ticket: u64,
    stopped: watch::Receiver<bool>,
}

impl WorkPass {
    /// Marks the work as one that only reads, so that it may be stopped for a loan.
    pub(super) fn only_reads(&self) {
        self.gate.leave(|state| {
            if let Some(working) = state.working.get_mut(&self.ticket) {
                working.only_reads = true;
            }
        });
    }

    /// Returns when the work must make way.
    pub(super) async fn stopped(&self) {
        let mut stopped = self.stopped.clone();
        if stopped.wait_for(|stopped| *stopped).await.is_err() {
            // The gate dropped the work's entry, so nothing stops it.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for WorkPass {
    fn drop(&mut self) {
        self.gate.leave(|state| {
            state.working.remove(&self.ticket);
        });
    }
}

/// A loan of the file. Dropping it returns the file.
pub(super) struct LoanPass(Arc<Gate>);

impl Drop for LoanPass {
    fn drop(&mut self) {
        self.0.leave(|state| state.lent = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use pudato_handler::Waiting;
    use std::future::Future;
    use std::pin::Pin;

    fn gate() -> Arc<Gate> {
        Arc::default()
    }

    fn ready<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        future.now_or_never()
    }

    fn work<'a>(
        gate: &'a Arc<Gate>,
        waits: &'a Waits,
    ) -> Pin<Box<impl Future<Output = WorkPass> + 'a>> {
        Box::pin(gate.work("a work", false, waits))
    }

    #[test]
    fn works_run_beside_each_other() {
        let (gate, waits) = (gate(), Waits::default());
        let first = ready(&mut work(&gate, &waits)).expect("the first is in");
        assert!(ready(&mut work(&gate, &waits)).is_some());
        drop(first);
    }

    #[test]
    fn a_loan_waits_for_earlier_works_and_lets_others_in_meanwhile() {
        let (gate, waits) = (gate(), Waits::default());
        let long_read = ready(&mut work(&gate, &waits)).expect("in");
        long_read.only_reads();
        let mut loan = Box::pin(gate.loan("dbt", &waits));
        assert!(ready(&mut loan).is_none(), "the read began before it");
        let late_write = ready(&mut work(&gate, &waits)).expect("it holds up nobody");
        let late_read = ready(&mut work(&gate, &waits)).expect("it holds up nobody");
        late_read.only_reads();
        assert!(late_read.stopped().now_or_never().is_none());
        drop(long_read);
        // From now on the loan waits for the latecomers alone.
        assert!(late_read.stopped().now_or_never().is_some());
        assert!(
            late_write.stopped().now_or_never().is_none(),
            "a write is never stopped"
        );
        assert!(
            ready(&mut work(&gate, &waits)).is_none(),
            "it would hold up the loan"
        );
        drop(late_read);
        assert!(ready(&mut loan).is_none());
        drop(late_write);
        let lent = ready(&mut loan).expect("lent");
        let mut after = work(&gate, &waits);
        assert!(ready(&mut after).is_none());
        drop(lent);
        assert!(ready(&mut after).is_some());
    }

    #[test]
    fn a_read_that_began_before_the_loan_is_never_stopped() {
        let (gate, waits) = (gate(), Waits::default());
        let early = ready(&mut work(&gate, &waits)).expect("in");
        early.only_reads();
        let mut loan = Box::pin(gate.loan("dbt", &waits));
        assert!(ready(&mut loan).is_none());
        assert!(early.stopped().now_or_never().is_none());
    }

    #[test]
    fn works_and_loans_take_turns() {
        let (gate, waits) = (gate(), Waits::default());
        let lent = ready(&mut Box::pin(gate.loan("dbt", &waits))).expect("lent");
        let mut between = work(&gate, &waits);
        assert!(ready(&mut between).is_none());
        let mut next_loan = Box::pin(gate.loan("dbt", &waits));
        assert!(ready(&mut next_loan).is_none());
        drop(lent);
        assert!(ready(&mut next_loan).is_none(), "the work came before it");
        let between = ready(&mut between).expect("in");
        assert!(ready(&mut next_loan).is_none());
        drop(between);
        assert!(ready(&mut next_loan).is_some());
    }

    #[test]
    fn who_asks_to_be_alone_is_alone() {
        let (gate, waits) = (gate(), Waits::default());
        let first = ready(&mut work(&gate, &waits)).expect("in");
        let mut alone = Box::pin(gate.work("suspect", true, &waits));
        assert!(ready(&mut alone).is_none());
        let mut behind = work(&gate, &waits);
        assert!(ready(&mut behind).is_none(), "or it would never be alone");
        drop(first);
        let alone = ready(&mut alone).expect("alone");
        assert!(ready(&mut behind).is_none());
        drop(alone);
        assert!(ready(&mut behind).is_some());
    }

    #[test]
    fn who_goes_away_holds_up_nobody() {
        let (gate, waits) = (gate(), Waits::default());
        let early = ready(&mut work(&gate, &waits)).expect("in");
        let mut loan = Box::pin(gate.loan("dbt", &waits));
        assert!(ready(&mut loan).is_none());
        drop(early);
        drop(loan);
        assert!(ready(&mut work(&gate, &waits)).is_some());
    }

    #[derive(Default)]
    struct RecordedWaits(Mutex<Vec<String>>);

    impl Waiting for RecordedWaits {
        fn begins(&self, what: String) -> u64 {
            self.0.lock().expect("whole").push(what);
            0
        }
        fn changes(&self, _: u64, what: String) {
            self.0.lock().expect("whole").push(what);
        }
        fn ends(&self, _: u64) {
            self.0.lock().expect("whole").push("nobody".into());
        }
    }

    #[test]
    fn a_wait_says_for_whom() {
        let gate = gate();
        let recorded = Arc::new(RecordedWaits::default());
        let waits = Waits::new(Arc::clone(&recorded) as Arc<dyn Waiting>);
        let lent = ready(&mut Box::pin(gate.loan("dbt build of job-1", &waits))).expect("lent");
        let mut waiting = Box::pin(gate.work("a work", false, &waits));
        assert!(ready(&mut waiting).is_none());
        drop(lent);
        assert!(ready(&mut waiting).is_some());
        let recorded = recorded.0.lock().expect("whole");
        assert!(
            recorded[0].starts_with("the warehouse, which dbt build of job-1 has had since "),
            "{recorded:?}"
        );
        assert_eq!(recorded[1..], ["nobody"]);
    }
}
