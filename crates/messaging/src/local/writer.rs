//! The writer thread. Operations that wait while a commit runs go into the next commit together (group commit). Renewals overtake them in a
//! commit of their own: they wait for the running commit and for nothing else.

use super::schema::{WAL_PAGES_MAX, database_error, empty_log};
use super::turn::Turn;
use super::wake::Wake;
use crate::{Error, ErrorKind};
use rusqlite::Connection;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The most operations in one commit. It bounds how long the first of them waits.
const GROUP_MAX: usize = 256;
/// The most operations that may wait for the writer. Beyond that, callers wait, which is the back-pressure.
const WAITING_MAX: usize = 4_096;

/// The transaction of an operation, and what it needs beside it.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    arrivals: RefCell<BTreeSet<i64>>,
}

impl Transaction<'_> {
    /// Wakes receives at `queue` once the transaction is committed.
    pub(super) fn arrived(&self, queue: i64) {
        self.arrivals.borrow_mut().insert(queue);
    }
}

/// Whether a power failure may undo an operation. A crash of the process undoes none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Synced to disk before the caller gets its answer.
    Synced,
    /// Written, and synced with the next synced commit. If a receive is undone, the message can be received again, as after an expired
    /// lease.
    Written,
}

type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;
type Run = Box<dyn FnOnce(&Transaction<'_>) -> Option<Answer> + Send>;

enum Operation {
    /// An operation of the ordinary lane.
    Run(Run, Durability),
    /// Wakes the writer, because a renewal waits in the priority lane.
    Look,
}

#[derive(Clone)]
pub(super) struct Writer {
    operations: mpsc::SyncSender<Operation>,
    /// The priority lane. It needs no limit, because each sender waits for its answer before it sends again.
    first: mpsc::Sender<Run>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        connection: Connection,
        turn: Turn,
        wake: Arc<Wake>,
    ) -> Result<Self, Error> {
        let (operations, waiting) = mpsc::sync_channel(WAITING_MAX);
        let (first, renewals) = mpsc::channel();
        let mut thread = Thread {
            connection,
            synced: true,
            renewals,
        };
        std::thread::Builder::new()
            .name("pudato-fabric".into())
            .spawn(move || {
                let mut calls = Calls::new(wake);
                let mut renewals = Vec::new();
                loop {
                    let next = match renewals.is_empty() {
                        true => calls.next(&waiting),
                        false => Some(Operation::Look),
                    };
                    let Some(next) = next else {
                        break;
                    };
                    renewals.extend(thread.renewals());
                    if matches!(next, Operation::Look) && renewals.is_empty() {
                        // An earlier commit took these renewals.
                        continue;
                    }
                    // Operations that arrive while this process waits for its turn join the same commit.
                    let (arrived, (answers, committed)) = turn.take(|| {
                        let arrived = thread.renew(std::mem::take(&mut renewals));
                        (arrived, thread.write(gather(next, &waiting)))
                    });
                    calls.arrived(arrived);
                    calls.arrived(answer(answers, committed));
                    // A sender that finds the writer awake does not wake it, so look once more.
                    renewals = thread.renewals();
                }
                turn.take(|| empty_log(&thread.connection));
            })
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "the writer thread cannot start").with_io(error)
            })?;
        Ok(Self { operations, first })
    }

    /// Runs `operation` in a transaction of the writer. If this returns `Ok`, the effect is committed; after an error there is none. An
    /// operation is skipped if its caller is gone before it begins.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        durability: Durability,
        operation: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (run, answer) = prepare(operation);
        let mut next = Operation::Run(run, durability);
        loop {
            match self.operations.try_send(next) {
                Ok(()) => break,
                Err(mpsc::TrySendError::Full(back)) => next = back,
                Err(mpsc::TrySendError::Disconnected(_)) => return Err(stopped()),
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        answer.await.map_err(|_| stopped())?
    }

    /// As [`Self::call`], but ahead of all waiting operations and without a sync: it waits only for the running commit.
    pub(super) async fn call_first<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (run, answer) = prepare(operation);
        self.first.send(run).map_err(|_| stopped())?;
        // If the ordinary lane is full, the writer is awake anyway.
        let _ = self.operations.try_send(Operation::Look);
        answer.await.map_err(|_| stopped())?
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "the fabric's writer has stopped")
}

