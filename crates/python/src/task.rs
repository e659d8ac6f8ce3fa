//! Work that runs in Rust while Python does something else. A call starts it; a thread or an event loop waits for it.

use crate::errors::PudatoError;
use crate::waiting::{LISTEN_EVERY, executor};
use pudato_runtime::CancellationToken;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::{PyKeyboardInterrupt, PyOSError, PyRuntimeError};
use pyo3::prelude::*;
use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The result of a task, converted in the thread that asks for it.
pub(crate) type Made = Box<dyn for<'py> FnOnce(Python<'py>) -> PyResult<Py<PyAny>> + Send>;

/// A task's result of any kind that Python knows.
pub(crate) fn made<T>(value: T) -> PyResult<Made>
where
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    Ok(Box::new(move |py: Python<'_>| value.into_py_any(py)))
}

/// The kind and the text of a report that a task makes before it ends.
type Told = (&'static str, String);

/// The number of running tasks, so that the process can wait for them before it exits.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// Cancels every task when the process exits.
static ENDING: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

/// A running task. Dropping the last reference cancels it.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Task {
    shared: Arc<Shared>,
}

/// The state that a task shares with its waiters.
pub(crate) struct Shared {
    state: Mutex<State>,
    news: Condvar,
    stop: CancellationToken,
}

#[derive(Default)]
struct State {
    told: Vec<Told>,
    is_done: bool,
    outcome: Option<PyResult<Made>>,
    bell: Option<(Arc<Rope>, u64)>,
}

impl Shared {
    /// Reports something before the end.
    pub(crate) fn tell(&self, kind: &'static str, text: String) {
        let mut state = self.state();
        state.told.push((kind, text));
        self.announce(state);
    }

    /// Resolves when the task is cancelled.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, state: MutexGuard<'_, State>) {
        let bell = state.bell.clone();
        drop(state);
        self.news.notify_all();
        if let Some((rope, token)) = bell {
            rope.pull(token);
        }
    }

    fn end(&self, outcome: PyResult<Made>) {
        let mut state = self.state();
        state.outcome = Some(outcome);
        state.is_done = true;
        self.announce(state);
    }

    fn news_within(&self, time: Duration) -> Option<(Vec<Told>, bool)> {
        let has_none = |state: &mut State| state.told.is_empty() && !state.is_done;
        let waited = self.news.wait_timeout_while(self.state(), time, has_none);
        let (mut state, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        (!waited.timed_out()).then(|| (std::mem::take(&mut state.told), state.is_done))
    }
}

impl Task {
    /// Starts work that is dropped immediately when the task is cancelled.
    pub(crate) fn start<F>(work: F) -> PyResult<Self>
    where
        F: Future<Output = PyResult<Made>> + Send + 'static,
    {
        Self::start_with(|shared| async move {
            tokio::select! {
                biased;
                () = shared.stopped() => Err(cancelled()),
                outcome = work => outcome,
            }
        })
    }

    /// Starts work that makes reports, and that ends by itself soon after the task is cancelled.
    pub(crate) fn start_with<F>(work: impl FnOnce(Arc<Shared>) -> F) -> PyResult<Self>
    where
        F: Future<Output = PyResult<Made>> + Send + 'static,
    {
        let executor = executor()?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            news: Condvar::new(),
            stop: ENDING.child_token(),
        });
        let work = work(Arc::clone(&shared));
        let own = Arc::clone(&shared);
        RUNNING.fetch_add(1, Ordering::SeqCst);
        executor.spawn(async move {
            let outcome = match tokio::spawn(work).await {
                Ok(outcome) => outcome,
                Err(error) => Err(PudatoError::new_err(format!("pudato: {error}"))),
            };
            // During process exit, nobody needs the outcome.
            if !ENDING.is_cancelled() {
                own.end(outcome);
            }
            RUNNING.fetch_sub(1, Ordering::SeqCst);
        });
        Ok(Self { shared })
    }
}

