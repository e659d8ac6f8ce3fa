//! Waits for Rust work from Python, without the GIL and interruptible by Ctrl-C.

use crate::errors::PudatoError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::any::Any;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;

/// How often a wait asks Python whether a signal has arrived, so that Ctrl-C raises within 100 ms.
pub(crate) const LISTEN_EVERY: Duration = Duration::from_millis(50);

static EXECUTOR: OnceLock<(u32, Runtime)> = OnceLock::new();

/// The executor of this process. Its threads do not survive a fork, so a call in the child would wait forever; it raises an error instead.
pub(crate) fn executor() -> PyResult<&'static Runtime> {
    let own = std::process::id();
    if let Some((pid, runtime)) = EXECUTOR.get() {
        if *pid == own {
            return Ok(runtime);
        }
        return Err(PudatoError::new_err(
            "pudato was used before this process was forked, and its threads and connections do not survive a fork: \
             start the process with multiprocessing.get_context(\"spawn\") or \"forkserver\"",
        ));
    }
    let built = Builder::new_multi_thread()
        .enable_all()
        .thread_name("pudato")
        .build();
    let runtime = built.map_err(|error| PyRuntimeError::new_err(format!("pudato: {error}")))?;
    Ok(&EXECUTOR.get_or_init(|| (own, runtime)).1)
}

/// Runs `future` to completion without the GIL. An exception from a signal handler, such as KeyboardInterrupt, cancels it.
pub(crate) fn wait<T, F>(py: Python<'_>, future: F) -> PyResult<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let executor = executor()?;
    let mut task = executor.spawn(future);
    loop {
        // If the interpreter shuts down during the wait, this thread never returns: PyO3 blocks it until the process exits.
        let done = py.detach(|| {
            executor.block_on(async { tokio::time::timeout(LISTEN_EVERY, &mut task).await })
        });
        match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => return Err(panicked(error)),
            Err(_) => {}
        }
        if let Err(raised) = py.check_signals() {
            task.abort();
            return Err(raised);
        }
    }
}

/// A panic is a bug in pudato. It becomes an exception that `except Exception` catches, unlike PyO3's own.
fn panicked(error: JoinError) -> PyErr {
    let what = match error.try_into_panic() {
        Ok(panic) => text(&*panic).to_owned(),
        Err(error) => error.to_string(),
    };
    PudatoError::new_err(format!(
        "this call failed because of a bug in pudato; please report it: {what}"
    ))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&'static str>().copied());
    text.unwrap_or("a panic without a message")
}

/// A value with connections. A forked child has a copy of it, but must not drop it: closing SQLite's files there would disrupt the parent.
pub(crate) struct Own<T> {
    value: Arc<T>,
    pid: u32,
}

impl<T> Own<T> {
    pub(crate) fn new(value: Arc<T>) -> Self {
        Self {
            value,
            pid: std::process::id(),
        }
    }
}

impl<T> Deref for Own<T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        &self.value
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        if self.pid != std::process::id() {
            // The extra reference keeps the count from reaching zero.
            let _ = ManuallyDrop::new(Arc::clone(&self.value));
        }
    }
}

/// Panics inside a call, so that the tests can check the exception.
#[cfg(debug_assertions)]
#[pyfunction]
pub(crate) fn panic_in_a_call(py: Python<'_>, text: String) -> PyResult<()> {
    wait(py, async move { panic!("{text}") })
}
