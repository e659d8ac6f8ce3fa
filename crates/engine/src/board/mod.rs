//! The messages that a program is handling, and what they are waiting for.

mod notice;

pub use notice::{InHand, Outage, Waited};

use pudato_handler::{Waiting, Waits};
use pudato_messaging::{Clock, SystemClock};
use pudato_protocol::{Command, Object, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A message that has been in flight for less than this is not shown to others: most Commands finish sooner, and then cost no write.
pub const MOMENT_MS: u64 = 1_000;

/// The messages that the workers of one program are handling. Clones share one board.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Notified when something is noted on a board that was empty.
    changed: Notify,
}

#[derive(Default)]
struct State {
    next: u64,
    in_hand: BTreeMap<u64, Noted>,
    outages: BTreeMap<(String, Cause), Outage>,
}

struct Noted {
    entry: InHand,
    /// The waits of the message, from the outermost to the innermost: a wait may begin within another.
    waits: Vec<(u64, Waited)>,
    wait_began: Arc<Notify>,
}

/// Why a part of a program cannot continue; several causes may apply at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// A backend that the handler needs is down.
    Backend,
    /// The fabric does not accept answers.
    Answers,
    /// Messages cannot be received.
    Receive,
}

impl Default for Board {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl Board {
    /// An empty board that takes its times from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            clock,
            state: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// The messages in flight, the oldest first.
    pub fn in_hand(&self) -> Vec<InHand> {
        let state = self.0.lock();
        let mut all: Vec<InHand> = state.in_hand.values().map(Noted::shown).collect();
        all.sort_by_key(|entry| entry.since_ms);
        all
    }

    /// The outages of the program's parts.
    pub fn outages(&self) -> Vec<Outage> {
        self.0.lock().outages.values().cloned().collect()
    }

    /// Notes a received message until the returned guard is dropped.
    pub(crate) fn take(&self, mut entry: InHand) -> OnBoard {
        entry.since_ms = self.0.clock.now_ms();
        let wait_began = Arc::new(Notify::new());
        let noted = Noted {
            entry,
            waits: Vec::new(),
            wait_began: Arc::clone(&wait_began),
        };
        let mut state = self.0.lock();
        state.next += 1;
        let id = state.next;
        let was_empty = state.in_hand.is_empty();
        state.in_hand.insert(id, noted);
        drop(state);
        if was_empty {
            self.0.changed.notify_one();
        }
        OnBoard {
            place: Place {
                board: Arc::clone(&self.0),
                id,
            },
            wait_began,
        }
    }

    /// Notes that the part `of` this program cannot continue. `held_by` is the Command that ran into the outage and retries.
    pub(crate) fn stops(&self, of: &str, cause: Cause, why: &str, held_by: Option<&str>) {
        let now_ms = self.0.clock.now_ms();
        let mut state = self.0.lock();
        let outage = state
            .outages
            .entry((of.to_owned(), cause))
            .or_insert_with(|| Outage {
                of: of.to_owned(),
                why: String::new(),
                since_ms: now_ms,
                held_by: None,
            });
        why.clone_into(&mut outage.why);
        outage.held_by = held_by.map(str::to_owned);
        drop(state);
        self.0.changed.notify_one();
    }

    /// Notes that the part `of` this program can continue.
    pub(crate) fn goes_on(&self, of: &str, cause: Cause) {
        self.0.lock().outages.remove(&(of.to_owned(), cause));
    }

    /// The messages and outages to show to others, and whether more may follow soon.
    pub fn notice(&self) -> (Vec<InHand>, Vec<Outage>, bool) {
        let now_ms = self.0.clock.now_ms();
        let mut in_hand = self.in_hand();
        let outages = self.outages();
        let is_moving = !in_hand.is_empty() || !outages.is_empty();
        in_hand.retain(|entry| entry.since_ms + MOMENT_MS <= now_ms);
        (in_hand, outages, is_moving)
    }

