//! The end of the interpreter. A thread that waits in Rust meanwhile must not come back into Python: CPython would end it with
//! `pthread_exit`, which aborts the process where it has to pass through Rust ("FATAL: exception not rethrown").

use pyo3::prelude::*;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// The thread that ends the interpreter, once it does. It goes on as usual: exit handlers may still publish.
static ENDING: OnceLock<ThreadId> = OnceLock::new();
/// The threads that are on their way back into Python.
static RETURNING: AtomicUsize = AtomicUsize::new(0);

/// The longest wait for threads on their way back. Each of them only waits for the GIL.
const RETURN_MAX: Duration = Duration::from_secs(5);

/// A thread on its way back into Python, which it must have reached before the interpreter may end.
pub(crate) struct Returning(());

impl Drop for Returning {
    fn drop(&mut self) {
        RETURNING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Call it without the GIL, as the last thing before taking it; drop what it returns with the GIL. If the interpreter is ending, it does
/// not return in other threads than the one that ends it: they end with the process.
pub(crate) fn returning() -> Returning {
    match try_returning() {
        Some(returning) => returning,
        None => loop {
            std::thread::park();
        },
    }
}

/// As [`returning`], but `None` instead of not returning.
pub(crate) fn try_returning() -> Option<Returning> {
    RETURNING.fetch_add(1, Ordering::SeqCst);
    let returning = Returning(());
    // Either this thread sees that the interpreter is ending, or `ending` sees this thread.
    fence(Ordering::SeqCst);
    let is_ending = ENDING
        .get()
        .is_some_and(|thread| *thread != std::thread::current().id());
    (!is_ending).then_some(returning)
}

/// Runs `work` in Python from a thread of Rust; `None` if the interpreter is ending.
pub(crate) fn attach<T>(work: impl FnOnce(Python<'_>) -> T) -> Option<T> {
    let returning = try_returning()?;
    let done = Python::try_attach(work);
    drop(returning);
    done
}

/// Notes that the interpreter ends. Python calls it as an exit handler, after it has joined the threads that it waits for.
#[pyfunction]
pub(crate) fn ending(py: Python<'_>) {
    let _ = ENDING.set(std::thread::current().id());
    fence(Ordering::SeqCst);
    py.detach(|| {
        let began = Instant::now();
        while RETURNING.load(Ordering::SeqCst) > 0 && began.elapsed() < RETURN_MAX {
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}
