//! Waits for Rust from Python: without the GIL, and with an ear for Ctrl-C.

use crate::errors::PudatoError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long a wait lasts at most before it asks Python whether a signal arrived, so that Ctrl-C raises within 100 ms.
pub(crate) const LISTEN_EVERY: Duration = Duration::from_millis(50);

static EXECUTOR: OnceLock<(u32, Runtime)> = OnceLock::new();

/// The executor of this process. Its threads do not survive a fork, and a call in the child would wait for them for ever, so it is refused.
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

/// Runs `future` to its end without holding the GIL. An exception of a signal handler, such as KeyboardInterrupt, cancels it.
pub(crate) fn wait<T, F>(py: Python<'_>, future: F) -> PyResult<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let executor = executor()?;
    let mut task = executor.spawn(future);
    loop {
        let done = py.detach(|| {
            executor.block_on(async { tokio::time::timeout(LISTEN_EVERY, &mut task).await })
        });
        match done {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => return Err(PudatoError::new_err(format!("pudato: {error}"))),
            Err(_) => {}
        }
        if let Err(raised) = py.check_signals() {
            task.abort();
            return Err(raised);
        }
    }
}
