//! Passes commands to Python and answers back.
//!
//! A worker queues commands here without the GIL, and Python threads take them. A thread keeps the GIL while more commands wait, because
//! acquiring it while another Python thread is busy takes about 10 ms (two switch intervals). So a thread that has the GIL handles all waiting
//! commands, and another one is woken only if no thread will take a command soon.

use pudato_runtime::CancellationToken;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// A handler that takes longer than this is slow. While handlers are slow, every waiting command gets its own thread immediately.
const SLOW: Duration = Duration::from_millis(2);
/// How long a command waits before it wakes another thread.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// The last command counts as one of this many in the moving average that decides whether handlers are slow.
const WEIGHTS: u32 = 8;

/// A message from Python about a command.
pub(crate) enum Said {
    /// A pending Result, as JSON, whose data is the progress.
    Progress(String),
    /// The Result, as JSON, and the Events, each as JSON.
    Answer(String, Vec<String>),
    /// The attempt failed; another may succeed.
    Retry {
        /// The reason.
        why: String,
        /// The minimum delay before the next attempt.
        after: Option<Duration>,
    },
    /// A backend is down.
    Unavailable(String),
}

/// A command for Python.
pub(crate) struct Job {
    pub(crate) id: u64,
    pub(crate) service: Arc<str>,
    pub(crate) action: &'static str,
    pub(crate) command: String,
    pub(crate) attempt: Option<u32>,
    /// When its lease is no longer renewed, in seconds since the Unix epoch.
    pub(crate) deadline: f64,
    pub(crate) cancelled: Arc<AtomicBool>,
    pub(crate) says: mpsc::UnboundedSender<Said>,
    /// Reports that the command is waiting for a thread, until one takes it.
    pub(crate) wait: Option<pudato_handler::Wait>,
}

/// The commands for the Python threads, or for the event loop.
pub(crate) struct Queue {
    state: Mutex<State>,
    some: Condvar,
    /// Notified when a command has to wait for a thread that is running another one.
    left: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Commands whose answer nobody needs any more. Only the event loop uses this.
    cancelled: Vec<u64>,
    /// The numbers of threads that exist, are starting, are sleeping, and are running a command.
    threads: usize,
    /// The maximum number of threads; 0 for the event loop.
    threads_max: usize,
    starting: usize,
    idle: usize,
    running: usize,
    /// Threads that have been woken but have not taken a command yet.
    woken: usize,
    /// Those of them that are still asleep.
    asleep: usize,
    /// The number of commands taken so far.
    taken: u64,
    /// The moving average of slow commands, out of [`WEIGHTS`] squared.
    slow: u32,
    is_closed: bool,
    /// Wakes the event loop, and whether it has been woken.
    bell: Option<UnixStream>,
    is_rung: bool,
}

impl State {
    fn is_slow(&self) -> bool {
        self.slow > WEIGHTS * WEIGHTS / 2
    }

    fn was_slow(&mut self, is: bool) {
        let now = if is { WEIGHTS } else { 0 };
        self.slow = self.slow - self.slow / WEIGHTS + now;
    }

    /// Wakes a sleeping thread, unless all of them have been woken.
    fn wake(&mut self, some: &Condvar) {
        if self.idle > self.asleep {
            self.woken += 1;
            self.asleep += 1;
            some.notify_one();
        }
    }

    fn ring(&mut self) {
        if let (Some(bell), false) = (&mut self.bell, self.is_rung) {
            // If the pipe is full, the event loop will wake anyway.
            self.is_rung = bell.write(&[1]).is_ok();
        }
    }
}