/// The outcome of a cancelled task. Nobody waits for it any more.
pub(crate) fn cancelled() -> PyErr {
    PyKeyboardInterrupt::new_err("cancelled")
}

#[pymethods]
impl Task {
    /// Waits without the GIL until there is news. Returns the new reports, and whether the task is done. If a signal handler raises during the
    /// wait, as for Ctrl-C, the task is cancelled.
    fn wait(&self, py: Python<'_>) -> PyResult<(Vec<Told>, bool)> {
        // Raises in a forked child, which would otherwise wait forever.
        executor()?;
        loop {
            if let Some(news) = py.detach(|| self.shared.news_within(LISTEN_EVERY)) {
                return Ok(news);
            }
            if let Err(raised) = py.check_signals() {
                self.shared.stop.cancel();
                return Err(raised);
            }
        }
    }

    /// Like `wait`, but returns immediately.
    fn news(&self) -> (Vec<Told>, bool) {
        let mut state = self.shared.state();
        (std::mem::take(&mut state.told), state.is_done)
    }

    /// Returns the task's result or raises its error. Call it only once, after the task is done.
    fn result(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let outcome = self.shared.state().outcome.take();
        match outcome {
            Some(outcome) => outcome?(py),
            None => Err(PyRuntimeError::new_err(
                "the task is not done, or its result has already been taken",
            )),
        }
    }

    /// Cancels the task.
    fn cancel(&self) {
        self.shared.stop.cancel();
    }

    /// Rings `bell` with `token` whenever there is news, including news that is already waiting.
    fn ring(&self, bell: &Bell, token: u64) {
        let mut state = self.shared.state();
        state.bell = Some((Arc::clone(&bell.rope), token));
        if state.is_done || !state.told.is_empty() {
            drop(state);
            bell.rope.pull(token);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// Tells an event loop which tasks have news, through a file descriptor that becomes readable. So no Rust thread ever waits for the GIL.
#[pyclass(frozen, module = "pudato._core")]
pub(crate) struct Bell {
    end: UnixStream,
    rope: Arc<Rope>,
}

struct Rope {
    end: UnixStream,
    tokens: Mutex<Vec<u64>>,
}

impl Rope {
    fn pull(&self, token: u64) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.push(token);
        // One byte is enough until the event loop reads it.
        if tokens.len() == 1 {
            let _ = (&self.end).write(&[1]);
        }
    }
}

#[pymethods]
impl Bell {
    #[new]
    fn new() -> PyResult<Self> {
        let failed = |error: std::io::Error| PyOSError::new_err(format!("a socket pair: {error}"));
        let (end, far) = UnixStream::pair().map_err(failed)?;
        end.set_nonblocking(true).map_err(failed)?;
        far.set_nonblocking(true).map_err(failed)?;
        let rope = Rope {
            end: far,
            tokens: Mutex::default(),
        };
        Ok(Self {
            end,
            rope: Arc::new(rope),
        })
    }

    /// The file descriptor that is readable while there are tokens.
    fn fileno(&self) -> i32 {
        self.end.as_raw_fd()
    }

    /// The tokens since the last call.
    fn tokens(&self) -> Vec<u64> {
        let mut bytes = [0; 64];
        while matches!((&self.end).read(&mut bytes), Ok(read) if read == bytes.len()) {}
        let mut tokens = self.rope.tokens.lock();
        let tokens = tokens.as_mut().map(|tokens| std::mem::take(&mut **tokens));
        tokens.unwrap_or_default()
    }
}

/// The number of running tasks.
#[pyfunction]
pub(crate) fn running() -> usize {
    RUNNING.load(Ordering::SeqCst)
}

/// Cancels all tasks at process exit, and waits up to `ms` milliseconds until they have cleaned up. Returns whether they have.
#[pyfunction]
pub(crate) fn finish(py: Python<'_>, ms: u64) -> bool {
    ENDING.cancel();
    let end = Instant::now() + Duration::from_millis(ms);
    py.detach(|| {
        while RUNNING.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(2));
        }
    });
    RUNNING.load(Ordering::SeqCst) == 0
}
