//! Runs one work in the engine's process: sends it, reads the answer, and handles the end of the process.

use super::batches::ReceivedRows;
use super::frame::{self, Kind};
use super::supervisor::{Process, Supervisor};
use super::watch::{Counted, Ended};
use super::worker_message::{WorkerMessage, read_message};
use crate::duckdb::gate::{Gate, WorkPass};
use crate::duckdb::rows::Rows;
use crate::engine::{BeginOutcome, EngineError, Outcome, StoredAnswer, Transaction, Work};
use async_trait::async_trait;
use sha2::{Digest, Sha256};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The engine interrupts a statement at its deadline. If the statement does not stop within this time, its process is killed, so that the
/// error is returned within a second.
const KILL_AFTER: Duration = Duration::from_millis(600);
/// How long a cancelled work may take to stop.
const CANCEL_MAX: Duration = Duration::from_secs(1);
/// The most tries of a work that loses its process through no fault of its own.
const TRIES_MAX: u32 = 20;
static LAST_WORK: AtomicU64 = AtomicU64::new(0);

/// Receives the rows of a work. A work that runs again sends them again.
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
) -> Result<BeginOutcome, EngineError> {
    let work = Arc::new(work);
    let hash: [u8; 32] = Sha256::digest(&work.sql).into();
    let mut alone = supervisor.is_suspect(&hash);
    let mut tries = 0;
    loop {
        let pass = gate.work(&work.label, alone, &work.waits).await;
        let lost = match once(supervisor, pass, &work, &rows).await {
            ConversationEnd::Ended(begun) => {
                if matches!(begun, Ok(BeginOutcome::Ran(_))) {
                    supervisor.acquit(&hash);
                }
                return begun;
            }
            ConversationEnd::MadeWay => {
                tracing::debug!(
                    work = work.label,
                    "the query makes way for dbt and runs again after it"
                );
                continue;
            }
            ConversationEnd::Lost(lost) => lost,
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

/// Counts the rows of tables; `None` if a table does not exist, or the process cannot be asked.
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
enum ConversationEnd {
    /// With an answer or an error.
    Ended(Result<BeginOutcome, EngineError>),
    /// It was stopped so that dbt gets the file.
    MadeWay,
    /// The process ended.
    Lost(LostProcess),
}

struct LostProcess {
    work: u64,
    ended: Ended,
    /// The number of works that the process was running, including this one.
    executing: usize,
}

/// The state that the conversation's thread and the waiting task share.
#[derive(Default)]
struct Shared {
    line: OnceLock<(Arc<Process>, UnixStream)>,
    is_cancelled: AtomicBool,
    is_over: AtomicBool,
}

impl Shared {
    /// Cancels the work by closing its socket.
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

/// Dropping this cancels the work, and kills the process if the work does not stop.
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
) -> ConversationEnd {
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
        // Starting the process does not count towards the statement's deadline.
        let _ = connects.await;
        tokio::time::sleep(deadline + KILL_AFTER).await;
    };
    tokio::pin!(expires);
    let (mut makes_way, mut is_expired) = (false, false);
    let end = loop {
        tokio::select! {
            end = &mut talks => break end,
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
    match end {
        Ok(ConversationEnd::Ended(Err(_)) | ConversationEnd::MadeWay) if makes_way => {
            ConversationEnd::MadeWay
        }
        Ok(ConversationEnd::Lost(lost))
            if is_expired
                && matches!(lost.ended, Ended::Killed { work: Some(own), .. } if own == id) =>
        {
            let seconds = deadline.as_secs_f64();
            ConversationEnd::Ended(Err(EngineError::Invalid(format!(
                "payload.sql: it was stopped at its deadline of {seconds} s; make it do less, or give it more time with `timeout_seconds`"
            ))))
        }
        Ok(end) => end,
        Err(error) => ConversationEnd::Ended(Err(EngineError::Retry(format!(
            "the answer could not be read: {error}"
        )))),
    }
}

const INTERRUPTED: &str = "a statement did not stop at its deadline";

/// A conversation in its own thread.
struct Talk {
    id: u64,
    work: Arc<Work>,
    shared: Arc<Shared>,
    pass: Arc<WorkPass>,
    connected: Option<oneshot::Sender<()>>,
    rows: SharedRows,
}

impl Talk {
    fn run(mut self, supervisor: &Supervisor) -> ConversationEnd {
        let (process, socket) = match supervisor.connect() {
            Ok(line) => line,
            Err(error) => return self.over(ConversationEnd::Ended(Err(error))),
        };
        let counted = process.watched.work();
        let executing = process.watched.execute();
        let Ok(kept) = socket.try_clone() else {
            return self.over(ConversationEnd::Ended(Err(too_many())));
        };
        let _ = self.shared.line.set((Arc::clone(&process), kept));
        if let Some(connected) = self.connected.take() {
            let _ = connected.send(());
        }
        if self.shared.is_cancelled.load(Ordering::Acquire) {
            return self.over(ConversationEnd::MadeWay);
        }
        let end = match self.listen(&process, socket, counted) {
            Ok(end) => end,
            // The end of the process closes the socket as well.
            Err(_) if self.shared.is_cancelled.load(Ordering::Acquire) => ConversationEnd::MadeWay,
            Err(error) => {
                let (ended, executing) = process.watched.ended_soon(&error);
                ConversationEnd::Lost(LostProcess {
                    work: self.id,
                    ended,
                    executing,
                })
            }
        };
        drop(executing);
        self.over(end)
    }

    fn over(&self, end: ConversationEnd) -> ConversationEnd {
        self.shared.is_over.store(true, Ordering::Release);
        end
    }

    /// Sends the work and reads the messages about it.
    fn listen(
        &mut self,
        process: &Arc<Process>,
        mut socket: UnixStream,
        counted: Counted,
    ) -> io::Result<ConversationEnd> {
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
                    // The process is about to notice that the rest is not wanted.
                    refused = Some(error);
                    continue;
                }
                (_, Some(error)) => return Ok(ConversationEnd::Ended(Err(error))),
                (Ok(None), None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                (Err(error), None) => return Err(error),
            };
            let taken = match read_message(kind, bytes, &mut received, &mut *rows)? {
                WorkerMessage::Begun(only) => {
                    only_reads = only;
                    if only_reads {
                        self.pass.only_reads();
                    }
                    Ok(())
                }
                WorkerMessage::Part(taken) => taken,
                WorkerMessage::Failed(error) => return Ok(ConversationEnd::Ended(Err(error))),
                WorkerMessage::Answered(answer) => {
                    return Ok(ConversationEnd::Ended(Ok(BeginOutcome::Answered(
                        StoredAnswer { answer },
                    ))));
                }
                WorkerMessage::Ran(outcome) => {
                    let open = (!only_reads).then(|| Open {
                        socket,
                        process: Arc::clone(process),
                        _pass: Arc::clone(&self.pass),
                        _counted: counted,
                    });
                    return Ok(ConversationEnd::Ended(Ok(BeginOutcome::Ran(Box::new(
                        Ran { outcome, open },
                    )))));
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

/// A work that ran and waits for its commit.
struct Ran {
    outcome: Outcome,
    /// `None` if the work only read, so that there is nothing to commit.
    open: Option<Open>,
}

/// A transaction in the process. Closing its socket rolls back.
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
        let reply = said.and_then(|()| frame::read(&mut self.socket));
        match reply {
            Ok(Some((Kind::Committed, _))) => Ok(()),
            Ok(Some((Kind::Failed, bytes))) => match frame::json(&bytes) {
                Ok(frame::Failed(error)) => Err(error),
                Err(error) => Err(EngineError::Retry(error.to_string())),
            },
            Ok(_) => Err(self.lost(&io::ErrorKind::UnexpectedEof.into())),
            Err(error) => Err(self.lost(&error)),
        }
    }

    /// The error if the outcome of a commit is unknown. If the commit succeeded, its answer was stored in the same transaction, and running
    /// the work again finds it.
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
