//! A running process group that cannot outlive its owner.

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::{Child, ChildStdin};

/// A resource that a program uses and that must outlive it.
pub(crate) type KeepAlive = Arc<dyn Send + Sync>;

/// How often to check whether an interrupted group has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A running group. Dropping it while its program runs (after a cancellation) interrupts it, and kills it after the grace period.
pub(crate) struct Group {
    pub(crate) child: Child,
    id: Option<Pid>,
    /// The pipe that the guard watches: closing it kills the group.
    alive: Option<ChildStdin>,
    grace: Duration,
    held: Vec<KeepAlive>,
    has_ended: bool,
}

impl Group {
    /// Takes over a child that leads its own group.
    pub(crate) fn new(mut child: Child, grace: Duration, held: Vec<KeepAlive>) -> Self {
        let alive = child.stdin.take();
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            child,
            id: id.and_then(Pid::from_raw),
            alive,
            grace,
            held,
            has_ended: false,
        }
    }

    /// The id of the group.
    pub(crate) fn id(&self) -> Option<Pid> {
        self.id
    }

    /// Kills the rest of the group and releases its resources.
    pub(crate) fn kill(mut self) {
        self.has_ended = true;
    }
}

/// Interrupts a group as Ctrl-C does. dbt then cancels its queries, which would otherwise continue on a database server.
pub(crate) fn interrupt(group: Option<Pid>) {
    if let Some(group) = group {
        // The group may be gone already.
        let _ = kill_process_group(group, Signal::INT);
    }
}

fn kill(group: Pid) {
    let _ = kill_process_group(group, Signal::KILL);
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(group) = self.id else {
            let _ = self.child.start_kill();
            return;
        };
        if self.has_ended || self.grace.is_zero() {
            kill(group);
            let _ = self.child.start_kill();
            return;
        }
        interrupt(Some(group));
        let (until, alive) = (Instant::now() + self.grace, self.alive.take());
        let held = std::mem::take(&mut self.held);
        // A drop cannot wait. If this program ends meanwhile, the guard kills the group.
        let wait = move || {
            while test_kill_process_group(group).is_ok() && Instant::now() < until {
                std::thread::sleep(LOOK);
            }
            kill(group);
            drop((alive, held));
        };
        let thread = std::thread::Builder::new().name("dbt-ends".into());
        if thread.spawn(wait).is_err() {
            kill(group);
        }
    }
}
