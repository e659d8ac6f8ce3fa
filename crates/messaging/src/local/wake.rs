//! Wakes receives that wait: in this process at once, in others through files that they watch.

use crate::{Error, ErrorKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
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
            Error::new(ErrorKind::Unavailable, context).with_io(error)
        };
        if folder.is_symlink() {
            let context = format!("{}: must not be a symbolic link", folder.display());
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        if !folder.is_dir() {
            let mut builder = fs::DirBuilder::new();
            match builder.mode(0o700).create(&folder) {
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
        Ok(wake)
    }

    /// Watches the files, from the first receive on: a process that only publishes needs no wake-ups.
    fn watch(self: &Arc<Self>) {
        let mut watching = lock(&self.watcher);
        if watching.is_some() {
            return;
        }
        let told = Arc::downgrade(self);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let (Ok(event), Some(wake)) = (event, told.upgrade()) else {
                return;
            };
            if matches!(event.kind, EventKind::Modify(_) | EventKind::Create(_)) {
                for path in event.paths {
                    let name = path.file_name().and_then(|name| name.to_str());
                    if let Some(queue) = name.and_then(|name| name.parse().ok()) {
                        wake.arrived_here(queue);
                    }
                }
            }
        });
        // Where the system gives no watch (its limit is reached), receives still look once a second.
        if let Ok(mut watcher) = watcher
            && watcher
                .watch(&self.folder, RecursiveMode::NonRecursive)
                .is_ok()
        {
            *watching = Some(watcher);
        }
    }

    /// Something arrived at `queue` and is committed; wakes receives in other processes.
    pub(super) fn arrived_elsewhere(&self, queue: i64) {
        let mut queues = lock(&self.queues);
        let bell = queues.entry(queue).or_insert_with(Bell::new);
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

    /// Something arrived at `queue` and is committed; wakes receives in this process.
    pub(super) fn arrived_here(&self, queue: i64) {
        // A queue that nobody here waits at has no bell.
        if let Some(bell) = lock(&self.queues).get(&queue) {
            bell.arrivals.send_modify(|arrivals| *arrivals += 1);
        }
    }

    /// Changes with each arrival at `queue` from now on.
    pub(super) fn listen(self: &Arc<Self>, queue: i64) -> watch::Receiver<u64> {
        self.watch();
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