impl Queue {
    fn new(bell: Option<UnixStream>, threads_max: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                bell,
                threads_max,
                ..State::default()
            }),
            some: Condvar::new(),
            left: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Ignore poisoning: every change is complete before the lock is released.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a command. Returns false if Python takes no more.
    pub(crate) fn push(&self, job: Job) -> bool {
        let mut state = self.state();
        if state.is_closed {
            return false;
        }
        state.waiting.push_back(job);
        if state.bell.is_some() {
            state.ring();
            return true;
        }
        let waiting = state.waiting.len();
        if state.woken == 0 && state.running == 0 || state.is_slow() && state.woken < waiting {
            state.wake(&self.some);
        } else {
            self.left.notify_one();
        }
        true
    }

    /// Records that nobody needs the answer to this command any more.
    pub(crate) fn cancel(&self, id: u64) {
        let mut state = self.state();
        let waiting = state.waiting.len();
        state.waiting.retain(|job| job.id != id);
        if state.waiting.len() == waiting && state.bell.is_some() {
            state.cancelled.push(id);
            state.ring();
        }
    }

    /// Whether a command has to wait until a thread has finished another one.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.state();
        state.threads_max > 0 && state.running >= state.threads_max
    }

    /// The number of threads, and of those that are running a command.
    pub(crate) fn threads(&self) -> (usize, usize) {
        let state = self.state();
        (state.threads, state.running)
    }

    fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.waiting.clear();
        state.ring();
        self.some.notify_all();
    }

    fn take(&self, state: &mut State) -> Option<Job> {
        let mut job = state.waiting.pop_front()?;
        state.taken += 1;
        job.wait = None;
        Some(job)
    }

    /// Sleeps until this thread is needed.
    fn sleep(&self) {
        let mut state = self.state();
        if !state.waiting.is_empty() && state.woken == 0 {
            // The command arrived after this thread last checked.
            state.woken += 1;
            return;
        }
        state.idle += 1;
        while state.asleep == 0 && !state.is_closed {
            state = self
                .some
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        state.idle -= 1;
        state.asleep = state.asleep.saturating_sub(1);
    }

    /// Wakes another thread for commands that a thread was expected to take soon, if that thread's current command turns out to be slow.
    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = self.left.notified() => {}
            }
            let mut seen = None;
            loop {
                {
                    let mut state = self.state();
                    if state.waiting.is_empty() || state.is_closed {
                        break;
                    }
                    if seen == Some(state.taken) && state.woken == 0 {
                        state.wake(&self.some);
                    }
                    seen = Some(state.taken);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}

/// The Python threads and the event loop that handle commands.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Pool {
    pub(crate) threads: Arc<Queue>,
    pub(crate) tasks: Arc<Queue>,
    hears: UnixStream,
    /// Cancelled when a handler asks the program to stop.
    pub(crate) drain: CancellationToken,
    /// Cancelled when the pool is closed.
    pub(crate) closed: CancellationToken,
}

#[pymethods]
impl Pool {
    /// A pool that runs at most `threads_max` handlers at once, not counting coroutines.
    #[new]
    fn new(threads_max: usize) -> PyResult<Self> {
        let executor = crate::waiting::executor()?;
        let (bell, hears) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        hears.set_nonblocking(true)?;
        let (threads, closed) = (
            Queue::new(None, threads_max.max(1)),
            CancellationToken::new(),
        );
        executor.spawn(Arc::clone(&threads).watch(closed.clone()));
        Ok(Self {
            threads,
            tasks: Queue::new(Some(bell), 0),
            hears,
            drain: CancellationToken::new(),
            closed,
        })
    }

    /// Registers a thread that will call `take`. Returns false if there are enough threads.
    fn begin(&self) -> bool {
        let mut state = self.threads.state();
        let is_needed = state.idle + state.starting == 0
            && state.threads < state.threads_max
            && !state.is_closed;
        state.threads += usize::from(is_needed);
        state.starting += usize::from(is_needed);
        is_needed
    }

