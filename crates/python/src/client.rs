//! Calls: publishes a Command and waits for its final Result.

use crate::answer::Answer;
use crate::errors;
use crate::installation::Installation;
use crate::task::{Shared, Task, cancelled, made};
use pudato_protocol::{Command, Result as Reply, Status, decode_claim, encode};
use pudato_runtime::{CallError, Client, Installation as Opened, View};
use pyo3::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait before warning that no program is running that would answer.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// How often to check for running programs, because one may stop during the wait.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The id of a message, or the reason why a Command was not published and whether that is final.
type Sent = (Option<String>, Option<String>, bool);

#[pymethods]
impl Installation {
    /// Publishes a Command, given as JSON, and waits up to `timeout_ms` milliseconds for its final Result. The task reports each `pending`
    /// Result as JSON, `waiting` if no program is running that would answer, and `unrecorded` if the registry did not apply the Result to
    /// the step that the Command names. It returns the final Result as JSON.
    fn call(&self, command: &[u8], timeout_ms: u64) -> PyResult<Task> {
        let command = read(command)?;
        let opened = Arc::clone(&self.opened);
        Task::start_with(move |shared| async move {
            let result = answered(&opened, &command, timeout_ms, &shared).await?;
            made(encode(&result))
        })
    }

    /// Like `call`, for a query: returns an answer if the query succeeded, otherwise the Result as JSON.
    fn query(&self, command: &[u8], timeout_ms: u64) -> PyResult<Task> {
        let command = read(command)?;
        let opened = Arc::clone(&self.opened);
        Task::start_with(move |shared| async move {
            let result = answered(&opened, &command, timeout_ms, &shared).await?;
            if result.status != Status::Success {
                return made(encode(&result));
            }
            // An answer may have millions of cells.
            let answer = tokio::task::spawn_blocking(move || Answer::new(result)).await;
            made(answer.map_err(errors::lost)?)
        })
    }

    /// Publishes Commands, given as JSON. Returns for each the id of its message, or the reason why it was not published and whether that is
    /// final.
    fn publish_commands(&self, commands: Vec<Vec<u8>>) -> PyResult<Task> {
        let commands = commands.iter().map(|command| read(command));
        let commands: Vec<Command> = commands.collect::<PyResult<_>>()?;
        let opened = Arc::clone(&self.opened);
        Task::start(async move {
            let sent = Client::new(&opened)
                .publish_all(&commands)
                .await
                .into_iter();
            let sent = sent.map(|one| match one {
                Ok(id) => (Some(id), None, false),
                Err(error @ CallError::Refused(_)) => (None, Some(error.to_string()), true),
                Err(error) => (None, Some(error.to_string()), false),
            });
            made(sent.collect::<Vec<Sent>>())
        })
    }
}

/// Parses a Command.
pub(crate) fn read(command: &[u8]) -> PyResult<Command> {
    decode_claim(command).map_err(|error| errors::message(&error))
}

/// Publishes `command` and waits for its final Result.
pub(crate) async fn answered(
    opened: &Opened,
    command: &Command,
    timeout_ms: u64,
    shared: &Shared,
) -> PyResult<Reply> {
    let client = Client::new(opened);
    let listener = client.listen(&command.correlation_id).await;
    let mut listener = listener.map_err(errors::call)?.awaits(&command.r#type);
    let services = BTreeSet::from([command.r#type.as_str()]);
    let mut pending = |result: &Reply| shared.tell("pending", encode(result));
    let heard = tokio::select! {
        biased;
        () = shared.stopped() => Err(cancelled()),
        heard = async {
            client.publish(command).await?;
            let timeout = Duration::from_millis(timeout_ms);
            client.hear(&mut listener, timeout, &mut pending).await
        } => heard.map_err(errors::call),
        () = look(opened, &services, shared) => Err(cancelled()),
    };
    if let (Some(difference), Some(step)) = (listener.claims(), &command.step_id) {
        let text = format!(
            "the Result was not recorded in the step {step}, because its {} is not the step's: a step id is for one command. \
             Use another step_id, or declare the command with the registry's action add_step",
            difference.field()
        );
        shared.tell("unrecorded", text);
    }
    // Also after a cancellation, because the listener may own a queue.
    listener.close(opened).await;
    heard
}

/// Reports once for each service, and for the results consumer, if no program on this machine runs it. Never returns.
pub(crate) async fn look(opened: &Opened, services: &BTreeSet<&str>, shared: &Shared) {
    let mut said = BTreeSet::new();
    let mut wait = LOOK_AFTER;
    loop {
        tokio::time::sleep(wait).await;
        wait = LOOK_EVERY;
        let view = View::of(opened);
        for service in services.iter().copied().chain(["results"]) {
            if let Some(text) = view.nobody_runs(service)
                && said.insert(service)
            {
                shared.tell("waiting", text);
            }
        }
    }
}
