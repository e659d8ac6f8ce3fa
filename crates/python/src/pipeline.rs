//! Pipelines.

use crate::client::look;
use crate::errors::{self, RefusedError};
use crate::installation::Installation;
use crate::task::{Made, Shared, Task, cancelled, made};
use pudato_protocol::Object;
use pudato_runtime::Installation as Opened;
use pudato_runtime::drawing::how_far;
use pudato_runtime::pipeline::{
    Begun, Files, Outcome, Pipeline, Progress, Resume, Runner, StepOutcome,
};
use pyo3::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

#[pymethods]
impl Installation {
    /// Runs a pipeline. The task reports `progress` as JSON, and `waiting` as `call` does. It returns the outcome as JSON.
    #[pyo3(signature = (file, *, resume, from_step, allow_files_outside))]
    fn run(
        &self,
        file: PathBuf,
        resume: Option<String>,
        from_step: Option<String>,
        allow_files_outside: bool,
    ) -> PyResult<Task> {
        let opened = Arc::clone(&self.opened);
        let asked = Asked {
            file,
            resume,
            from_step,
            allow_files_outside,
        };
        Task::start_with(move |shared| async move {
            // A run is not `Send`, so it needs its own thread.
            let executor = tokio::runtime::Handle::current();
            let run = tokio::task::spawn_blocking(move || {
                executor.block_on(async { asked.run(opened, &shared).await })
            });
            run.await.map_err(errors::lost)?
        })
    }
}

/// Starts or resumes the requested run.
struct Asked {
    file: PathBuf,
    resume: Option<String>,
    from_step: Option<String>,
    allow_files_outside: bool,
}

impl Asked {
    async fn run(self, opened: Arc<Opened>, shared: &Shared) -> PyResult<Made> {
        let files = Files {
            outside: self.allow_files_outside,
            bytes_max: opened.settings().claim_bytes_max,
        };
        let pipeline = Pipeline::read(&self.file, files);
        let pipeline = pipeline.map_err(|error| RefusedError::new_err(error.to_string()))?;
        let from = self.from_step.map(|name| position(&pipeline, &name));
        let resume = Resume {
            job_id: self.resume,
            from: from.transpose()?,
        };
        let runner = Runner::new(&opened, &pipeline);
        let wanted = match resume.from {
            Some(from) => pipeline.after(from).into_iter().filter(|is| *is).count(),
            None => pipeline.steps.len(),
        };
        let mut told = Told::new(&pipeline, wanted, shared);
        let services = pipeline.steps.iter().map(|step| &*step.r#type);
        let services: BTreeSet<&str> = services.chain(["registry"]).collect();
        let job = Arc::clone(&told.job);
        let outcome = tokio::select! {
            biased;
            () = shared.stopped() => None,
            outcome = runner.run(resume, &mut told) => Some(outcome),
            () = look(&opened, &services, shared) => None,
        };
        match outcome {
            Some(Ok(outcome)) => made(as_json(&pipeline, &outcome).to_string()),
            Some(Err(error)) => {
                let begun = runner.withdraw().await;
                let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
                Err(errors::call(error.with(&left(job, begun))))
            }
            None => {
                runner.withdraw().await;
                Err(cancelled())
            }
        }
    }
}

fn position(pipeline: &Pipeline, name: &str) -> PyResult<usize> {
    pipeline.position(name).ok_or_else(|| {
        let names = pipeline.steps.iter().map(|step| step.name.as_str());
        let names = names.collect::<Vec<_>>().join(", ");
        errors::field(
            "from_step",
            &format!("expected one of {names}, found {name:?}"),
        )
    })
}

/// Describes the state that an interrupted run left behind.
fn left(job: Option<String>, begun: Begun) -> String {
    match (job, begun) {
        (None, _) | (_, Begun::Nothing) => "no job was created".into(),
        (Some(job), Begun::Unknown) => format!("it is not known yet whether {job} was created"),
        (Some(job), Begun::Job) => {
            format!("commands that have already been sent still run; continue with resume={job:?}")
        }
    }
}

/// Reports the progress of a pipeline.
struct Told<'a> {
    pipeline: &'a Pipeline,
    /// The number of selected steps.
    wanted: usize,
    shared: &'a Shared,
    job: Arc<Mutex<Option<String>>>,
}

impl<'a> Told<'a> {
    fn new(pipeline: &'a Pipeline, wanted: usize, shared: &'a Shared) -> Self {
        let job = Arc::default();
        Self {
            pipeline,
            wanted,
            shared,
            job,
        }
    }

    fn tell(&self, position: Option<usize>, state: &str, more: Value) {
        let job = self
            .job
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let step = position.map(|position| &self.pipeline.steps[position].name);
        let told = json!({
            "job_id": job, "pipeline": self.pipeline.name, "steps": self.wanted,
            "step": step, "state": state, "more": more,
        });
        self.shared.tell("progress", told.to_string());
    }
}

impl Progress for Told<'_> {
    fn job(&mut self, job_id: &str) {
        *self.job.lock().unwrap_or_else(PoisonError::into_inner) = Some(job_id.to_owned());
        self.tell(None, "job", Value::Null);
    }

    fn sent(&mut self, position: usize) {
        self.tell(Some(position), "sent", Value::Null);
    }

    fn pending(&mut self, position: usize, data: &Object) {
        let more = json!({"data": data, "text": how_far(data)});
        self.tell(Some(position), "pending", more);
    }

    fn ended(&mut self, outcome: &StepOutcome) {
        let took = outcome.result.as_ref().map(|result| result.duration_ms);
        let more = json!({"error": outcome.error, "duration_ms": took});
        self.tell(Some(outcome.position), outcome.end.name(), more);
    }
}

fn as_json(pipeline: &Pipeline, outcome: &Outcome) -> Value {
    let steps = outcome.steps.iter().map(|step| {
        json!({
            "name": pipeline.steps[step.position].name, "step_id": step.step_id, "status": step.end.name(),
            "result": step.result, "error": step.error,
        })
    });
    json!({
        "job_id": outcome.job_id, "pipeline": pipeline.name, "environment": pipeline.environment,
        "steps": steps.collect::<Vec<_>>(),
    })
}
