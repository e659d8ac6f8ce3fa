//! The file of the warehouse, which one process at a time can write.
//!
//! Readers open it for writing as well, so that a write never waits for a read: DuckDB gives each its own snapshot. If another program has
//! it open for reading, readers share it.
//!
//! DuckDB locks the file while it is open, and people inspect it with other programs. So it is open only while it is used, and closed
//! before the answer is sent. It stays open a little longer only if Commands come so fast that opening it each time would take most of the
//! time.

use super::errors::engine_error;
use super::lockdown::Lockdown;
use crate::engine::EngineError;
use duckdb::{AccessMode, Config, Connection};
use std::collections::VecDeque;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// After this many uses within [`BUSY_WINDOW`], the file stays open between uses, because opening it takes about 10 ms (measured with
/// DuckDB 1.5.6).
const BUSY_USES: usize = 20;
const BUSY_WINDOW: Duration = Duration::from_secs(1);

/// After this much use within the last [`BUSY_WINDOW`], the file stays open as well. Other programs could hardly have opened it, and a
/// series of large queries finds it warm.
const BUSY_TIME: Duration = Duration::from_millis(400);

/// How long it stays open after the last use.
const LINGER: Duration = Duration::from_millis(100);

/// The purpose of a use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reads the file.
    Read,
    /// Changes the file. No other process may have it open meanwhile.
    Write,
}

/// The place of the tables.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Place {
    /// In this file.
    File(PathBuf),
    /// In memory: each work has its own, and nothing is kept.
    Memory,
}

#[derive(Default)]
struct State {
    open: Option<(Connection, Mode)>,
    users: usize,
    /// The number of writers that wait while it is open for reading.
    writers_waiting: usize,
    recent: VecDeque<Instant>,
    /// The start of the current use, and earlier uses.
    since: Option<Instant>,
    periods: VecDeque<(Instant, Instant)>,
    /// Counts uses, so that a delayed closing notices another use.
    uses: u64,
}

impl State {
    /// How long it was in use within the last [`BUSY_WINDOW`], over more than one use. Call this at the end of a use.
    fn time_in_use(&mut self) -> Duration {
        let now = Instant::now();
        if let Some(since) = self.since.take() {
            self.periods.push_back((since, now));
        }
        let is_old = |(_, end): &(Instant, Instant)| now.duration_since(*end) > BUSY_WINDOW;
        while self.periods.front().is_some_and(is_old) {
            self.periods.pop_front();
        }
        if self.periods.len() < 3 {
            return Duration::ZERO;
        }
        let within = |(start, end): &(Instant, Instant)| {
            end.duration_since(*start)
                .min(BUSY_WINDOW.saturating_sub(now.duration_since(*end)))
        };
        self.periods.iter().map(within).sum()
    }
}

/// The warehouse, shared by the works of one engine.
pub(super) struct Warehouse {
    pub(super) place: Place,
    lockdown: Lockdown,
    state: Mutex<State>,
    changed: Condvar,
}

/// A connection to the open warehouse. Dropping the last one closes the file.
pub(super) struct Lease {
    /// `None` only during the drop, because the connection must be closed before the file.
    connection: Option<Connection>,
    pub(super) mode: Mode,
    warehouse: Arc<Warehouse>,
}

impl Lease {
    pub(super) fn connection(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("it is there until the lease is dropped")
    }
}