    /// Waits for a command for this thread, which has finished the command `last`. Returns None when the thread must exit.
    #[pyo3(signature = (last=None))]
    fn take(&self, py: Python<'_>, last: Option<&Taken>) -> Option<Taken> {
        let queue = &self.threads;
        let mut is_first = true;
        {
            let mut state = queue.state();
            match last {
                None => state.starting = state.starting.saturating_sub(1),
                Some(last) => {
                    state.running = state.running.saturating_sub(1);
                    state.was_slow(last.began.elapsed() > SLOW);
                }
            }
        }
        loop {
            {
                let mut state = queue.state();
                if !is_first {
                    state.woken = state.woken.saturating_sub(1);
                }
                if state.is_closed {
                    state.threads = state.threads.saturating_sub(1);
                    return None;
                }
                if let Some(job) = queue.take(&mut state) {
                    state.running += 1;
                    if state.is_slow() && state.woken < state.waiting.len() {
                        state.wake(&queue.some);
                    }
                    if !state.waiting.is_empty() {
                        queue.left.notify_one();
                    }
                    return Some(Taken::new(job, &self.drain));
                }
            }
            is_first = false;
            py.detach(|| queue.sleep());
        }
    }

    /// The file descriptor that is readable when `take_tasks` has something.
    fn fileno(&self) -> i32 {
        self.hears.as_raw_fd()
    }

    /// Returns the waiting commands for coroutines, the ids of the cancelled ones, and whether the pool is closed.
    fn take_tasks(&self) -> PyResult<(Vec<Taken>, Vec<u64>, bool)> {
        let mut state = self.tasks.state();
        let mut bytes = [0; 64];
        loop {
            match (&self.hears).read(&mut bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        state.is_rung = false;
        let mut taken = Vec::with_capacity(state.waiting.len());
        while let Some(job) = self.tasks.take(&mut state) {
            taken.push(Taken::new(job, &self.drain));
        }
        Ok((taken, std::mem::take(&mut state.cancelled), state.is_closed))
    }

    /// Ends the threads and the event loop once they have finished their commands.
    fn close(&self) {
        self.closed.cancel();
        self.threads.close();
        self.tasks.close();
    }

    /// The number of threads, and of those that are running a command.
    fn busy(&self) -> (usize, usize) {
        self.threads.threads()
    }
}

/// A command that Python has taken.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Taken {
    job: Job,
    began: Instant,
    drain: CancellationToken,
}

impl Taken {
    fn new(job: Job, drain: &CancellationToken) -> Self {
        Self {
            job,
            began: Instant::now(),
            drain: drain.clone(),
        }
    }

    fn say(&self, said: Said) {
        // If the command was cancelled, nobody is listening.
        let _ = self.job.says.send(said);
    }
}

#[pymethods]
impl Taken {
    #[getter]
    fn id(&self) -> u64 {
        self.job.id
    }

    #[getter]
    fn service(&self) -> &str {
        &self.job.service
    }

    #[getter]
    fn action(&self) -> &str {
        self.job.action
    }

    /// The Command, as JSON.
    #[getter]
    fn command(&self) -> &str {
        &self.job.command
    }

    #[getter]
    fn attempt(&self) -> Option<u32> {
        self.job.attempt
    }

    /// When the lease is no longer renewed, in seconds since the Unix epoch.
    #[getter]
    fn deadline(&self) -> f64 {
        self.job.deadline
    }

    #[getter]
    fn cancelled(&self) -> bool {
        self.job.cancelled.load(Ordering::Relaxed)
    }

    /// Publishes the data of a pending Result, given as JSON, as the progress.
    fn report(&self, result: String) {
        self.say(Said::Progress(result));
    }

    /// Answers with a Result and Events, each as JSON.
    fn answer(&self, result: String, events: Vec<String>) {
        self.say(Said::Answer(result, events));
    }

    /// Asks for another attempt.
    #[pyo3(signature = (why, after=None))]
    fn retry(&self, why: String, after: Option<f64>) -> PyResult<()> {
        let after = match after {
            None => None,
            Some(seconds) => Some(Duration::try_from_secs_f64(seconds).map_err(|error| {
                PyValueError::new_err(format!("after: expected seconds, 0 or more: {error}"))
            })?),
        };
        self.say(Said::Retry { why, after });
        Ok(())
    }

    /// Reports that a backend is down.
    fn unavailable(&self, why: String) {
        self.say(Said::Unavailable(why));
    }

    /// Releases the command and asks the program to stop.
    fn stop(&self, why: String) {
        self.drain.cancel();
        self.say(Said::Unavailable(why));
    }
}