type Outcome<T> = oneshot::Receiver<Result<T, Error>>;

/// Wraps an operation for the writer, and returns the receiver of its outcome.
fn prepare<T: Send + 'static>(
    operation: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
) -> (Run, Outcome<T>) {
    let (reply, answer) = oneshot::channel();
    let run: Run = Box::new(move |transaction| {
        if reply.is_closed() {
            return None;
        }
        let outcome = in_savepoint(transaction, operation);
        let answer: Answer = Box::new(move |committed| {
            // The caller may be gone.
            let _ = reply.send(committed.and(outcome));
        });
        Some(answer)
    });
    (run, answer)
}

/// The state of the writer thread.
struct Thread {
    connection: Connection,
    /// Whether a commit is synced.
    synced: bool,
    renewals: mpsc::Receiver<Run>,
}

type Committed = (Vec<Answer>, Result<BTreeSet<i64>, rusqlite::Error>);

impl Thread {
    /// Takes the waiting renewals.
    fn renewals(&self) -> Vec<Run> {
        self.renewals.try_iter().collect()
    }

    /// Commits renewals, including those that arrived meanwhile, and answers them.
    fn renew(&mut self, mut renewals: Vec<Run>) -> BTreeSet<i64> {
        renewals.extend(self.renewals());
        if renewals.is_empty() {
            return BTreeSet::new();
        }
        self.sync(false);
        // A checkpoint would sync, so it is left to the next ordinary commit.
        let is_deferred = set_checkpoint(&self.connection, 0);
        let (answers, committed) = commit(&self.connection, renewals);
        if is_deferred {
            set_checkpoint(&self.connection, WAL_PAGES_MAX);
        }
        answer(answers, committed)
    }

    /// Commits a group of operations.
    fn write(&mut self, group: Vec<(Run, Durability)>) -> Committed {
        if group.is_empty() {
            return (Vec::new(), Ok(BTreeSet::new()));
        }
        let wanted = group.iter().any(|(_, one)| *one == Durability::Synced);
        self.sync(wanted);
        let runs = group.into_iter().map(|(run, _)| run);
        commit(&self.connection, runs.collect())
    }

    fn sync(&mut self, wanted: bool) {
        if wanted != self.synced && set_synced(&self.connection, wanted) {
            self.synced = wanted;
        }
    }
}

/// Sends wake-ups: to this process after each commit, to others at most once per [`CALL_EVERY`], because each one costs them about that
/// much time.
struct Calls {
    wake: Arc<Wake>,
    owed: BTreeSet<i64>,
    last: Instant,
}

/// A tenth of the 15 ms within which a receive in another process must wake.
const CALL_EVERY: Duration = Duration::from_micros(1_500);

impl Calls {
    fn new(wake: Arc<Wake>) -> Self {
        Self {
            wake,
            owed: BTreeSet::new(),
            last: Instant::now(),
        }
    }

    fn arrived(&mut self, queues: BTreeSet<i64>) {
        for queue in &queues {
            self.wake.arrived_here(*queue);
        }
        self.owed.extend(queues);
        // A call without a waiting queue would delay the next one.
        if !self.owed.is_empty() && self.last.elapsed() >= CALL_EVERY {
            self.pay();
        }
    }

    fn pay(&mut self) {
        for queue in std::mem::take(&mut self.owed) {
            self.wake.arrived_elsewhere(queue);
        }
        self.last = Instant::now();
    }