impl Warehouse {
    pub(super) fn new(place: Place, lockdown: Lockdown) -> Arc<Self> {
        Arc::new(Self {
            place,
            lockdown,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// The most bytes to spill to disk.
    pub(super) fn spill_bytes(&self) -> u64 {
        self.lockdown.spill_bytes
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the warehouse, or shares it with other works. Blocks until `until` at most, if `mode` wants to write and the file could only
    /// be opened for reading.
    ///
    /// # Errors
    /// `Unavailable`: another process has it open. `Invalid`: the file is not a warehouse.
    pub(super) fn acquire(
        self: &Arc<Self>,
        mode: Mode,
        until: Instant,
    ) -> Result<Lease, EngineError> {
        if self.place == Place::Memory {
            let connection = self.open(Mode::Write)?;
            Lockdown::session(&connection).map_err(engine_error)?;
            return Ok(self.lease(connection, Mode::Write));
        }
        let mut state = self.lock();
        loop {
            match &state.open {
                None | Some((_, Mode::Write)) => break,
                Some((_, Mode::Read)) if mode == Mode::Read && state.writers_waiting == 0 => break,
                Some((_, Mode::Read)) if mode == Mode::Write && state.users == 0 => {
                    state.open = None;
                    break;
                }
                _ => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = "another program has the warehouse open for reading, so this Command cannot write";
                return Err(EngineError::Unavailable(why.into()));
            }
            let is_writer = mode == Mode::Write;
            state.writers_waiting += usize::from(is_writer);
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.writers_waiting -= usize::from(is_writer);
        }
        if state.open.is_none() {
            state.open = Some(self.open_for(mode)?);
        }
        let Some((connection, mode)) = &state.open else {
            return Err(EngineError::Unavailable("the warehouse was closed".into()));
        };
        let connection = connection.try_clone().map_err(engine_error)?;
        Lockdown::session(&connection).map_err(engine_error)?;
        let mode = *mode;
        let now = Instant::now();
        state.since.get_or_insert(now);
        state.users += 1;
        state.uses += 1;
        state.recent.push_back(now);
        while state.recent.len() > BUSY_USES {
            state.recent.pop_front();
        }
        Ok(self.lease(connection, mode))
    }

    /// Closes the file as soon as it is not in use. Blocks until then, and until `until` at most.
    pub(super) fn close(&self, until: Instant) {
        let mut state = self.lock();
        while state.users > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.open = None;
    }

    /// Opens the file for writing or, if that fails and suffices, for reading.
    fn open_for(&self, mode: Mode) -> Result<(Connection, Mode), EngineError> {
        match self.open(Mode::Write) {
            Err(_) if mode == Mode::Read => {
                // The second error counts: the file does not exist, or is locked for good.
                self.open(Mode::Read).map(|connection| (connection, mode))
            }
            opened => opened.map(|connection| (connection, Mode::Write)),
        }
    }

    fn lease(self: &Arc<Self>, connection: Connection, mode: Mode) -> Lease {
        Lease {
            connection: Some(connection),
            mode,
            warehouse: Arc::clone(self),
        }
    }

    fn open(&self, mode: Mode) -> Result<Connection, EngineError> {
        let access = match mode {
            Mode::Read => AccessMode::ReadOnly,
            Mode::Write => AccessMode::ReadWrite,
        };
        let config = |access| {
            let config = Config::default().access_mode(access);
            config
                .and_then(|config| self.lockdown.config(config))
                .map_err(engine_error)
        };
        if let Place::File(file) = &self.place
            && super::handles::is_open_here(file)
        {
            return Err(EngineError::Unavailable(format!(
                "the warehouse {} is open in this process, through a DuckDB that is not pudato's (such as Python's duckdb.connect), and two \
                 lose each other's changes; close that connection, or open it in another process",
                file.display()
            )));
        }
        let connection = match &self.place {
            Place::Memory => Connection::open_in_memory_with_flags(config(AccessMode::ReadWrite)?),
            Place::File(file) => Connection::open_with_flags(file, config(access)?),
        };
        let connection = connection.map_err(|error| opening(error, &self.place))?;
        self.lockdown.apply(&connection).map_err(engine_error)?;
        Ok(connection)
    }

    fn release(self: &Arc<Self>) {
        let mut state = self.lock();
        state.users = state.users.saturating_sub(1);
        if state.users > 0 {
            return;
        }
        let is_busy = state.recent.len() == BUSY_USES
            && state
                .recent
                .front()
                .is_some_and(|first| first.elapsed() < BUSY_WINDOW);
        let is_in_use = state.time_in_use() >= BUSY_TIME;
        if !is_busy && !is_in_use {
            state.open = None;
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let uses = state.uses;
            let warehouse = Arc::downgrade(self);
            runtime.spawn(close_later(warehouse, uses));
        }
        drop(state);
        self.changed.notify_all();
    }
}

/// Closes the warehouse unless it is used again.
async fn close_later(warehouse: Weak<Warehouse>, uses: u64) {
    tokio::time::sleep(LINGER).await;
    let Some(warehouse) = warehouse.upgrade() else {
        return;
    };
    // Closing writes the log into the file.
    let closed = tokio::task::spawn_blocking(move || {
        let mut state = warehouse.lock();
        if state.uses == uses && state.users == 0 {
            state.open = None;
        }
    });
    let _ = closed.await;
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.connection = None;
        if self.warehouse.place != Place::Memory {
            self.warehouse.release();
        }
    }
}

fn opening(error: duckdb::Error, place: &Place) -> EngineError {
    if let Place::File(file) = place
        && let Some(written) = written_by(file)
        && let Some(own) = super::local::version()
        && number(&written) > number(&own)
    {
        // This is final: waiting does not make a file older.
        return EngineError::Invalid(format!(
            "the warehouse {} was written by DuckDB {written}, and this pudato reads what DuckDB {own} and older ones write; \
             write it with an older one (pip install 'duckdb=={}'), or set DUCKDB_PATH to another file",
            file.display(),
            own.trim_start_matches('v')
        ));
    }
    match engine_error(error) {
        EngineError::Invalid(text) => {
            let text = text.trim_start_matches("payload.sql: ");
            EngineError::Unavailable(format!("the warehouse cannot be opened: {text}"))
        }
        other => other,
    }
}

/// The version of DuckDB that wrote a file, from its first page (`MainHeader` of DuckDB's storage: a checksum, the word DUCK, a version and
/// flags, then 32 bytes of text).
fn written_by(file: &Path) -> Option<String> {
    const AT: usize = 52;
    const BYTES: usize = 32;
    let mut header = [0; AT + BYTES];
    std::fs::File::open(file)
        .ok()?
        .read_exact(&mut header)
        .ok()?;
    let is_duckdb = &header[8..12] == b"DUCK";
    let text = header[AT..].split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?;
    (is_duckdb && text.starts_with('v')).then(|| text.to_owned())
}

/// The major and minor version. The file format stays the same within it.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{number, written_by};

    #[test]
    fn a_file_says_which_duckdb_wrote_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("w.duckdb");
        let connection = duckdb::Connection::open(&file).expect("a warehouse");
        let own = connection.version().expect("a version");
        drop(connection);
        assert_eq!(number(&written_by(&file).expect("told")), number(&own));
        assert!(number("v2.0.1") > number("v1.5.6"));
        std::fs::write(&file, "no warehouse").expect("written");
        assert_eq!(written_by(&file), None);
    }
}
