use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

/// A task.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Starts tasks. An argument of the loops, so that a simulation can run the tasks in its own order.
pub trait Spawn: Send + Sync {
    /// Runs `task` beside the caller. A panic in the task ends only that task.
    fn spawn(&self, task: Task);

    /// Runs `task` where no other task can delay it. An implementation with its own order of tasks may treat it like any other task.
    fn spawn_apart(&self, name: &str, task: Task) {
        let _ = name;
        self.spawn(task);
    }
}

/// Starts tasks on the tokio runtime of the caller.
#[derive(Debug, Clone, Copy, Default)]
pub struct TokioTasks;

impl Spawn for TokioTasks {
    fn spawn(&self, task: Task) {
        tokio::spawn(task);
    }

    /// Starts a thread with a small runtime for this task. The operating system schedules it, however busy the other threads are.
    fn spawn_apart(&self, name: &str, task: Task) {
        // Kept here as well, so that the task is not lost if no thread can be started.
        let slot = Arc::new(Mutex::new(Some(task)));
        let take = |slot: &Mutex<Option<Task>>| {
            let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
            slot.take()
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let started = runtime.and_then(|runtime| {
            let slot = Arc::clone(&slot);
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(move || {
                if let Some(task) = take(&slot) {
                    runtime.block_on(task);
                }
            })
        });
        if let Err(error) = started {
            tracing::warn!(%error, name, "a separate thread cannot be started; a busy program may delay this task");
            if let Some(task) = take(&slot) {
                self.spawn(task);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_separate_task_runs_while_all_threads_of_the_others_are_busy() {
        let (done, is_done) = std::sync::mpsc::channel();
        TokioTasks.spawn_apart(
            "apart",
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                let _ = done.send(std::thread::current().name().map(str::to_owned));
            }),
        );
        // The runtime of this test has one thread, and this blocks it.
        let name = is_done.recv_timeout(Duration::from_secs(60));
        assert_eq!(name.expect("the task ran").as_deref(), Some("apart"));
    }
}