    /// Returns as soon as something is noted on a board that was empty.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before the lock is released, so a panic elsewhere cannot leave it half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    fn shown(&self) -> InHand {
        InHand {
            waits_for: self.waits.last().map(|(_, wait)| wait.clone()),
            ..self.entry.clone()
        }
    }

    fn begins(&mut self, wait: u64, waited: Waited) {
        self.waits.push((wait, waited));
        self.wait_began.notify_one();
    }
}

/// The place of one message on the board.
#[derive(Clone)]
struct Place {
    board: Arc<Inner>,
    id: u64,
}

impl Place {
    /// Changes the note if the message is still in flight.
    fn with<T>(&self, change: impl FnOnce(&mut Noted) -> T) -> Option<T> {
        self.board.lock().in_hand.get_mut(&self.id).map(change)
    }

    fn begin(&self, what: String, since_ms: u64) -> u64 {
        self.begin_with(Waited {
            what,
            since_ms,
            is_told: true,
        })
    }

    fn begin_with(&self, waited: Waited) -> u64 {
        let mut state = self.board.lock();
        state.next += 1;
        let wait = state.next;
        if let Some(noted) = state.in_hand.get_mut(&self.id) {
            noted.begins(wait, waited);
        }
        wait
    }

    fn end(&self, wait: u64) {
        self.with(|noted| noted.waits.retain(|(known, _)| *known != wait));
    }
}

impl Waiting for Place {
    fn begins(&self, what: String) -> u64 {
        self.begin(what, self.board.clock.now_ms())
    }

    fn changes(&self, wait: u64, what: String) {
        self.with(|noted| {
            let found = noted.waits.iter_mut().find(|(known, _)| *known == wait);
            if let Some((_, waited)) = found {
                waited.what = what;
            }
        });
    }

    fn ends(&self, wait: u64) {
        self.end(wait);
    }
}

/// The note of a message in flight. Dropping it removes the note, also if the message's task panics.
pub(crate) struct OnBoard {
    place: Place,
    wait_began: Arc<Notify>,
}

impl OnBoard {
    /// Adds the Command to the note, once the message is read.
    pub(crate) fn is_command(&self, command: &Command) {
        self.place.with(|noted| {
            let entry = &mut noted.entry;
            entry.action = Some(command.action.clone());
            entry.correlation_id = Some(command.correlation_id.clone());
            entry.job_id.clone_from(&command.job_id);
            entry.step_id.clone_from(&command.step_id);
        });
    }

    /// The correlation id of the message, if it is known.
    pub(crate) fn correlation_id(&self) -> Option<String> {
        let known = self.place.with(|noted| noted.entry.correlation_id.clone());
        known.flatten()
    }

    /// Notes until when the action may run, in milliseconds since the Unix epoch; `None` if it is not running.
    pub(crate) fn runs_until(&self, until_ms: Option<u64>) {
        self.place
            .with(|noted| noted.entry.gives_up_at_ms = until_ms);
    }

    /// A handle through which the handler reports its waits.
    pub(crate) fn waits(&self) -> Waits {
        Waits::new(Arc::new(self.place.clone()))
    }

    /// Notes that the message is waiting for `what`, until the returned guard is dropped. The wait began at `since_ms` and may have been
    /// interrupted.
    pub(crate) fn waits_since(&self, what: &str, since_ms: u64) -> Again {
        let wait = self.place.begin(what.to_owned(), since_ms);
        Again {
            place: self.place.clone(),
            wait,
        }
    }

    /// Notes that the message is waiting for `what`, until the returned guard is dropped. The sender is not notified of this wait.
    pub(crate) fn waits_untold(&self, what: &str) -> Again {
        let wait = self.place.begin_with(Waited {
            what: what.to_owned(),
            since_ms: self.place.board.clock.now_ms(),
            is_told: false,
        });
        Again {
            place: self.place.clone(),
            wait,
        }
    }

