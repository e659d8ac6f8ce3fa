//! Runs handlers and the results consumer in the same process as a client.

use crate::errors;
use crate::installation::Installation;
use crate::task::{Task, made};
use pudato_runtime::{CancellationToken, Role, View};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// How often to check whether this program has announced itself.
const LOOK_EVERY: Duration = Duration::from_millis(5);

#[pymethods]
impl Installation {
    /// Records this program's AWS calls for `pudato cost` when a program that did not serve exits.
    fn record_calls(&self) {
        self.opened.record_last_calls();
    }

    /// Runs the handlers of `services`, or of all services that have a queue, and the results consumer. The task reports `ready` once
    /// other programs can see that this one serves. When it is cancelled, it finishes the messages in flight and ends.
    fn serve(&self, services: Option<Vec<String>>) -> PyResult<Task> {
        let opened = Arc::clone(&self.opened);
        Task::start_with(move |shared| async move {
            let all = || {
                let all = opened.services_with_queue().into_iter();
                all.map(str::to_owned).collect()
            };
            let workers = services.unwrap_or_else(all).into_iter().map(Role::Worker);
            let roles: Vec<Role> = workers.chain([Role::Results]).collect();
            let drain = CancellationToken::new();
            let posted = async {
                let own = std::process::id();
                let is_there = || View::of(&opened).programs.iter().any(|one| one.pid == own);
                while !is_there() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                shared.tell("ready", String::new());
                shared.stopped().await;
                drain.cancel();
                std::future::pending::<()>().await;
            };
            let ended = tokio::select! {
                ended = opened.run(&roles, drain.clone()) => ended,
                () = posted => Ok(()),
            };
            made(ended.map(|()| None::<String>).map_err(errors::open)?)
        })
    }
}
