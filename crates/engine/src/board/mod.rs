//! The messages that a program has in hand, and what they wait for.

mod notice;

pub use notice::{InHand, Outage, Waited};

use pudato_handler::{Waiting, Waits};
use pudato_messaging::{Clock, SystemClock};
use pudato_protocol::{Command, Object, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What has been in hand for less is told to nobody else: most Commands are over by then, and cost no write.
pub const MOMENT_MS: u64 = 1_000;

/// What the workers of one program have in hand. Clones are the same board.
#[derive(Clone)]
pub struct Board(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// There is something on a board that was empty.
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
    /// What it waits for; a wait may have begun within another.
    waits: Vec<(u64, Waited)>,
    wait_began: Arc<Notify>,
}

/// What keeps a part of a program from going on; one may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cause {
    /// What its handler needs is down.
    Backend,
    /// The fabric takes no answers.
    Answers,
    /// Nothing can be received.
    Receive,
}

impl Default for Board {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl Board {
    /// An empty one, on which things are noted at the times of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            clock,
            state: Mutex::default(),
            changed: Notify::new(),
        }))
    }

    /// What is in hand, the longest first.
    pub fn in_hand(&self) -> Vec<InHand> {
        let state = self.0.lock();
        let mut all: Vec<InHand> = state.in_hand.values().map(Noted::shown).collect();
        all.sort_by_key(|entry| entry.since_ms);
        all
    }

    /// What keeps it from going on.
    pub fn outages(&self) -> Vec<Outage> {
        self.0.lock().outages.values().cloned().collect()
    }

    /// Notes a message that was received, until what is returned is dropped.
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

    /// Something keeps the part `of` this program from going on; `held_by` is the Command that found out, and asks again.
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

    /// It goes on.
    pub(crate) fn goes_on(&self, of: &str, cause: Cause) {
        self.0.lock().outages.remove(&(of.to_owned(), cause));
    }

    /// What others are told, and whether there may be more soon.
    pub fn notice(&self) -> (Vec<InHand>, Vec<Outage>, bool) {
        let now_ms = self.0.clock.now_ms();
        let mut in_hand = self.in_hand();
        let outages = self.outages();
        let is_moving = !in_hand.is_empty() || !outages.is_empty();
        in_hand.retain(|entry| entry.since_ms + MOMENT_MS <= now_ms);
        (in_hand, outages, is_moving)
    }

    /// Returns once something is noted on a board that was empty.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is guarded is whole at every moment, so a panic elsewhere does not spoil it.
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

/// Where one message is noted.
#[derive(Clone)]
struct Place {
    board: Arc<Inner>,
    id: u64,
}

impl Place {
    /// Changes the note, where the message is still in hand.
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

/// A message that is noted as in hand; ends when this is dropped, also where its task panics.
pub(crate) struct OnBoard {
    place: Place,
    wait_began: Arc<Notify>,
}

impl OnBoard {
    /// The message was read.
    pub(crate) fn is_command(&self, command: &Command) {
        self.place.with(|noted| {
            let entry = &mut noted.entry;
            entry.action = Some(command.action.clone());
            entry.correlation_id = Some(command.correlation_id.clone());
            entry.job_id.clone_from(&command.job_id);
            entry.step_id.clone_from(&command.step_id);
        });
    }

    /// The correlation id of the message, where it is known.
    pub(crate) fn correlation_id(&self) -> Option<String> {
        let known = self.place.with(|noted| noted.entry.correlation_id.clone());
        known.flatten()
    }

    /// Its action may run until then, in milliseconds since the Unix epoch; `None`: it does not run.
    pub(crate) fn runs_until(&self, until_ms: Option<u64>) {
        self.place
            .with(|noted| noted.entry.gives_up_at_ms = until_ms);
    }

    /// Where it is said what it waits for.
    pub(crate) fn waits(&self) -> Waits {
        Waits::new(Arc::new(self.place.clone()))
    }

    /// It waits for `what`, and did so since `since_ms` with interruptions; until what is returned is dropped.
    pub(crate) fn waits_since(&self, what: &str, since_ms: u64) -> Again {
        let wait = self.place.begin(what.to_owned(), since_ms);
        Again {
            place: self.place.clone(),
            wait,
        }
    }

    /// It waits for `what`, which its sender is not told; until the returned guard is dropped.
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

    /// What it waits for now, where its sender is to be told.
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

/// A wait that goes on.
pub(crate) struct Again {
    place: Place,
    wait: u64,
}

impl Drop for Again {
    fn drop(&mut self) {
        self.place.end(self.wait);
    }
}

/// A wait as the data of a `pending` Result says it.
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
    fn what_is_told_is_in_hand_for_a_moment_and_gone_when_it_is_over() {
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
        assert!(!board.notice().2, "nothing moves");
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
        let waited = noted.waited().expect("it waits");
        assert_eq!(waited.what, "the warehouse, which dbt has");
        assert_eq!(
            waited.since_ms, 10_000,
            "more is known, it is the same wait"
        );
        let inner = waits.waits_for("a lock");
        assert_eq!(noted.waited().expect("it waits").what, "a lock");
        drop(inner);
        assert_eq!(noted.waited().expect("it waits").since_ms, 10_000);
        drop(noted);
        // A thread that was not told of it yet.
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
        assert_eq!(board.outages().len(), 1, "another cause");
        board.goes_on("query", Cause::Backend);
        assert!(board.outages().is_empty());
    }
}