    /// The current wait, if the sender is to be notified of it.
    pub(crate) fn waited(&self) -> Option<Waited> {
        let waited = self
            .place
            .with(|noted| noted.waits.last().map(|(_, wait)| wait.clone()));
        waited.flatten().filter(|waited| waited.is_told)
    }

    /// Returns once a wait has begun since the last call.
    pub(crate) async fn wait_began(&self) {
        self.wait_began.notified().await;
    }
}

impl Drop for OnBoard {
    fn drop(&mut self) {
        self.place.board.lock().in_hand.remove(&self.place.id);
    }
}

/// A wait in progress; dropping it ends the wait.
pub(crate) struct Again {
    place: Place,
    wait: u64,
}

impl Drop for Again {
    fn drop(&mut self) {
        self.place.end(self.wait);
    }
}

/// The data of a `pending` Result that reports a wait.
pub(crate) fn told(waited: &Waited) -> Object {
    let mut data = Object::new();
    data.insert("waits_for".into(), waited.what.as_str().into());
    data.insert(
        "since".into(),
        Timestamp::from_unix_ms(waited.since_ms).as_str().into(),
    );
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use pudato_messaging::ManualClock;
    use std::time::Duration;

    fn entry(id: &str) -> InHand {
        InHand {
            service: "query".into(),
            correlation_id: Some(id.into()),
            ..InHand::default()
        }
    }

    #[test]
    fn a_message_is_shown_after_a_moment_and_removed_when_it_is_settled() {
        let clock = ManualClock::at(10_000);
        let board = Board::new(Arc::new(clock.clone()));
        let noted = board.take(entry("c-1"));
        assert!(board.notice().0.is_empty(), "it may be over at once");
        clock.advance(Duration::from_millis(MOMENT_MS));
        let told = board.notice().0;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].since_ms, 10_000);
        drop(noted);
        assert!(board.notice().0.is_empty());
        assert!(!board.notice().2, "nothing is in flight");
    }

    #[test]
    fn the_innermost_wait_counts_and_keeps_its_beginning() {
        let clock = ManualClock::at(10_000);
        let board = Board::new(Arc::new(clock.clone()));
        let noted = board.take(entry("c-1"));
        let waits = noted.waits();
        let mut outer = waits.waits_for("the warehouse");
        clock.advance(Duration::from_secs(3));
        outer.now_for("the warehouse, which dbt has");
        let waited = noted.waited().expect("a wait");
        assert_eq!(waited.what, "the warehouse, which dbt has");
        assert_eq!(
            waited.since_ms, 10_000,
            "the reason changed, the wait is the same"
        );
        let inner = waits.waits_for("a lock");
        assert_eq!(noted.waited().expect("a wait").what, "a lock");
        drop(inner);
        assert_eq!(noted.waited().expect("a wait").since_ms, 10_000);
        drop(noted);
        // A thread may report a change after its wait has ended.
        drop(outer);
        drop(waits.waits_for("too late"));
        assert!(board.in_hand().is_empty());
    }

    #[test]
    fn an_outage_keeps_its_beginning_and_its_last_reason() {
        let clock = ManualClock::at(10_000);
        let board = Board::new(Arc::new(clock.clone()));
        board.stops("query", Cause::Backend, "locked by 7", Some("c-1"));
        clock.advance(Duration::from_secs(5));
        board.stops("query", Cause::Backend, "locked by 8", Some("c-2"));
        let outages = board.outages();
        assert_eq!(outages.len(), 1);
        assert_eq!(
            (outages[0].since_ms, &*outages[0].why),
            (10_000, "locked by 8")
        );
        assert_eq!(outages[0].held_by.as_deref(), Some("c-2"));
        board.goes_on("query", Cause::Answers);
        assert_eq!(board.outages().len(), 1, "the outage with the other cause");
        board.goes_on("query", Cause::Backend);
        assert!(board.outages().is_empty());
    }
}
