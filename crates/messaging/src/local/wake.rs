//! Wakes waiting receives: those in this process directly, those in other processes through watched files.

use crate::{Error, ErrorKind};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// A counter per queue that grows with each arrival, and a file per queue that signals other processes.
pub(super) struct Wake {
    folder: PathBuf,
    queues: Mutex<HashMap<i64, Bell>>,
    // Dropping the watcher stops it.
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
            let context = format!("{}: cannot be created: {error}", folder.display());
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

    /// Starts watching the files with the first receive: a process that only publishes needs no wake-ups.
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
        // If the system allows no further watch, receives still look once a second.
        if let Ok(mut watcher) = watcher
            && watcher
                .watch(&self.folder, RecursiveMode::NonRecursive)
                .is_ok()
        {
            *watching = Some(watcher);
        }
    }

    /// Wakes receives in other processes, after an arrival at `queue` was committed.
    pub(super) fn arrived_elsewhere(&self, queue: i64) {
        let mut queues = lock(&self.queues);
        let bell = queues.entry(queue).or_insert_with(Bell::new);
        if bell.file.is_none() {
            bell.file = self.file(queue);
        }
        if let Some(file) = &bell.file {
            // If this fails, receives in other processes look once a second.
            let _ = file.write_at(b".", 0);
        }
    }

    fn file(&self, queue: i64) -> Option<File> {
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.open(self.folder.join(queue.to_string())).ok()
    }

    /// Wakes receives in this process, after an arrival at `queue` was committed.
    pub(super) fn arrived_here(&self, queue: i64) {
        // A queue without waiting receives has no bell.
        if let Some(bell) = lock(&self.queues).get(&queue) {
            bell.arrivals.send_modify(|arrivals| *arrivals += 1);
        }
    }

    /// A receiver that changes with each arrival at `queue`.
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
    // Each change is a single assignment, so a panicking thread leaves the value intact.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
