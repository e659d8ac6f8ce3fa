//! One work, as it is run by the engine's process: what is said, and what becomes of it where the process ends.

use super::batches::ReceivedRows;
use super::frame::{self, Kind};
use super::heard::{Heard, heard};
use super::supervisor::{Process, Supervisor};
use super::watch::{Counted, Ended};
use crate::duckdb::gate::{Gate, WorkPass};
use crate::duckdb::rows::Rows;
use crate::engine::{Begun, EngineError, Kept, Outcome, Transaction, Work};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The engine interrupts a statement at its deadline. One that does not stop then is stopped with its process so much later, so that
/// the answer is there within a second.
const KILL_AFTER: Duration = Duration::from_millis(600);
/// How long a work that nobody waits for any more may take to stop.
const CANCEL_MAX: Duration = Duration::from_secs(1);
/// A work that lost its process through no fault of its own runs again at most this often.
const TRIES_MAX: u32 = 20;
static LAST_WORK: AtomicU64 = AtomicU64::new(0);

/// Takes the rows of a work; a work that runs again sends them again.
pub(in crate::duckdb) type SharedRows = Arc<Mutex<dyn Rows>>;

/// Runs a work up to its commit.
///
/// # Errors
/// See [`EngineError`].
pub(in crate::duckdb) async fn begin(
    supervisor: &Arc<Supervisor>,
    gate: &Arc<Gate>,
    work: Work,
    rows: SharedRows,
) -> Result<Begun, EngineError> {
    let work = Arc::new(work);
    let hash: [u8; 32] = Sha256::digest(&work.sql).into();
    let mut alone = supervisor.is_suspect(&hash);
    let mut tries = 0;
    loop {
        let pass = gate.work(&work.label, alone, &work.waits).await;
        let lost = match once(supervisor, pass, &work, &rows).await {
            Talked::Ended(begun) => {
                if matches!(begun, Ok(Begun::Ran(_))) {
                    supervisor.acquit(&hash);
                }
                return begun;
            }
            Talked::MadeWay => {
                tracing::debug!(
                    work = work.label,
                    "the query makes way for dbt and runs again after it"
                );
                continue;
            }
            Talked::Lost(lost) => lost,
        };
        tries += 1;
        let was_only_one = lost.executing <= 1;
        match lost.ended {
            Ended::Killed {
                why,
                work: Some(id),
            } if id == lost.work => {
                return Err(EngineError::Invalid(format!("payload.sql: {why}")));
            }
            Ended::Killed { why, .. } if tries > TRIES_MAX => {
                return Err(EngineError::Again(format!(
                    "the query engine's process was ended {tries} times: {why}"
                )));
            }
            Ended::Killed { why, .. } => {
                tracing::info!(
                    work = work.label,
                    "the query runs again, because its process was ended: {why}"
                );
            }
            Ended::Memory {
                used_bytes,
                bytes_max,
            } if was_only_one => {
                return Err(EngineError::Invalid(format!(
                    "payload.sql: it was stopped because the query engine used {used_bytes} bytes of memory for it, more than {bytes_max}; \
                     let it handle less at once, or raise PUDATO_QUERY_MEMORY_BYTES"
                )));
            }
            Ended::Itself(how) if was_only_one => {
                supervisor.suspect(hash);
                return Err(EngineError::Retry(format!(
                    "the query engine's process {how}, while it ran this statement alone"
                )));
            }
            Ended::Memory { used_bytes, .. } => {
                alone = true;
                tracing::warn!(
                    work = work.label,
                    used_bytes,
                    "the query engine used too much memory for several queries at once; each of them runs again alone"
                );
            }
            Ended::Itself(how) => {
                alone = true;
                tracing::warn!(
                    work = work.label,
                    "the query engine's process {how}; each query that it ran is run again alone"
                );
            }
        }
    }
}

