//! `pudato run`.

use crate::context::Context;
use crate::exit::{self, Failure};
use crate::progress::Shown;
use crate::{answer, no_worker, output};
use pudato_runtime::Installation;
use pudato_runtime::pipeline::{
    Begun, Files, Outcome, Pipeline, Resume, Runner, StepEnd, StepOutcome,
};
use pudato_runtime::protocol::{DataReference, Result as Reply};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Run a pipeline as a job: a step starts when the steps that it needs have succeeded, and independent steps run in parallel.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  pudato run pipeline.yaml --dry-run
  pudato run pipeline.yaml
  pudato run pipeline.yaml --resume job-0123456789ab
  pudato run pipeline.yaml --from stage")]
pub struct Run {
    /// The pipeline file
    pipeline: PathBuf,
    /// Check the file and show what would be sent; send nothing
    #[arg(long)]
    dry_run: bool,
    /// Continue this job; do not repeat steps that succeeded
    #[arg(long, value_name = "JOB")]
    resume: Option<String>,
    /// Run only this step and the steps that need it
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// Let the pipeline read files outside its own folder
    #[arg(long)]
    allow_files_outside: bool,
}

impl Run {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let files = Files {
            outside: self.allow_files_outside,
            bytes_max: context.settings.claim_bytes_max,
        };
        let pipeline = Pipeline::read(&self.pipeline, files)
            .map_err(|error| Failure::usage(error.to_string()))?;
        let from = match &self.from {
            None => None,
            Some(name) => Some(pipeline.position(name).ok_or_else(|| {
                let names: Vec<&str> = pipeline
                    .steps
                    .iter()
                    .map(|step| step.name.as_str())
                    .collect();
                Failure::usage(format!(
                    "--from: expected one of {}, found {name:?}",
                    names.join(", ")
                ))
            })?),
        };
        if self.dry_run {
            let others = pipeline.check(&self.pipeline);
            for step in others.map_err(|error| Failure::usage(error.to_string()))? {
                let (name, service) = (&step.name, &step.r#type);
                let what = format!(
                    "step {name}: {service} is not one of pudato's own services; its action and payload are not checked"
                );
                eprintln!("pudato: {}", output::told(&what));
            }
            return plan(context, &pipeline, from);
        }
        let pudato = context.open().await?;
        check_services(&pudato, &pipeline).await?;
        let job = Arc::new(Mutex::new(None));
        let mut shown = Shown::new(&pipeline, Arc::clone(&job));
        let resume = Resume {
            job_id: self.resume.clone(),
            from,
        };
        let runner = Runner::new(&pudato, &pipeline);
        let mut services: BTreeSet<&str> =
            pipeline.steps.iter().map(|step| &*step.r#type).collect();
        services.insert("registry");
        let outcome = tokio::select! {
            biased;
            outcome = runner.run(resume, &mut shown) => Some(outcome),
            _ = tokio::signal::ctrl_c() => None,
            never = no_worker::warn(&pudato, &services, context.json) => match never {},
        };
        match outcome {
            Some(Ok(outcome)) => self.report(context, &pipeline, &outcome),
            Some(Err(error)) => {
                let begun = runner.withdraw().await;
                let has_id = job.lock().unwrap_or_else(PoisonError::into_inner).is_some();
                let failure = Failure::from(error);
                Err(match has_id {
                    true => failure.with(&self.left(&job, begun)),
                    false => failure,
                })
            }
            None => {
                let begun = runner.withdraw().await;
                let left = self.left(&job, begun);
                Err(Failure::interrupted_with(format!("interrupted; {left}")))
            }
        }
    }

    /// The state that an interrupted run left behind, and how to continue.
    fn left(&self, job: &Mutex<Option<String>>, begun: Begun) -> String {
        let job = job.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let file = self.pipeline.display();
        match (job, begun) {
            (None, _) | (Some(_), Begun::Nothing) => "no job was created".into(),
            (Some(job), Begun::Unknown) => {
                format!(
                    "pudato does not know yet whether {job} was created: see `pudato job show {job}`"
                )
            }
            (Some(job), Begun::Job) => format!(
                "commands that were already sent still run. To continue: pudato run {file} --resume {job}"
            ),
        }
    }

    fn report(
        &self,
        context: &Context,
        pipeline: &Pipeline,
        outcome: &Outcome,
    ) -> Result<(), Failure> {
        if context.json {
            output::json(&as_json(pipeline, outcome))?;
        } else {
            table(pipeline, outcome)?;
            answers(pipeline, outcome)?;
        }
        let is_end = |end: StepEnd| outcome.steps.iter().any(|step| step.end == end);
        let (job, file) = (&outcome.job_id, self.pipeline.display());
        let resume = format!("Fix the cause, then: pudato run {file} --resume {job}");
        if is_end(StepEnd::Failed) || is_end(StepEnd::Skipped) && !is_end(StepEnd::TimedOut) {
            return Err(Failure::failed(format!("{job} failed. {resume}")));
        }
        if is_end(StepEnd::TimedOut) {
            let late = outcome
                .steps
                .iter()
                .filter(|step| step.end == StepEnd::TimedOut);
            let late: Vec<String> = late
                .map(|step| {
                    let name = &pipeline.steps[step.position].name;
                    format!("{name}: {}", step.error.as_deref().unwrap_or_default())
                })
                .collect();
            let late = late.join("\n        ");
            return Err(Failure::new(
                exit::TIMED_OUT,
                format!(
                    "{job}: a Result did not come in time, but may still come. To continue: pudato run {file} --resume {job}\n        {late}"
                ),
            ));
        }
        Ok(())
    }
}

/// A step whose type has no handler would wait forever.
async fn check_services(pudato: &Installation, pipeline: &Pipeline) -> Result<(), Failure> {
    for step in &pipeline.steps {
        if !pudato.knows(&step.r#type).await {
            return Err(Failure::usage(format!(
                "step {}: type: expected one of {}, found {:?}; if it is a service of your own, start its program, which declares its topic",
                step.name,
                pudato.services().join(", "),
                step.r#type
            )));
        }
    }
    Ok(())
}

fn plan(context: &Context, pipeline: &Pipeline, from: Option<usize>) -> Result<(), Failure> {
    let wanted = match from {
        Some(from) => pipeline.after(from),
        None => vec![true; pipeline.steps.len()],
    };
    let order: Vec<usize> = pipeline
        .order()
        .into_iter()
        .filter(|n| wanted[*n])
        .collect();
    let needs = |n: usize| {
        let needs = pipeline.steps[n].needs.iter();
        needs
            .map(|need| pipeline.steps[*need].name.clone())
            .collect::<Vec<_>>()
    };
    if context.json {
        let steps = order.iter().map(|n| {
            let step = &pipeline.steps[*n];
            json!({
                "name": step.name, "needs": needs(*n), "type": step.r#type, "action": step.action,
                "payload": step.payload, "timeout_seconds": step.timeout.as_secs(),
            })
        });
        let steps: Vec<Value> = steps.collect();
        return output::json(&json!({
            "pipeline": pipeline.name, "environment": pipeline.environment, "steps": steps,
        }));
    }
    output::line(&format!(
        "{}  {}  {} steps; dry run, nothing is sent",
        pipeline.name,
        pipeline.environment,
        order.len()
    ))?;
    let rows = order.iter().map(|n| {
        let step = &pipeline.steps[*n];
        let bytes = json!(step.payload).to_string().len() as u64;
        vec![
            step.name.clone(),
            step.r#type.clone(),
            step.action.clone(),
            match needs(*n) {
                needs if needs.is_empty() => "-".into(),
                needs => needs.join(", "),
            },
            format!("{} B", output::thousands(bytes)),
            match step.files.join(", ") {
                files if files.is_empty() => "-".into(),
                files => files,
            },
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    output::table(
        &["STEP", "TYPE", "ACTION", "NEEDS", "PAYLOAD", "FILES"],
        &rows,
    )
}

fn table(pipeline: &Pipeline, outcome: &Outcome) -> Result<(), Failure> {
    let rows = outcome.steps.iter().map(|step| {
        let result = step.result.as_ref();
        let count = |count: Option<usize>| count.map_or("-".into(), |count| count.to_string());
        vec![
            pipeline.steps[step.position].name.clone(),
            step.end.name().into(),
            result.map_or("-".into(), |result| {
                format!("{} ms", output::thousands(result.duration_ms))
            }),
            count(result.map(|result| result.inputs.len())),
            count(result.map(|result| result.outputs.len())),
            result
                .and_then(|result| rows_written(&result.outputs))
                .map_or("-".into(), output::thousands),
            step.error
                .clone()
                .unwrap_or_default()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    output::line(&format!(
        "\n{}  {}  {}",
        outcome.job_id, pipeline.name, pipeline.environment
    ))?;
    output::table(
        &["STEP", "STATUS", "TOOK", "READ", "WROTE", "ROWS", "ERROR"],
        &rows,
    )
}

/// The number of rows written or changed in all outputs together; `None` if it is unknown for one of them. A view has none.
fn rows_written(outputs: &[DataReference]) -> Option<u64> {
    let tables = outputs.iter().filter(|output| output.ref_type != "view");
    let written = tables.map(|output| {
        let count = |name: &str| output.metadata.get(name).and_then(Value::as_u64);
        match output.metadata.get("operation").and_then(Value::as_str) {
            None | Some("create" | "overwrite" | "replace") => count("row_count"),
            Some("alter" | "rename") => Some(0),
            Some(_) => count("rows_changed"),
        }
    });
    let written = written.collect::<Option<Vec<u64>>>()?;
    written.into_iter().reduce(|a, b| a + b)
}

/// Prints the answers of the last queries: those that no other step needs.
fn answers(pipeline: &Pipeline, outcome: &Outcome) -> Result<(), Failure> {
    let is_last = |n: usize| !pipeline.steps.iter().any(|step| step.needs.contains(&n));
    for step in outcome.steps.iter().filter(|step| is_last(step.position)) {
        let result = step.result.as_ref().filter(|result| is_query(result));
        let data = result.and_then(|result| result.data.as_ref());
        if let Some(lines) = data.and_then(answer::table) {
            output::line(&format!("\n{}", pipeline.steps[step.position].name))?;
            output::line(&lines.join("\n"))?;
        }
    }
    Ok(())
}

/// Whether the last statement returned rows, as opposed to only changing some.
fn is_query(result: &Reply) -> bool {
    let mut statements = result
        .executions
        .iter()
        .filter(|record| record.execution_type == "sql");
    let last = statements
        .next_back()
        .and_then(|record| record.details.get("kind"));
    last.is_none_or(|kind| ["select", "show", "explain"].iter().any(|own| kind == own))
}

fn as_json(pipeline: &Pipeline, outcome: &Outcome) -> Value {
    let step = |step: &StepOutcome| {
        let result = step.result.as_ref();
        json!({
            "name": pipeline.steps[step.position].name,
            "step_id": step.step_id,
            "status": step.end.name(),
            "duration_ms": result.map(|result| result.duration_ms),
            "data": result.and_then(|result| result.data.clone()),
            "error": step.error,
        })
    };
    let steps: Vec<Value> = outcome.steps.iter().map(step).collect();
    json!({
        "job_id": outcome.job_id, "pipeline": pipeline.name, "environment": pipeline.environment, "steps": steps,
    })
}
