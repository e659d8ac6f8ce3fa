//! Watches the engine's process from outside: its memory, its idle time, and how it ends.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the memory is checked while there is work. In between, a process can grow by at most what the kernel hands out in this time:
/// about 100 MB.
const LOOK: Duration = Duration::from_millis(25);
/// How long an idle process is kept.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Memory beyond DuckDB's own limit, which counts only its buffers: code, threads and allocators.
const MEMORY_SPARE: u64 = 256 << 20;
/// The longest wait for the end of a process whose socket has closed.
const END_MAX: Duration = Duration::from_secs(10);
/// The number of bytes of a process's last output to keep.
const WORDS_MAX: usize = 2_048;

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// The parent killed it for using more memory than allowed.
    Memory { used_bytes: u64, bytes_max: u64 },
    /// The parent killed it for another reason. `work` is the cause, if there is one.
    Killed {
        why: &'static str,
        work: Option<u64>,
    },
    /// It ended by itself, by a signal or with an exit code. The text includes its last output.
    Itself(String),
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// How it ended, and how many works it was running.
    ended: Option<(Ended, usize)>,
    /// Why it is being killed, if it is.
    doom: Option<Ended>,
    idle_since: Option<Instant>,
}

/// A process under watch.
pub(super) struct Watched {
    pub(super) pid: u32,
    bytes_max: u64,
    state: Mutex<State>,
    changed: Condvar,
    /// The number of its works.
    works: AtomicUsize,
    /// The number of works that it is executing, without those that wait for their commit.
    executing: AtomicUsize,
}

