//! Watches the engine's process from outside: its memory, how long it is idle, and how it ends.

use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStderr, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often the memory is checked while there is work. In between, a process can take at most what the kernel hands out in
/// this time: some 100 MB.
const LOOK: Duration = Duration::from_millis(25);
/// How long a process stays without work.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// DuckDB's own limit counts its buffers; the process has code, threads and what allocators keep beside them.
const MEMORY_SPARE: u64 = 256 << 20;
/// How long it takes at most to hear that a process has ended whose socket has.
const END_MAX: Duration = Duration::from_secs(10);
/// The last words of a process that are kept, in bytes.
const WORDS_MAX: usize = 2_048;

/// How the process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was killed from here because it used more memory than it may: so many bytes of so many.
    Memory { used_bytes: u64, bytes_max: u64 },
    /// It was killed from here for another reason; `work` is the work that was the cause.
    Killed {
        why: &'static str,
        work: Option<u64>,
    },
    /// By itself: by a signal, or with an exit code; with what it printed last.
    Itself(String),
}

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// How it ended, and how many works it was running then.
    ended: Option<(Ended, usize)>,
    /// Why it is killed, where it is.
    doom: Option<Ended>,
    idle_since: Option<Instant>,
}

/// A process that is watched.
pub(super) struct Watched {
    pub(super) pid: u32,
    bytes_max: u64,
    state: Mutex<State>,
    changed: Condvar,
    /// Works that it has.
    works: AtomicUsize,
    /// Those of them that it runs now, and do not only wait for their commit.
    executing: AtomicUsize,
}

impl Watched {
    /// Watches `child`, which may use `memory_bytes` for data.
    ///
    /// # Errors
    /// No thread can be started.
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

    /// A work begins; it is counted until what is returned is dropped.
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

    /// Kills the process, for the sake of `work` where one is the cause.
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

    /// How the process ended, and how many works it was running then. Blocks until it has ended; where it only stopped talking, with
    /// `error`, it is ended.
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
                tracing::warn!(%error, "the query engine's process stopped talking; it is ended");
                self.kill("it stopped talking", None);
                return (Ended::Itself(format!("stopped talking: {error}")), 1);
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Blocks until the process has ended, which it is about to.
    pub(super) fn wait_for_end(&self) {
        let mut state = self.lock();
        while state.ended.is_none() {
            let waited = self.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Listens to the process until it has ended.
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

    /// Looks at the memory while there is work; ends the process where there is none for long.
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

/// A work that is counted.
pub(super) struct Counted(Arc<Watched>);

impl Drop for Counted {
    fn drop(&mut self) {
        let watched = &self.0;
        if watched.works.fetch_sub(1, Ordering::AcqRel) == 1 {
            let mut state = watched.lock();
            // Another may have begun meanwhile.
            if watched.works.load(Ordering::Acquire) == 0 {
                state.idle_since = Some(Instant::now());
            }
            drop(state);
            watched.changed.notify_all();
        }
    }
}

/// A work that is run.
pub(super) struct Executing(Arc<Watched>);

impl Drop for Executing {
    fn drop(&mut self) {
        self.0.executing.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Anonymous memory of a process, in bytes: what it shares with others, such as libduckdb's code, is not its own.
fn memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

/// Reads to the end, and keeps the end.
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

/// Names of the signals that end a program by its own fault (signal(7)).
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

/// How a process ended, and what it printed last.
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
