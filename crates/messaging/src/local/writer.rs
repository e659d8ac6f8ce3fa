//! One thread writes; what waits while it commits goes into the next commit together (group commit). Renewals go first, in a commit of
//! their own: they wait for the commit that runs, and for nothing else.

use super::schema::{WAL_PAGES_MAX, database_error};
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

/// Most operations of one commit; bounds how long the first of them waits.
const GROUP_MAX: usize = 256;
/// Operations that may wait for the writer; beyond it callers wait, which is the back-pressure.
const WAITING_MAX: usize = 4_096;

/// What an operation works with.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    arrivals: RefCell<BTreeSet<i64>>,
}

impl Transaction<'_> {
    /// Wakes who waits at `queue`, once this is committed.
    pub(super) fn arrived(&self, queue: i64) {
        self.arrivals.borrow_mut().insert(queue);
    }
}

/// Whether an operation may be forgotten by a power failure. A crash of the process loses neither.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// Synced to disk before the caller has its answer.
    Synced,
    /// Written, and synced with the next commit that is. A receive is such: when it is forgotten, the message is there
    /// again, which is what an expired lease means as well.
    Written,
}

type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;
type Run = Box<dyn FnOnce(&Transaction<'_>) -> Option<Answer> + Send>;

enum Operation {
    /// One of the common lane.
    Run(Run, Durability),
    /// Something waits in the lane that goes first; this wakes the writer.
    Look,
}

#[derive(Clone)]
pub(super) struct Writer {
    operations: mpsc::SyncSender<Operation>,
    /// The lane that goes first. It has no limit: whoever uses it waits for its answer before it sends the next.
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
                        // They went with an earlier turn.
                        continue;
                    }
                    // What arrives while this process waits for its turn is in the same commit.
                    let (arrived, (answers, committed)) = turn.take(|| {
                        let arrived = thread.renew(std::mem::take(&mut renewals));
                        (arrived, thread.write(gather(next, &waiting)))
                    });
                    calls.arrived(arrived);
                    calls.arrived(answer(answers, committed));
                    // Who sent one meanwhile may have woken a writer that was awake.
                    renewals = thread.renewals();
                }
            })
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, "the writer thread cannot start").with_io(error)
            })?;
        Ok(Self { operations, first })
    }

    /// Runs `operation` in a transaction of the writer. When this returns `Ok`, its effect is committed; after an error
    /// none of it happened. An operation whose caller is gone before it begins is not run.
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

    /// The same, before everything that waits and without a sync: the commit that runs is all it waits for.
    pub(super) async fn call_first<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (run, answer) = prepare(operation);
        self.first.send(run).map_err(|_| stopped())?;
        // Where the common lane is full the writer does not sleep.
        let _ = self.operations.try_send(Operation::Look);
        answer.await.map_err(|_| stopped())?
    }
}

fn stopped() -> Error {
    Error::new(ErrorKind::Unavailable, "the fabric's writer has stopped")
}

type Outcome<T> = oneshot::Receiver<Result<T, Error>>;

/// An operation as the writer runs it, and where its outcome arrives.
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
            // A caller that went away needs no answer.
            let _ = reply.send(committed.and(outcome));
        });
        Some(answer)
    });
    (run, answer)
}

/// What the thread works with.
struct Thread {
    connection: Connection,
    /// Whether a commit is synced.
    synced: bool,
    renewals: mpsc::Receiver<Run>,
}

type Committed = (Vec<Answer>, Result<BTreeSet<i64>, rusqlite::Error>);

impl Thread {
    /// Renewals that wait.
    fn renewals(&self) -> Vec<Run> {
        self.renewals.try_iter().collect()
    }

    /// Commits renewals, with those that came since, and answers them.
    fn renew(&mut self, mut renewals: Vec<Run>) -> BTreeSet<i64> {
        renewals.extend(self.renewals());
        if renewals.is_empty() {
            return BTreeSet::new();
        }
        self.sync(false);
        // A copy of the log into the database is synced; it waits for the next commit of others.
        let is_deferred = set_checkpoint(&self.connection, 0);
        let (answers, committed) = commit(&self.connection, renewals);
        if is_deferred {
            set_checkpoint(&self.connection, WAL_PAGES_MAX);
        }
        answer(answers, committed)
    }

    /// Commits a group.
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

/// Wake-ups: in this process after each commit, in others at most once in [`CALL_EVERY`], which is what a wake-up costs
/// them when much arrives.
struct Calls {
    wake: Arc<Wake>,
    owed: BTreeSet<i64>,
    last: Instant,
}

/// A tenth of the 15 ms in which a receive in another process must wake (design.md, "Numbers").
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
        // A call that nobody is owed would put off the next one.
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

    /// Waits for the next operation; `None` when no more can come.
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

/// Runs a group in one transaction; returns the answers to its callers and the queues where something arrived.
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

/// Tells the callers of a group what became of it; returns the queues where something arrived.
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

/// An operation that fails or panics leaves nothing behind and does not disturb its neighbours in the commit.
fn in_savepoint<T>(
    transaction: &Transaction<'_>,
    operation: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let connection = transaction.connection;
    let run =
        |sql| execute(connection, sql).map_err(|e| database_error("the fabric cannot write", e));
    if connection.is_autocommit() {
        // The transaction could not begin; the commit reports why.
        return Err(Error::new(ErrorKind::Unavailable, "no transaction"));
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
