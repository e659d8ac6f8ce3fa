//! The engine's process: runs the works of the program that started it, until that program ends.

use super::batches::SentRows;
use super::frame::{self, Kind};
use super::sandbox;
use super::supervisor::{Ready, Setup};
use crate::duckdb::local::{self, Local};
use crate::engine::{AnswerTo, BeginOutcome, EngineError, Transaction, Work};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Signal, getpid, kill_process};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::oneshot;

/// The exit code of a process that could not start. The reason is on its standard error.
const FAILED: u8 = 70;

/// Runs works until the parent closes the connection.
pub(super) fn run() -> u8 {
    match serve() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            FAILED
        }
    }
}

fn serve() -> io::Result<()> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let Some((Kind::Setup, bytes)) = frame::read(&mut &control)? else {
        let what = "this is how pudato starts its query engine; it is not for use by hand";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    };
    let setup: Setup = frame::json(&bytes)?;
    let sandbox = sandbox::enter(&setup.place, &setup.lockdown)?;
    let ready = Ready {
        version: local::version(),
        sandbox,
    };
    let local = Local::new(setup.place, setup.namespace, setup.lockdown);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_time()
        .build()?;
    frame::write_json(&mut &control, Kind::Ready, &ready)?;
    take(&control, &local, &runtime)?;
    // The parent is gone or closed the connection. Running works are rolled back; the log of the warehouse is kept.
    local.close_now();
    end_at_once();
    Ok(())
}

/// Exits without the exit handlers of libraries whose threads still run.
fn end_at_once() {
    let _ = kill_process(getpid(), Signal::KILL);
}

/// Accepts works until the other side ends.
fn take(control: &UnixStream, local: &Arc<Local>, runtime: &Runtime) -> io::Result<()> {
    loop {
        let mut head = [0; 5];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(
            control,
            &mut [IoSliceMut::new(&mut head)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC,
        );
        match received {
            Ok(received) if received.bytes == 0 => return Ok(()),
            Ok(received) if received.bytes == head.len() => {}
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut sockets = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let socket: Option<OwnedFd> = sockets.next();
        drop(sockets);
        if head[0] == Kind::Close as u8 {
            local.close();
            frame::write(&mut &*control, Kind::Closed, &[])?;
        } else if let Some(socket) = socket {
            let (local, runtime_handle) = (Arc::clone(local), runtime.handle().clone());
            runtime.spawn_blocking(move || {
                // If the socket fails, the other side notices its end.
                let _ = talk(UnixStream::from(socket), &local, &runtime_handle);
            });
        }
    }
}

/// Runs one work, from its text to its commit.
pub(super) fn talk(mut socket: UnixStream, local: &Arc<Local>, runtime: &Handle) -> io::Result<()> {
    match frame::read(&mut socket)? {
        Some((Kind::Work, bytes)) => {
            let work: Work = frame::json(&bytes)?;
            run_one(socket, work, local, runtime)
        }
        Some((Kind::Counts, bytes)) => {
            let tables: Vec<[String; 3]> = frame::json(&bytes)?;
            frame::write_json(&mut socket, Kind::Counts, &local.row_counts(&tables))
        }
        _ => Ok(()),
    }
}

fn run_one(
    mut socket: UnixStream,
    work: Work,
    local: &Arc<Local>,
    runtime: &Handle,
) -> io::Result<()> {
    let bytes_max = match work.answer_to {
        AnswerTo::Rows { bytes_max, .. } => bytes_max,
        AnswerTo::File { .. } => 0,
    };
    let rows = Arc::new(Mutex::new(SentRows::new(socket.try_clone()?, bytes_max)));
    let (decide, mut decision) = oneshot::channel();
    let mut hears = socket.try_clone()?;
    runtime.spawn_blocking(move || {
        // Anything but a commit cancels the work.
        if let Ok(Some((Kind::Commit, bytes))) = frame::read(&mut hears)
            && let Ok(answer) = frame::text(bytes)
        {
            let _ = decide.send(answer);
        }
    });
    runtime.block_on(async {
        let begins = Arc::clone(local).begin(work, rows, None);
        let begun = tokio::select! {
            begun = begins => begun,
            _ = &mut decision => return Ok(()),
        };
        match begun {
            Err(error) => fail(&mut socket, error),
            Ok(BeginOutcome::Answered(kept)) => {
                frame::write(&mut socket, Kind::Answered, kept.answer.as_bytes())
            }
            Ok(BeginOutcome::Ran(transaction)) => {
                frame::write_json(&mut socket, Kind::Ran, transaction.outcome())?;
                let Ok(answer) = decision.await else {
                    return Ok(());
                };
                commit(&mut socket, transaction, &answer).await
            }
        }
    })
}

async fn commit(
    socket: &mut UnixStream,
    transaction: Box<dyn Transaction>,
    answer: &str,
) -> io::Result<()> {
    match transaction.commit(answer).await {
        Ok(()) => frame::write(socket, Kind::Committed, &[]),
        Err(error) => fail(socket, error),
    }
}

fn fail(socket: &mut UnixStream, error: EngineError) -> io::Result<()> {
    if let EngineError::Broken(_) = error {
        // Nothing can run on the warehouse that is open here. The end of this process is told like a crash, so that the works beside
        // this one run again and this one alone spends its attempts.
        eprintln!("{error}");
        end_at_once();
    }
    frame::write_json(socket, Kind::Failed, &frame::Failed(error))
}
