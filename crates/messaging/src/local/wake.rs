//! Wakes receives that wait: in this process at once, in others through files that they watch.

use crate::{Error, ErrorKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// One number per queue that grows with each arrival, and a file per queue that tells other processes.
pub(super) struct Wake {
    folder: PathBuf,
    queues: Mutex<HashMap<i64, Bell>>,
    // Watching ends when this is dropped.
    watcher: Mutex<Option<RecommendedWatcher>>,
}

struct Bell {
    arrivals: watch::Sender<u64>,
    file: Option<File>,
}

impl Wake {
    pub(super) fn start(root: &Path) -> Result<Arc<Self>, Error> {
        let folder = root.join("wake");
        let failed = |error: std::io::Error| {
            let context = format!("{}: cannot be made: {error}", folder.display());
            Error::new(ErrorKind::Unavailable, context).with_source(error)
        };
        if !folder.is_dir() {
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(failed(error));
                }
                _ => {}
            }
        }
        let wake = Arc::new(Self {
            folder,
            queues: Mutex::default(),
            watcher: Mutex::new(None),
        });
        let told = Arc::downgrade(&wake);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let (Ok(event), Some(wake)) = (event, told.upgrade()) else {
                return;
            };
            if matches!(event.kind, EventKind::Modify(_) | EventKind::Create(_)) {
                for path in event.paths {
                    let name = path.file_name().and_then(|name| name.to_str());
                    if let Some(queue) = name.and_then(|name| name.parse().ok()) {
                        wake.ring(queue);
                    }
                }
            }
        });
        // Where the system gives no watch (its limit is reached), receives still look once a second.
        if let Ok(mut watcher) = watcher
            && watcher
                .watch(&wake.folder, RecursiveMode::NonRecursive)
                .is_ok()
        {
            *lock(&wake.watcher) = Some(watcher);
        }
        Ok(wake)
    }

    /// Something arrived at `queue` and is committed.
    pub(super) fn arrived(&self, queue: i64) {
        let mut queues = lock(&self.queues);
        let bell = queues.entry(queue).or_insert_with(Bell::new);
        bell.arrivals.send_modify(|arrivals| *arrivals += 1);
        if bell.file.is_none() {
            bell.file = self.file(queue);
        }
        if let Some(file) = &bell.file {
            // When it fails, receives in other processes look once a second.
            let _ = file.write_at(b".", 0);
        }
    }

    fn file(&self, queue: i64) -> Option<File> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(self.folder.join(queue.to_string())).ok()
    }

    fn ring(&self, queue: i64) {
        // A queue that nobody here waits at has no bell.
        if let Some(bell) = lock(&self.queues).get(&queue) {
            bell.arrivals.send_modify(|arrivals| *arrivals += 1);
        }
    }

    /// Changes with each arrival at `queue` from now on.
    pub(super) fn listen(&self, queue: i64) -> watch::Receiver<u64> {
        let mut queues = lock(&self.queues);
        let bell = queues.entry(queue).or_insert_with(Bell::new);
        bell.arrivals.subscribe()
    }
}

impl Bell {
    fn new() -> Self {
        Self {
            arrivals: watch::Sender::new(0),
            file: None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // What is guarded stays whole when a thread panics: each change is one assignment.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
