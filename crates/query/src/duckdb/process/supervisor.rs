//! Starts the engine's process, and knows how it ended.

use super::Program;
use super::frame::{self, Kind};
use super::sandbox::Sandbox;
use super::watch::{Watched, told};
use crate::duckdb::lockdown::Lockdown;
use crate::duckdb::warehouse::Place;
use crate::engine::EngineError;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The settings of the process, which are its first message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Setup {
    pub(super) place: Place,
    pub(super) namespace: String,
    pub(super) lockdown: Lockdown,
}

/// The first answer of the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ready {
    /// The version of DuckDB.
    pub(super) version: Option<String>,
    pub(super) sandbox: Sandbox,
}

/// The longest start: loading libduckdb has taken seconds on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// The longest time to close the warehouse, which writes its log into the file.
const CLOSE_MAX: Duration = Duration::from_secs(60);
/// The most suspect statements to remember.
const SUSPECTS_MAX: usize = 1_000;
/// The environment of the process: the search path of its libraries.
const ENVIRONMENT: [&str; 2] = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// Keeps one process running while there is work.
pub(in crate::duckdb) struct Supervisor {
    program: Program,
    setup: Setup,
    running: Mutex<Option<Arc<Process>>>,
    ready: OnceLock<Ready>,
    /// The hashes of statements that crashed their process. They run alone until one of them succeeds.
    suspects: Mutex<BTreeSet<[u8; 32]>>,
}

/// A running process.
pub(super) struct Process {
    /// The socket for messages to the process as a whole.
    control: Mutex<UnixStream>,
    pub(super) watched: Arc<Watched>,
}

impl Supervisor {
    pub(in crate::duckdb) fn new(
        program: Program,
        place: Place,
        namespace: String,
        lockdown: Lockdown,
    ) -> Arc<Self> {
        Arc::new(Self {
            program,
            setup: Setup {
                place,
                namespace,
                lockdown,
            },
            running: Mutex::default(),
            ready: OnceLock::new(),
            suspects: Mutex::default(),
        })
    }

    /// The version of DuckDB, once the process has run.
    pub(in crate::duckdb) fn version(&self) -> Option<String> {
        self.ready.get()?.version.clone()
    }

    /// The id of the current process.
    pub(in crate::duckdb) fn process_id(&self) -> Option<u32> {
        self.lock().as_ref().map(|process| process.watched.pid)
    }

    /// The sandbox of the process, once it has run.
    pub(in crate::duckdb) fn sandbox(&self) -> Option<Sandbox> {
        self.ready.get().map(|ready| ready.sandbox.clone())
    }

    /// Whether this statement crashed its process before.
    pub(super) fn is_suspect(&self, hash: &[u8; 32]) -> bool {
        let suspects = self.suspects.lock();
        suspects
            .unwrap_or_else(PoisonError::into_inner)
            .contains(hash)
    }

    /// Remembers a statement that crashed its process.
    pub(super) fn suspect(&self, hash: [u8; 32]) {
        let suspects = self.suspects.lock();
        let mut suspects = suspects.unwrap_or_else(PoisonError::into_inner);
        if suspects.len() < SUSPECTS_MAX {
            suspects.insert(hash);
        }
    }

    /// Clears a statement that succeeded: it did not cause the earlier crash.
    pub(super) fn acquit(&self, hash: &[u8; 32]) {
        let suspects = self.suspects.lock();
        let mut suspects = suspects.unwrap_or_else(PoisonError::into_inner);
        suspects.remove(hash);
    }

    /// The most memory of one process, in bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.setup.lockdown.memory_bytes
    }

    /// Opens a socket to the process for one work, and starts the process if none is running. Blocks.
    ///
    /// # Errors
    /// `Unavailable`: the process cannot be started.
    pub(super) fn connect(&self) -> Result<(Arc<Process>, UnixStream), EngineError> {
        let failed = |error: io::Error| {
            EngineError::Unavailable(format!("the process of the query engine: {error}"))
        };
        let mut running = self.lock();
        if let Some(process) = &*running {
            if let Ok(socket) = process.socket() {
                return Ok((Arc::clone(process), socket));
            }
            // The process has ended since.
            *running = None;
        }
        let process = Arc::new(self.start().map_err(failed)?);
        let socket = process.socket().map_err(failed)?;
        *running = Some(Arc::clone(&process));
        Ok((process, socket))
    }

    /// Closes the warehouse's file. Blocks until then; a process that does not answer is killed, which releases the file as well.
    pub(in crate::duckdb) fn close(&self) {
        let mut running = self.lock();
        let Some(process) = running.as_ref() else {
            return;
        };
        if let Err(error) = process.close_warehouse() {
            tracing::debug!(%error, "the query engine's process did not close the warehouse; pudato kills it");
            process.watched.kill("it did not close the warehouse", None);
            process.watched.wait_for_end();
            *running = None;
        }
    }

    fn start(&self) -> io::Result<Process> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new(&self.program.program);
        if let Some(name) = self.program.called {
            command.arg0(name);
        }
        command.args(&self.program.args).env_clear();
        for name in ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::from(OwnedFd::from(theirs)));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl-C is handled by the parent, which decides about its works.
        command.process_group(0).current_dir("/");
        let mut child = command.spawn()?;
        // The command holds the process's end of the socket. It must be closed, or the end of the process would go unnoticed.
        drop(command);
        match greet(&ours, &self.setup) {
            Ok(ready) => {
                let _ = self.ready.set(ready);
                let watched = Watched::start(child, self.memory_bytes())?;
                Ok(Process {
                    control: Mutex::new(ours),
                    watched,
                })
            }
            Err(error) => {
                let _ = child.kill();
                let ended = told(child.wait().ok(), &last_words(&mut child));
                Err(io::Error::new(
                    error.kind(),
                    format!("it did not start: {error}; it {ended}"),
                ))
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Process>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn greet(mut socket: &UnixStream, setup: &Setup) -> io::Result<Ready> {
    socket.set_read_timeout(Some(START_MAX))?;
    frame::write_json(&mut socket, Kind::Setup, setup)?;
    match frame::read(&mut socket)? {
        Some((Kind::Ready, bytes)) => frame::json(&bytes),
        Some((Kind::Failed, bytes)) => Err(io::Error::other(frame::text(bytes)?)),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The last output of the process.
fn last_words(child: &mut Child) -> String {
    let mut words = Vec::new();
    if let Some(stderr) = &mut child.stderr {
        let _ = stderr.take(4_096).read_to_end(&mut words);
    }
    String::from_utf8_lossy(&words).trim().to_owned()
}

impl Process {
    /// Creates a pair of sockets and passes one to the process.
    fn socket(&self) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let head = [Kind::Socket as u8, 0, 0, 0, 0];
        let fds = [theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        let sent = sendmsg(
            &*control,
            &[IoSlice::new(&head)],
            &mut ancillary,
            SendFlags::NOSIGNAL,
        )?;
        // Five bytes are sent completely or not at all.
        match sent == head.len() {
            true => Ok(ours),
            false => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    fn close_warehouse(&self) -> io::Result<()> {
        let control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let mut control = &*control;
        control.set_read_timeout(Some(CLOSE_MAX))?;
        frame::write(&mut control, Kind::Close, &[])?;
        match frame::read(&mut control)? {
            Some((Kind::Closed, _)) => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}
