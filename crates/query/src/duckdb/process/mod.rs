//! DuckDB in a child process: the same program in another role.
//!
//! - The process is started with the first work and stays while there is work. It holds the warehouse; closing it lends the file.
//! - Each work has a socket of its own. Closing the socket ends the work and rolls back what was not committed.
//! - This process enforces the deadline and the memory limit by killing it (`watch`). The other works that it was running run
//!   again, each alone if any of them may be the cause, so that only the culprit fails.
//! - Before it reads the first statement, it gives up every right that it does not need (`sandbox`).
//!
//! A program that is its own child calls [`enter`] before anything else. One that is started by another, as an extension module is by its
//! interpreter, says how with [`started_by`], and in the child calls [`serve`].

mod batches;
mod conversation;
mod frame;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod fuzzing;
mod sandbox;
mod server;
mod supervisor;
mod watch;
mod worker_message;

pub use sandbox::Sandbox;

pub(super) use conversation::{SharedRows, begin, row_counts};
pub(super) use supervisor::Supervisor;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The argument that makes a program the engine's process.
const ROLE: &str = "--pudato-engine-process";

/// The name of the process in a list of processes.
const CALLED: &str = "pudato-query-engine";

static STARTED_BY: OnceLock<Program> = OnceLock::new();

/// How to start the engine's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// What it is told that it was called by; `None` is its own path, for a program that finds its files by that.
    pub called: Option<&'static str>,
}

impl Program {
    /// A program that calls [`enter`].
    pub fn at(program: PathBuf) -> Self {
        Self {
            program,
            args: vec![ROLE.into()],
            called: Some(CALLED),
        }
    }

    /// What was named with [`started_by`], or this program itself if it called [`enter`].
    pub fn own() -> Option<Self> {
        STARTED_BY.get().cloned()
    }

    fn itself() -> Option<Self> {
        // After an update has replaced the program's file, the link still leads to the running program.
        let link = PathBuf::from("/proc/self/exe");
        let program = match link.exists() {
            true => link,
            false => std::env::current_exe().ok()?,
        };
        Some(Self::at(program))
    }
}

/// Acts as the engine's process if this program was started as such, and returns when it has ended. Otherwise it notes that this program
/// can be started as one. Call it first in `main`, before there are threads.
#[must_use = "where it returns a code, the program must end with it"]
pub fn enter() -> Option<u8> {
    if let Some(program) = Program::itself() {
        started_by(program);
    }
    let mut args = std::env::args_os().skip(1);
    (args.next().as_deref() == Some(ROLE.as_ref())).then(server::run)
}

/// Names how the engine's process of this program is started: by a program that calls [`serve`]. The first that is named counts.
pub fn started_by(program: Program) {
    let _ = STARTED_BY.set(program);
}

/// Acts as the engine's process until the program that started it ends, and returns the exit code. Call it while there is one thread.
#[must_use = "the program must end with this code"]
pub fn serve() -> u8 {
    server::run()
}