/// Counts the rows of tables; `None` where one is none, or nobody can be asked.
pub(in crate::duckdb) fn row_counts(
    supervisor: &Supervisor,
    tables: &[[String; 3]],
) -> Vec<Option<u64>> {
    let asked = || -> io::Result<Vec<Option<u64>>> {
        let (process, mut socket) = supervisor.connect().map_err(io::Error::other)?;
        let _counted = process.watched.work();
        frame::write_json(&mut socket, Kind::Counts, &tables)?;
        match frame::read(&mut socket)? {
            Some((Kind::Counts, bytes)) => frame::json(&bytes),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    };
    let counts = asked().unwrap_or_default();
    match counts.len() == tables.len() {
        true => counts,
        false => tables.iter().map(|_| None).collect(),
    }
}

/// How a conversation ended.
enum Talked {
    /// With an answer or an error.
    Ended(Result<Begun, EngineError>),
    /// It was stopped so that dbt gets the file.
    MadeWay,
    /// The process ended.
    Lost(Lost),
}

struct Lost {
    work: u64,
    ended: Ended,
    /// How many works it was running, this one included.
    executing: usize,
}

/// What the thread that talks and the task that waits for it share.
#[derive(Default)]
struct Shared {
    line: OnceLock<(Arc<Process>, UnixStream)>,
    is_cancelled: AtomicBool,
    is_over: AtomicBool,
}

impl Shared {
    /// Ends the work: the process finds that nobody waits for it.
    fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
        if let Some((_, socket)) = self.line.get() {
            let _ = socket.shutdown(Shutdown::Write);
        }
    }

    fn kill(&self, why: &'static str, work: u64) {
        if let Some((process, _)) = self.line.get()
            && !self.is_over.load(Ordering::Acquire)
        {
            process.watched.kill(why, Some(work));
        }
    }
}

/// Cancels the work when it is dropped before its end, and kills the process if the work does not stop.
struct CancelOnDrop {
    shared: Arc<Shared>,
    work: u64,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if self.shared.is_over.load(Ordering::Acquire) {
            return;
        }
        self.shared.cancel();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (shared, work) = (Arc::clone(&self.shared), self.work);
            runtime.spawn(async move {
                tokio::time::sleep(CANCEL_MAX).await;
                shared.kill("a statement did not stop when it was cancelled", work);
            });
        }
    }
}

async fn once(
    supervisor: &Arc<Supervisor>,
    pass: WorkPass,
    work: &Arc<Work>,
    rows: &SharedRows,
) -> Talked {
    let id = LAST_WORK.fetch_add(1, Ordering::Relaxed) + 1;
    let shared = Arc::new(Shared::default());
    let pass = Arc::new(pass);
    let cancel = CancelOnDrop {
        shared: Arc::clone(&shared),
        work: id,
    };
    let (connected, connects) = oneshot::channel();
    let talk = Talk {
        id,
        work: Arc::clone(work),
        shared: Arc::clone(&shared),
        pass: Arc::clone(&pass),
        connected: Some(connected),
        rows: Arc::clone(rows),
    };
    let supervisor = Arc::clone(supervisor);
    let mut talks = tokio::task::spawn_blocking(move || talk.run(&supervisor));
    let deadline = work.deadline;
    let expires = async {
        // The time that a start takes is not the statement's.
        let _ = connects.await;
        tokio::time::sleep(deadline + KILL_AFTER).await;
    };
    tokio::pin!(expires);
    let (mut makes_way, mut is_expired) = (false, false);
    let talked = loop {
        tokio::select! {
            talked = &mut talks => break talked,
            () = pass.stopped(), if !makes_way => {
                makes_way = true;
                shared.cancel();
            }
            () = &mut expires, if !is_expired => {
                is_expired = true;
                shared.kill(INTERRUPTED, id);
            }
        }
    };
    drop(cancel);
    match talked {
        Ok(Talked::Ended(Err(_)) | Talked::MadeWay) if makes_way => Talked::MadeWay,
        Ok(Talked::Lost(lost))
            if is_expired
                && matches!(lost.ended, Ended::Killed { work: Some(own), .. } if own == id) =>
        {
            let seconds = deadline.as_secs_f64();
            Talked::Ended(Err(EngineError::Invalid(format!(
                "payload.sql: it was stopped at its deadline of {seconds} s; make it do less, or give it more time with `timeout_seconds`"
            ))))
        }
        Ok(talked) => talked,
        Err(error) => Talked::Ended(Err(EngineError::Retry(format!(
            "the answer could not be read: {error}"
        )))),
    }
}

const INTERRUPTED: &str = "a statement did not stop at its deadline";

/// A conversation in its thread.
struct Talk {
    id: u64,
    work: Arc<Work>,
    shared: Arc<Shared>,
    pass: Arc<WorkPass>,
    connected: Option<oneshot::Sender<()>>,
    rows: SharedRows,
}

