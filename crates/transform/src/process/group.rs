//! A running process group, which does not outlive whoever has this.

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::{Child, ChildStdin};

/// What a program uses as long as it runs, and what must not go before it.
pub(crate) type Held = Arc<dyn Send + Sync>;

/// How often is looked whether a group that was asked to end has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The running group. Dropping it while its program runs (its work is cancelled) asks it to end, and kills it after its grace.
pub(crate) struct Group {
    pub(crate) child: Child,
    id: Option<Pid>,
    /// Held open as long as the group shall run.
    alive: Option<ChildStdin>,
    grace: Duration,
    held: Vec<Held>,
    has_ended: bool,
}

impl Group {
    /// Of a child that was started as the leader of a group of its own.
    pub(crate) fn new(mut child: Child, grace: Duration, held: Vec<Held>) -> Self {
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

    /// Its number.
    pub(crate) fn id(&self) -> Option<Pid> {
        self.id
    }

    /// Kills what is left of it; what it used may go.
    pub(crate) fn kill(mut self) {
        self.has_ended = true;
    }
}

/// Asks a group to end as Ctrl-C does: dbt cancels its queries then, which would go on in a server whose client was killed.
pub(crate) fn interrupt(group: Option<Pid>) {
    if let Some(group) = group {
        // It may be gone already.
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
        // Nobody can be waited for in a drop. Where this program ends meanwhile, the guard kills the group.
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
