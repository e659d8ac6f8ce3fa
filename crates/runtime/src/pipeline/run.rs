//! Runs a pipeline as a job: sends each step when all its needs have succeeded.

use super::Pipeline;
use super::outcome::{Outcome, Progress, StepEnd, StepOutcome};
use super::standing::standing;
use crate::client::{CallError, Client};
use crate::installation::Installation;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pudato_messaging::Error;
use pudato_protocol::{Command, Object, Result as Reply, Status, decode_claim};
use pudato_registry::StepStatus;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// The time limit for creating the job.
const CREATE_TIMEOUT: Duration = Duration::from_secs(60);

/// The job to continue.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// The id of an existing job; `None` for a new one.
    pub job_id: Option<String>,
    /// Only this step and the steps that need it, whether or not they succeeded before.
    pub from: Option<usize>,
}

/// Runs pipelines on an installation.
pub struct Runner<'a> {
    pudato: &'a Installation,
    pipeline: &'a Pipeline,
    creating: Mutex<Creating>,
}

/// The command to the registry that is in flight, so that it can be withdrawn.
#[derive(Default)]
struct Creating {
    /// The correlation id of the command that was sent and is not answered yet.
    sent: Option<String>,
    /// Whether the job is known to exist.
    has_job: bool,
}

/// Whether an interrupted run left a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// No job was created.
    Nothing,
    /// A job may still be created: the command that creates it is in flight, or on a queue that cannot be searched.
    Unknown,
    /// The job exists.
    Job,
}

/// A step that the runner plans to run.
#[derive(Debug, Clone)]
struct Planned {
    step_id: String,
    correlation_id: String,
    /// The identities of the Results that the step has already.
    results: HashSet<String>,
    /// The number of this attempt, from 1: one more than the number of final Results.
    attempt: usize,
    /// The step succeeded before and is not requested again.
    is_done: bool,
    is_wanted: bool,
}

impl<'a> Runner<'a> {
    /// Creates a runner of `pipeline`.
    pub fn new(pudato: &'a Installation, pipeline: &'a Pipeline) -> Self {
        Self {
            pudato,
            pipeline,
            creating: Mutex::default(),
        }
    }

    fn creating(&self) -> MutexGuard<'_, Creating> {
        self.creating.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Withdraws the commands that create the job and its steps, if no worker has received them yet: they would later create a job that
    /// nobody runs. Call this after [`Runner::run`] failed or was dropped.
    pub async fn withdraw(&self) -> Begun {
        let (sent, has_job) = {
            let mut creating = self.creating();
            (creating.sent.take(), creating.has_job)
        };
        let is_gone = match &sent {
            None => true,
            Some(id) => self.take_back(id).await.unwrap_or(false),
        };
        match (has_job, is_gone) {
            (true, _) => Begun::Job,
            (false, true) => Begun::Nothing,
            (false, false) => Begun::Unknown,
        }
    }

    /// Removes a command to the registry from its queue. Returns false if a worker has received it already.
    async fn take_back(&self, correlation_id: &str) -> Result<bool, Error> {
        let operations = &self.pudato.fabric.operations;
        let queue = self.pudato.names.queue("registry");
        let found = operations.find("correlation_id", correlation_id).await?;
        let ids: Vec<String> = found
            .into_iter()
            .filter(|stored| stored.queue == queue && stored.receive_count == 0)
            .map(|stored| stored.message_id)
            .collect();
        Ok(!ids.is_empty() && operations.purge(&queue, Some(&ids)).await? > 0)
    }

    /// Runs the pipeline to its end. If the future is dropped, [`Resume`] can continue the job: steps that were sent are not sent again.
    ///
    /// # Errors
    /// The job cannot be created or found, or the fabric cannot be reached. A failed step is not an error: see [`Outcome`].
    pub async fn run(
        &self,
        resume: Resume,
        progress: &mut dyn Progress,
    ) -> Result<Outcome, CallError> {
        let wanted = match resume.from {
            Some(from) => self.pipeline.after(from),
            None => vec![true; self.pipeline.steps.len()],
        };
        let (job_id, planned) = match resume.job_id {
            None => {
                let job_id = new_job_id();
                progress.job(&job_id);
                let planned = self.create(&job_id, &wanted).await?;
                (job_id, planned)
            }
            Some(job_id) => {
                let planned = self.find(&job_id, &wanted, resume.from.is_some()).await?;
                progress.job(&job_id);
                (job_id, planned)
            }
        };
        let steps = self.steps(&job_id, planned, progress).await?;
        Ok(Outcome { job_id, steps })
    }

    /// Creates the job and its steps.
    async fn create(&self, job_id: &str, wanted: &[bool]) -> Result<Vec<Planned>, CallError> {
        let count = wanted.iter().filter(|wanted| **wanted).count();
        self.registry(
            "create_job",
            json!({
                "job_id": job_id, "pipeline": self.pipeline.name, "environment": self.pipeline.environment,
                "expected_steps": count,
            }),
        )
        .await?;
        self.creating().has_job = true;
        let mut planned = Vec::with_capacity(wanted.len());
        for (step, wanted) in self.pipeline.steps.iter().zip(wanted) {
            let correlation_id = Command::new("", "", Object::new()).correlation_id;
            let step_id = match wanted {
                true => self.add(job_id, None, step, &correlation_id).await?,
                false => String::new(),
            };
            planned.push(Planned {
                step_id,
                correlation_id,
                results: HashSet::new(),
                attempt: 1,
                is_done: false,
                is_wanted: *wanted,
            });
        }
        Ok(planned)
    }

