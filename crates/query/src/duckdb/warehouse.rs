//! The file of the warehouse, which one process at a time may write.
//!
//! DuckDB locks the file as long as it is open, and people look into it with other programs. So it is open only while it is
//! used, and closed before the answer is out. Only where Commands come so fast that opening it each time would be most of
//! the work does it stay open a little longer.

use super::errors::engine_error;
use super::lockdown::Lockdown;
use crate::engine::EngineError;
use duckdb::{AccessMode, Config, Connection};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// From so many uses in [`BUSY_WINDOW`] on the file stays open between them: opening it takes about 10 ms (measured with
/// DuckDB 1.5.6), which is then a good part of the time.
const BUSY_USES: usize = 20;
const BUSY_WINDOW: Duration = Duration::from_secs(1);

/// So does it where it was in use for so much of the last [`BUSY_WINDOW`]: others could hardly have opened it then, and who asks
/// one large query after the other finds it warm.
const BUSY_TIME: Duration = Duration::from_millis(400);

/// How long it stays open after the last of them.
const LINGER: Duration = Duration::from_millis(100);

/// What a use may do with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Others may read it at the same time.
    Read,
    /// Nobody else may have it open.
    Write,
}

/// Where the tables are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In this file.
    File(PathBuf),
    /// In memory; each work has its own and nothing is kept.
    Memory,
}

#[derive(Default)]
struct State {
    open: Option<(Connection, Mode)>,
    users: usize,
    /// Another program has the file.
    is_lent: bool,
    /// Those who wait to write while it is open for reading.
    writers_waiting: usize,
    recent: VecDeque<Instant>,
    /// Since when it is in use, and when it was before.
    since: Option<Instant>,
    periods: VecDeque<(Instant, Instant)>,
    /// Counts uses, so that a late closing sees whether there was another.
    uses: u64,
}

impl State {
    /// How long it was in use within the last [`BUSY_WINDOW`], in more than one use; to be asked at the end of a use.
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

/// A connection to the open warehouse; when the last is dropped, the file is closed.
pub(super) struct Lease {
    /// `None` only while it is dropped: the connection must be closed before the file is.
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

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the warehouse, or joins those who have it open. Blocks while it is open for reading by others of this process
    /// and `mode` wants to write, at most until `until`.
    ///
    /// # Errors
    /// `Unavailable`: another process has it; `Invalid`: the file is no warehouse.
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
                _ if state.is_lent => {}
                Some((_, Mode::Write)) => break,
                Some((_, Mode::Read)) if mode == Mode::Read && state.writers_waiting == 0 => break,
                None if mode == Mode::Write || state.writers_waiting == 0 => break,
                Some((_, Mode::Read)) if mode == Mode::Write && state.users == 0 => {
                    state.open = None;
                    break;
                }
                _ => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = match state.is_lent {
                    true => "dbt has the warehouse for too long",
                    false => {
                        "the warehouse is read by other Commands for too long; this one waits to write"
                    }
                };
                return Err(EngineError::Unavailable(why.into()));
            }
            let is_writer = mode == Mode::Write;
            state.writers_waiting += usize::from(is_writer);
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.writers_waiting -= usize::from(is_writer);
        }
        if state.open.is_none() {
            state.open = Some((self.open(mode)?, mode));
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

    /// Closes the file as soon as nobody uses it, and leaves it to another program. Blocks until then, at most until `until`.
    ///
    /// # Errors
    /// `Unavailable`: it is in use for too long.
    pub(super) fn lend(self: &Arc<Self>, until: Instant) -> Result<Loan, EngineError> {
        let mut state = self.lock();
        while state.is_lent || state.users > 0 {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let why = "the warehouse is in use by other Commands for too long";
                return Err(EngineError::Unavailable(why.into()));
            }
            // Whoever only reads must not keep it open for ever.
            state.writers_waiting += 1;
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.writers_waiting -= 1;
        }
        state.open = None;
        state.is_lent = true;
        drop(state);
        Ok(Loan(Arc::clone(self)))
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
        let connection = match &self.place {
            Place::Memory => Connection::open_in_memory_with_flags(config(AccessMode::ReadWrite)?),
            Place::File(file) => {
                // A file that is not there, or that a crash left with a log, must be written first.
                let wal = PathBuf::from(format!("{}.wal", file.display()));
                let must_write = mode == Mode::Read && (!file.exists() || wal.exists());
                if must_write {
                    Connection::open_with_flags(file, config(AccessMode::ReadWrite)?)
                        .map_err(opening)?;
                }
                Connection::open_with_flags(file, config(access)?)
            }
        };
        let connection = connection.map_err(opening)?;
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

/// The time in which another program has the file.
pub(super) struct Loan(Arc<Warehouse>);

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.lock().is_lent = false;
        self.0.changed.notify_all();
    }
}

fn opening(error: duckdb::Error) -> EngineError {
    match engine_error(error) {
        EngineError::Invalid(text) => {
            let text = text.trim_start_matches("payload.sql: ");
            EngineError::Unavailable(format!("the warehouse cannot be opened: {text}"))
        }
        other => other,
    }
}