    /// Waits for the next operation; `None` once all senders are gone.
    fn next(&mut self, waiting: &mpsc::Receiver<Operation>) -> Option<Operation> {
        if !self.owed.is_empty() {
            let left = CALL_EVERY.saturating_sub(self.last.elapsed());
            match waiting.recv_timeout(left) {
                Ok(operation) => return Some(operation),
                Err(_) => self.pay(),
            }
        }
        waiting.recv().ok()
    }
}

fn set_synced(connection: &Connection, synced: bool) -> bool {
    let level = if synced { "FULL" } else { "NORMAL" };
    connection.pragma_update(None, "synchronous", level).is_ok()
}

fn set_checkpoint(connection: &Connection, pages: i64) -> bool {
    let set = connection.pragma_update_and_check(None, "wal_autocheckpoint", pages, |_| Ok(()));
    set.is_ok()
}

fn gather(first: Operation, waiting: &mpsc::Receiver<Operation>) -> Vec<(Run, Durability)> {
    let mut group = Vec::new();
    let mut next = Some(first);
    while let Some(operation) = next {
        if let Operation::Run(run, durability) = operation {
            group.push((run, durability));
        }
        next = match group.len() < GROUP_MAX {
            true => waiting.try_recv().ok(),
            false => None,
        };
    }
    group
}

/// Runs a group in one transaction. Returns the answers to its callers and the queues with arrivals.
fn commit(connection: &Connection, group: Vec<Run>) -> Committed {
    let begun = execute(connection, "BEGIN IMMEDIATE");
    let transaction = Transaction {
        connection,
        arrivals: RefCell::default(),
    };
    let answers: Vec<Answer> = group
        .into_iter()
        .filter_map(|run| run(&transaction))
        .collect();
    let committed = begun.and_then(|()| execute(connection, "COMMIT"));
    if committed.is_err() && !connection.is_autocommit() {
        let _ = execute(connection, "ROLLBACK");
    }
    let arrivals = transaction.arrivals.into_inner();
    (answers, committed.map(|()| arrivals))
}

/// Sends the outcome to the callers of a group, and returns the queues with arrivals.
fn answer(
    answers: Vec<Answer>,
    committed: Result<BTreeSet<i64>, rusqlite::Error>,
) -> BTreeSet<i64> {
    let committed = committed.map_err(|error| database_error("the fabric cannot write", error));
    for answer in answers {
        answer(match &committed {
            Ok(_) => Ok(()),
            Err(error) => Err(error.clone()),
        });
    }
    committed.unwrap_or_default()
}

fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// Runs an operation in a savepoint. If it fails or panics, it leaves nothing behind and does not affect the rest of the commit.
fn in_savepoint<T>(
    transaction: &Transaction<'_>,
    operation: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let connection = transaction.connection;
    let run =
        |sql| execute(connection, sql).map_err(|e| database_error("the fabric cannot write", e));
    if connection.is_autocommit() {
        // The transaction could not begin. The commit reports the reason.
        return Err(Error::new(
            ErrorKind::Unavailable,
            "the transaction could not begin",
        ));
    }
    run("SAVEPOINT operation")?;
    let outcome = catch_unwind(AssertUnwindSafe(|| operation(transaction))).unwrap_or_else(|_| {
        Err(Error::new(
            ErrorKind::Unavailable,
            "an operation of the fabric panicked",
        ))
    });
    if outcome.is_err() {
        run("ROLLBACK TO operation")?;
    }
    run("RELEASE operation")?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::{CALL_EVERY, Calls, Wake};
    use std::collections::BTreeSet;
    use std::time::Instant;

    #[test]
    fn a_commit_in_which_nothing_arrived_puts_off_no_call() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut calls = Calls::new(Wake::start(folder.path()).expect("started"));
        let before = Instant::now().checked_sub(CALL_EVERY);
        calls.last = before.expect("the machine has run for longer");
        calls.arrived(BTreeSet::new());
        calls.arrived(BTreeSet::from([1]));
        assert!(calls.owed.is_empty(), "the other processes were called");
    }
}
