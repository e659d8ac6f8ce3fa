use crate::redact;
use crate::{Action, Answer, Failure, FollowUp, Handler, Identity, Progress, Request};
use pudato_protocol::{Command, Event, Result as Reply, Timestamp};
use std::time::Duration;

/// The outcome of a handled Command.
#[derive(Debug, Clone, PartialEq)]
pub struct Handled {
    /// The Result to publish.
    pub result: Reply,
    /// The Events to publish.
    pub events: Vec<Event>,
    /// A Command to send to the service's own queue after a delay; the Result is then `pending`.
    pub follow_up: Option<FollowUp>,
}

/// Why a Command was not handled this time.
#[derive(Debug, Clone, PartialEq)]
pub enum Later {
    /// The Command failed for a transient reason.
    Retry {
        /// The reason.
        why: String,
        /// The earliest time of the next try.
        after: Option<Duration>,
    },
    /// A backend is down, which is not the Command's fault.
    Unavailable {
        /// The backend, and how its failure shows.
        why: String,
    },
}

/// Runs `command` on `handler`. A `type` or `action` that the handler does not have is answered with an error Result, and nothing runs.
/// `identity` and `progress` are passed to the action. `now` returns the time for the Result and the Events.
///
/// # Errors
/// The Command must be tried again later.
pub async fn dispatch(
    handler: &dyn Handler,
    command: &Command,
    identity: Option<&Identity>,
    progress: &dyn Progress,
    now: &(dyn Fn() -> Timestamp + Sync),
) -> Result<Handled, Later> {
    let started = now().instant();
    let outcome = match find(handler, command) {
        Ok(action) => {
            let checked = action.check_fields(&command.payload);
            let action = action.name;
            let request = Request {
                action,
                command,
                identity,
                progress,
            };
            match checked {
                Ok(()) => handler.handle(request).await,
                Err(error) => Err(error.into()),
            }
        }
        Err(refusal) => Err(Failure::bad(refusal)),
    };
    let (mut result, answer) = match outcome {
        Ok(mut answer) => {
            let id = command.correlation_id.as_str();
            let data = std::mem::take(&mut answer.data);
            let result = match answer.pending || answer.follow_up.is_some() {
                true => Reply::pending(id, data),
                false => Reply::success(id, data),
            };
            (result, answer)
        }
        Err(Failure::Final { errors, mut done }) => {
            let mut result = Reply::error(command.correlation_id.as_str(), errors);
            if !done.data.is_empty() {
                result.data = Some(std::mem::take(&mut done.data));
            }
            (result, *done)
        }
        Err(Failure::Retry { why, after }) => {
            let why = redact::redact(&why).into_owned();
            return Err(Later::Retry { why, after });
        }
        Err(Failure::Unavailable { why }) => {
            let why = redact::redact(&why).into_owned();
            return Err(Later::Unavailable { why });
        }
    };
    result.timestamp = now();
    let spent = result.timestamp.instant() - started;
    result.duration_ms = u64::try_from(spent.whole_milliseconds()).unwrap_or(0);
    result.handler = Some(handler.service().to_owned());
    result.job_id.clone_from(&command.job_id);
    result.step_id.clone_from(&command.step_id);
    let source = format!("{}-handler", handler.service());
    let Answer {
        inputs,
        outputs,
        executions,
        events,
        follow_up,
        ..
    } = answer;
    // A microsecond apart, because the content identifies an Event, and two Events of one answer must differ.
    let at_us = result.timestamp.instant().unix_timestamp_nanos() / 1_000;
    let at = |n: usize| match n {
        0 => result.timestamp.clone(),
        n => Timestamp::from_unix_us(i64::try_from(at_us + n as i128).unwrap_or(i64::MAX)),
    };
    let events = events
        .into_iter()
        .enumerate()
        .map(|(n, (r#type, payload))| Event {
            r#type,
            payload,
            correlation_id: command.correlation_id.clone(),
            timestamp: at(n),
            source: Some(source.clone()),
        })
        .collect();
    result.inputs = inputs;
    result.outputs = outputs;
    result.executions = executions;
    redact::errors(&mut result.errors);
    redact::references(&mut result.inputs);
    redact::references(&mut result.outputs);
    redact::executions(&mut result.executions);
    Ok(Handled {
        result,
        events,
        follow_up,
    })
}

/// The action of `command`, or what is wrong with it.
pub(crate) fn find<'a>(handler: &'a dyn Handler, command: &Command) -> Result<&'a Action, String> {
    let service = handler.service();
    if command.r#type != service {
        let found = &command.r#type;
        return Err(format!(
            "type: expected {service:?}, which this handler serves, found {found:?}; \
             send it to the topic of {found:?}"
        ));
    }
    let actions = handler.actions();
    match actions
        .iter()
        .find(|action| action.is_named(&command.action))
    {
        Some(action) => Ok(action),
        None => {
            let known: Vec<&str> = actions.iter().map(|action| action.name).collect();
            Err(format!(
                "action: expected one of {}, found {:?}",
                known.join(", "),
                command.action
            ))
        }
    }
}