impl Watched {
    /// Watches `child`, which may use `memory_bytes` for data.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(mut child: Child, memory_bytes: u64) -> io::Result<Arc<Self>> {
        let stderr = child.stderr.take();
        let watched = Arc::new(Self {
            pid: child.id(),
            bytes_max: memory_bytes + (memory_bytes / 2).max(MEMORY_SPARE),
            state: Mutex::new(State {
                child: Some(child),
                idle_since: Some(Instant::now()),
                ..State::default()
            }),
            changed: Condvar::new(),
            works: AtomicUsize::new(0),
            executing: AtomicUsize::new(0),
        });
        let waits = Arc::clone(&watched);
        std::thread::Builder::new()
            .name("pudato-engine-end".into())
            .spawn(move || waits.wait(stderr))?;
        let looks = Arc::clone(&watched);
        std::thread::Builder::new()
            .name("pudato-engine-memory".into())
            .spawn(move || looks.look())?;
        Ok(watched)
    }

    /// Counts a new work until the returned guard is dropped.
    pub(super) fn work(self: &Arc<Self>) -> Counted {
        if self.works.fetch_add(1, Ordering::AcqRel) == 0 {
            self.lock().idle_since = None;
            self.changed.notify_all();
        }
        Counted(Arc::clone(self))
    }

    /// Counts a work as running until the returned guard is dropped. A work that finds the process gone must call
    /// [`ended_soon`](Self::ended_soon) before it drops the guard, so that the count at the crash is complete.
    pub(super) fn execute(self: &Arc<Self>) -> Executing {
        self.executing.fetch_add(1, Ordering::AcqRel);
        Executing(Arc::clone(self))
    }

    /// Kills the process. `work` is the cause, if there is one.
    pub(super) fn kill(&self, why: &'static str, work: Option<u64>) {
        self.kill_for(Ended::Killed { why, work });
    }

    fn kill_for(&self, doom: Ended) {
        let mut state = self.lock();
        if state.ended.is_some() {
            return;
        }
        state.doom.get_or_insert(doom);
        if let Some(child) = &mut state.child {
            let _ = child.kill();
        }
    }

    /// Returns how the process ended, and how many works it was executing. Blocks until it has ended; if it only stopped responding, with
    /// `error`, it is killed.
    pub(super) fn ended_soon(&self, error: &io::Error) -> (Ended, usize) {
        let mut state = self.lock();
        let until = Instant::now() + END_MAX;
        loop {
            if let Some(ended) = &state.ended {
                return ended.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(state);
                tracing::warn!(%error, "the query engine's process stopped responding; pudato kills it");
                self.kill("it stopped talking", None);
                return (Ended::Itself(format!("stopped talking: {error}")), 1);
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Blocks until the process has ended. The caller knows that it is ending.
    pub(super) fn wait_for_end(&self) {
        let mut state = self.lock();
        while state.ended.is_none() {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Reads the process's output until it has ended.
    fn wait(&self, stderr: Option<ChildStderr>) {
        let words = stderr.map(listen).unwrap_or_default();
        // Its end of the pipe is closed, so it is ending.
        let status = loop {
            let mut state = self.lock();
            let status = state.child.as_mut().map(Child::try_wait);
            match status {
                Some(Ok(Some(status))) => break Some(status),
                Some(Ok(None)) => {}
                _ => break None,
            }
            drop(state);
            std::thread::sleep(Duration::from_millis(1));
        };
        let mut state = self.lock();
        let by_itself = Ended::Itself(told(status, &words));
        let executing = self.executing.load(Ordering::Acquire);
        state.ended = Some((state.doom.take().unwrap_or(by_itself), executing));
        state.child = None;
        drop(state);
        self.changed.notify_all();
    }

    /// Checks the memory while there is work, and ends a process that is idle for too long.
    fn look(&self) {
        let mut state = self.lock();
        while state.ended.is_none() {
            let pause = match state.idle_since {
                None => LOOK,
                Some(since) => match IDLE_MAX.checked_sub(since.elapsed()) {
                    Some(left) => left.max(Duration::from_millis(1)),
                    None => {
                        drop(state);
                        self.kill("it had nothing to do", None);
                        state = self.lock();
                        LOOK
                    }
                },
            };
            let waited = self.changed.wait_timeout(state, pause);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if state.idle_since.is_some() {
                continue;
            }
            drop(state);
            if let Some(used_bytes) = memory(self.pid).filter(|used| *used > self.bytes_max) {
                let bytes_max = self.bytes_max;
                self.kill_for(Ended::Memory {
                    used_bytes,
                    bytes_max,
                });
            }
            state = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A counted work.
pub(super) struct Counted(Arc<Watched>);

impl Drop for Counted {
    fn drop(&mut self) {
        let watched = &self.0;
        if watched.works.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut state = watched.lock();
            // Another work may have started meanwhile.
            if watched.works.load(Ordering::Acquire) == 0 {
                state.idle_since = Some(Instant::now());
            }
            drop(state);
            watched.changed.notify_all();
        }
    }
}

/// A work that is executing.
pub(super) struct Executing(Arc<Watched>);

impl Drop for Executing {
    fn drop(&mut self) {
        self.0.executing.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The anonymous memory of a process, in bytes. Shared memory, such as the code of libduckdb, does not count.
fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

/// Reads to the end, and keeps the last part.
fn listen(mut from: ChildStderr) -> String {
    let mut words = Vec::new();
    let mut part = [0; 1_024];
    loop {
        match from.read(&mut part) {
            Ok(0) => break,
            Ok(read) => {
                words.extend_from_slice(&part[..read]);
                let surplus = words.len().saturating_sub(WORDS_MAX);
                words.drain(..surplus);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&words).trim().to_owned()
}

/// The names of the signals that a faulty program receives (signal(7)).
const SIGNALS: [(i32, &str); 8] = [
    (4, "SIGILL"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (15, "SIGTERM"),
    (31, "SIGSYS"),
];

/// Describes how a process ended, with its last output.
pub(super) fn told(status: Option<ExitStatus>, words: &str) -> String {
    let how = match status.map(|status| (status.signal(), status.code())) {
        Some((Some(signal), _)) => {
            let named = SIGNALS.iter().find(|(number, _)| *number == signal);
            let name = named.map_or_else(
                || format!("signal {signal}"),
                |(_, name)| (*name).to_owned(),
            );
            format!("was ended by {name}")
        }
        Some((_, Some(code))) => format!("ended with exit code {code}"),
        _ => "ended".to_owned(),
    };
    match words {
        "" => how,
        words => format!("{how} and printed: {words}"),
    }
}