impl Talk {
    fn run(mut self, supervisor: &Supervisor) -> Talked {
        let (process, socket) = match supervisor.connect() {
            Ok(line) => line,
            Err(error) => return self.over(Talked::Ended(Err(error))),
        };
        let counted = process.watched.work();
        let executing = process.watched.execute();
        let Ok(kept) = socket.try_clone() else {
            return self.over(Talked::Ended(Err(too_many())));
        };
        let _ = self.shared.line.set((Arc::clone(&process), kept));
        if let Some(connected) = self.connected.take() {
            let _ = connected.send(());
        }
        if self.shared.is_cancelled.load(Ordering::Acquire) {
            return self.over(Talked::MadeWay);
        }
        let talked = match self.listen(&process, socket, counted) {
            Ok(talked) => talked,
            // The socket ends when the process does.
            Err(_) if self.shared.is_cancelled.load(Ordering::Acquire) => Talked::MadeWay,
            Err(error) => {
                let (ended, executing) = process.watched.ended_soon(&error);
                Talked::Lost(Lost {
                    work: self.id,
                    ended,
                    executing,
                })
            }
        };
        drop(executing);
        self.over(talked)
    }

    fn over(&self, talked: Talked) -> Talked {
        self.shared.is_over.store(true, Ordering::Release);
        talked
    }

    /// Says what is to be run and listens to what comes of it.
    fn listen(
        &mut self,
        process: &Arc<Process>,
        mut socket: UnixStream,
        counted: Counted,
    ) -> io::Result<Talked> {
        frame::write_json(&mut socket, Kind::Work, &*self.work)?;
        let mut received = ReceivedRows::default();
        let rows = Arc::clone(&self.rows);
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        let mut only_reads = false;
        let mut refused = None;
        loop {
            let (kind, bytes) = match (frame::read(&mut socket), refused.take()) {
                (Ok(Some(frame)), None) => frame,
                (Ok(Some(_)), Some(error)) => {
                    // The process is about to find that nobody wants the rest.
                    refused = Some(error);
                    continue;
                }
                (_, Some(error)) => return Ok(Talked::Ended(Err(error))),
                (Ok(None), None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (Err(error), None) => return Err(error),
            };
            let taken = match heard(kind, bytes, &mut received, &mut *rows)? {
                Heard::Begun(only) => {
                    only_reads = only;
                    if only_reads {
                        self.pass.only_reads();
                    }
                    Ok(())
                }
                Heard::Part(taken) => taken,
                Heard::Failed(error) => return Ok(Talked::Ended(Err(error))),
                Heard::Answered(answer) => {
                    return Ok(Talked::Ended(Ok(Begun::Answered(Kept { answer }))));
                }
                Heard::Ran(outcome) => {
                    let open = (!only_reads).then(|| Open {
                        socket,
                        process: Arc::clone(process),
                        _pass: Arc::clone(&self.pass),
                        _counted: counted,
                    });
                    return Ok(Talked::Ended(Ok(Begun::Ran(Box::new(Ran {
                        outcome,
                        open,
                    })))));
                }
            };
            if let Err(error) = taken {
                refused = Some(error);
                self.shared.cancel();
            }
        }
    }
}

fn too_many() -> EngineError {
    EngineError::Unavailable("too many files are open for another query".into())
}

/// A work that was run.
struct Ran {
    outcome: Outcome,
    /// `None` where it only read: nothing is to be made durable.
    open: Option<Open>,
}

/// A transaction that is open in the process; its socket's end undoes it.
struct Open {
    socket: UnixStream,
    process: Arc<Process>,
    _pass: Arc<WorkPass>,
    _counted: Counted,
}

#[async_trait]
impl Transaction for Ran {
    fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    async fn commit(mut self: Box<Self>, answer: &str) -> Result<(), EngineError> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let answer = answer.to_owned();
        let committed = tokio::task::spawn_blocking(move || open.commit(&answer));
        committed
            .await
            .map_err(|error| EngineError::Retry(format!("the commit was not heard of: {error}")))?
    }
}

impl Open {
    fn commit(mut self, answer: &str) -> Result<(), EngineError> {
        let said = frame::write(&mut self.socket, Kind::Commit, answer.as_bytes());
        let heard = said.and_then(|()| frame::read(&mut self.socket));
        match heard {
            Ok(Some((Kind::Committed, _))) => Ok(()),
            Ok(Some((Kind::Failed, bytes))) => match frame::json(&bytes) {
                Ok(frame::Failed(error)) => Err(error),
                Err(error) => Err(EngineError::Retry(error.to_string())),
            },
            Ok(_) => Err(self.lost(&io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// Nobody knows whether the statement became durable. If it did, its answer was kept in the same transaction, and running the work
    /// again finds it.
    fn lost(&self, error: &io::Error) -> EngineError {
        let how = match self.process.watched.ended_soon(error).0 {
            Ended::Memory { .. } => {
                "was ended because another query used too much memory".to_owned()
            }
            Ended::Killed { why, .. } => format!("was ended: {why}"),
            Ended::Itself(how) => how,
        };
        EngineError::Again(format!(
            "the query engine's process {how}, before it said that the statement is durable"
        ))
    }
}