    async fn add(
        &self,
        job_id: &str,
        step_id: Option<&str>,
        step: &super::Step,
        correlation_id: &str,
    ) -> Result<String, CallError> {
        let added = self
            .registry(
                "add_step",
                json!({
                    "job_id": job_id, "step_id": step_id, "step_name": step.name, "handler_type": step.r#type,
                    "action": step.action, "correlation_id": correlation_id,
                }),
            )
            .await?;
        Ok(text(&added, "step_id"))
    }

    /// Finds the job's steps by name, with the state of each.
    async fn find(
        &self,
        job_id: &str,
        wanted: &[bool],
        again: bool,
    ) -> Result<Vec<Planned>, CallError> {
        let unavailable = |error: pudato_registry::Error| CallError::Unavailable(error.to_string());
        let registry = &self.pudato.registry;
        let Some(job) = registry.get_job(job_id).await.map_err(unavailable)? else {
            return Err(CallError::Refused(format!(
                "there is no job {job_id:?}; `pudato job list` lists the jobs"
            )));
        };
        if job.pipeline.as_deref() != Some(self.pipeline.name.as_str()) {
            let found = job.pipeline.unwrap_or_default();
            let what = format!(
                "job {job_id} is of the pipeline {found:?}, the file is {:?}",
                self.pipeline.name
            );
            return Err(CallError::Refused(what));
        }
        self.creating().has_job = true;
        let known = standing(
            async || registry.get_job_steps(job_id).await,
            async |id: &str| registry.results_of(id).await,
        );
        let mut known = known.await.map_err(unavailable)?;
        let mut planned = Vec::with_capacity(wanted.len());
        for (step, wanted) in self.pipeline.steps.iter().zip(wanted) {
            let found = known
                .iter_mut()
                .find(|(known, _)| known.step_name.as_deref() == Some(step.name.as_str()));
            let new_id = || Command::new("", "", Object::new()).correlation_id;
            let (step_id, correlation_id, status, results) = match found {
                Some((found, results)) => {
                    let is_same = found.correlation_id.is_some()
                        && found.handler_type.as_ref() == Some(&step.r#type)
                        && found.action.as_ref() == Some(&step.action);
                    let id = found.correlation_id.clone().unwrap_or_else(new_id);
                    // Results count for a step only if they agree with its declaration, and the file may have changed since.
                    if *wanted && !is_same {
                        self.add(job_id, Some(&found.step_id), step, &id).await?;
                    }
                    (
                        found.step_id.clone(),
                        id,
                        found.status,
                        std::mem::take(results),
                    )
                }
                // The job does not know this step of the file: it was added later, or the creation of the job was interrupted.
                None if *wanted => {
                    let id = new_id();
                    let step_id = self.add(job_id, None, step, &id).await?;
                    (step_id, id, StepStatus::Pending, Vec::new())
                }
                None => (
                    String::new(),
                    String::new(),
                    StepStatus::Skipped,
                    Vec::new(),
                ),
            };
            let is_final = |body: &str| {
                let result: Option<Reply> = decode_claim(body.as_bytes()).ok();
                result.is_some_and(|result| result.status != Status::Pending)
            };
            let succeeded = status == StepStatus::Success;
            planned.push(Planned {
                step_id,
                correlation_id,
                attempt: 1 + results
                    .iter()
                    .filter(|stored| stored.mismatch.is_none() && is_final(&stored.body))
                    .count(),
                results: results.into_iter().map(|stored| stored.identity).collect(),
                is_done: succeeded && !(again && *wanted),
                is_wanted: *wanted,
            });
        }
        Ok(planned)
    }

    /// Sends each step as soon as it may run, and waits for all of them.
    async fn steps(
        &self,
        job_id: &str,
        planned: Vec<Planned>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<StepOutcome>, CallError> {
        let mut ends: Vec<Option<StepOutcome>> = vec![None; planned.len()];
        let mut waiting = FuturesUnordered::new();
        let (tell, mut told) = mpsc::unbounded_channel();
        let mut is_sent = vec![false; planned.len()];
        loop {
            for n in self.pipeline.order() {
                if ends[n].is_some() || is_sent[n] || !planned[n].is_wanted {
                    continue;
                }
                let needs = &self.pipeline.steps[n].needs;
                let is_met = |need: &usize| {
                    let end = ends[*need].as_ref().map(|end| end.end);
                    // A step that is not requested keeps its state.
                    !planned[*need].is_wanted
                        || matches!(end, Some(StepEnd::Success | StepEnd::Before))
                };
                let is_lost = needs
                    .iter()
                    .find(|need| ends[**need].is_some() && !is_met(need));
                if planned[n].is_done {
                    ends[n] = Some(self.end(n, &planned[n], StepEnd::Before, None, None, progress));
                } else if let Some(lost) = is_lost {
                    let why = format!(
                        "it needs {}, which did not succeed",
                        self.pipeline.steps[*lost].name
                    );
                    self.skip(job_id, &planned[n], &why).await?;
                    ends[n] =
                        Some(self.end(n, &planned[n], StepEnd::Skipped, None, Some(why), progress));
                } else if needs.iter().all(is_met) {
                    self.send(job_id, n, &planned[n]).await?;
                    progress.sent(n);
                    is_sent[n] = true;
                    waiting.push(self.wait(n, &planned[n], tell.clone()));
                }
            }
            let (n, result) = tokio::select! {
                biased;
                Some((n, data)) = told.recv() => {
                    progress.pending(n, &data);
                    continue;
                }
                ended = waiting.next() => match ended {
                    Some(ended) => ended,
                    None => break,
                },
            };
            let (end, result, error) = match result {
                Ok(result) if result.status == Status::Success => {
                    (StepEnd::Success, Some(result), None)
                }
                Ok(result) => {
                    let error = result.errors.join("; ");
                    (StepEnd::Failed, Some(result), Some(error))
                }
                Err(CallError::TimedOut(why)) => (StepEnd::TimedOut, None, Some(why)),
                Err(error) => return Err(error),
            };
            ends[n] = Some(self.end(n, &planned[n], end, result, error, progress));
        }
        Ok(ends.into_iter().flatten().collect())
    }

    fn end(
        &self,
        position: usize,
        planned: &Planned,
        end: StepEnd,
        result: Option<Reply>,
        error: Option<String>,
        progress: &mut dyn Progress,
    ) -> StepOutcome {
        let outcome = StepOutcome {
            position,
            step_id: planned.step_id.clone(),
            end,
            result,
            error,
        };
        progress.ended(&outcome);
        outcome
    }

    /// Sends a step. The same attempt has the same key, so that a command that was sent before an interruption runs once.
    async fn send(&self, job_id: &str, n: usize, planned: &Planned) -> Result<(), CallError> {
        let step = &self.pipeline.steps[n];
        let mut command = Command::new(&step.r#type, &step.action, step.payload.clone());
        command.correlation_id.clone_from(&planned.correlation_id);
        command.job_id = Some(job_id.to_owned());
        command.step_id = Some(planned.step_id.clone());
        let key = format!("{}/{}", planned.step_id, planned.attempt);
        command
            .metadata
            .insert("idempotency_key".into(), key.into());
        command
            .metadata
            .insert("source".into(), "pudato run".into());
        Client::new(self.pudato).publish(&command).await.map(|_| ())
    }

    /// Waits for the step's Result. Its progress goes to `tell`.
    async fn wait(
        &self,
        n: usize,
        planned: &Planned,
        tell: mpsc::UnboundedSender<(usize, Object)>,
    ) -> (usize, Result<Reply, CallError>) {
        let mut pending = |result: &Reply| {
            let _ = tell.send((n, result.data.clone().unwrap_or_default()));
        };
        let timeout = self.pipeline.steps[n].timeout;
        let client = Client::new(self.pudato);
        let watched = client.watch(
            (&self.pipeline.steps[n].r#type, &planned.correlation_id),
            &planned.step_id,
            planned.results.clone(),
            timeout,
            &mut pending,
        );
        (n, watched.await)
    }

    async fn skip(&self, job_id: &str, planned: &Planned, why: &str) -> Result<(), CallError> {
        let update = json!({
            "job_id": job_id, "step_id": planned.step_id, "status": "skipped", "error": why,
        });
        self.registry("update_step", update).await.map(|_| ())
    }

    /// Uses the registry through its service, so that permission to send Commands is enough to run a pipeline.
    async fn registry(&self, action: &str, payload: Value) -> Result<Object, CallError> {
        let payload = match payload {
            Value::Object(payload) => payload,
            _ => Object::new(),
        };
        let command = Command::new("registry", action, payload);
        let client = Client::new(self.pudato);
        let listener = client.look(&command.correlation_id).await?;
        let mut listener = listener.awaits(&command.r#type);
        // Noted before sending: a caller that is interrupted in between withdraws a command that does not exist, which is harmless.
        self.creating().sent = Some(command.correlation_id.clone());
        client.publish(&command).await?;
        let mut pending = |_: &Reply| {};
        let heard = client.hear(&mut listener, CREATE_TIMEOUT, &mut pending);
        let result = heard.await?;
        self.creating().sent = None;
        match (result.status, result.data) {
            (Status::Success, Some(data)) => Ok(data),
            _ => Err(CallError::Refused(format!(
                "registry {action}: {}",
                result.errors.join("; ")
            ))),
        }
    }
}

/// An id in the registry's format, created here so that it can be shown before the registry answers.
fn new_job_id() -> String {
    let id = Command::new("", "", Object::new()).correlation_id;
    let id: String = id.chars().filter(|c| *c != '-').take(12).collect();
    format!("job-{id}")
}

fn text(object: &Object, name: &str) -> String {
    let text = object.get(name).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}
