//! `pudato job`.

use crate::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::registry::{JobFilter, JobStatus};
use serde_json::json;

/// Look at jobs and their steps.
#[derive(clap::Subcommand)]
pub enum Job {
    /// List jobs, the newest first
    #[command(after_help = "Example:\n  pudato job list --status failed")]
    List {
        /// Only jobs of this pipeline
        #[arg(long)]
        pipeline: Option<String>,
        /// Only jobs in this environment
        #[arg(long)]
        environment: Option<String>,
        /// Only jobs that are pending, running, success, failed or cancelled
        #[arg(long, value_parser = parse_status)]
        status: Option<JobStatus>,
        /// Most jobs to show
        #[arg(long, default_value_t = 20)]
        limit: u64,
    },
    /// Show a job and its steps
    #[command(after_help = "Example:\n  pudato job show job-0123456789ab")]
    Show {
        /// The job's id
        job_id: String,
    },
}

fn parse_status(text: &str) -> Result<JobStatus, String> {
    JobStatus::parse(text)
        .ok_or_else(|| "expected pending, running, success, failed or cancelled".into())
}

impl Job {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List {
                pipeline,
                environment,
                status,
                limit,
            } => {
                let filter = JobFilter {
                    pipeline: pipeline.clone(),
                    environment: environment.clone(),
                    status: *status,
                    limit: *limit,
                    ..JobFilter::default()
                };
                list(context, filter).await
            }
            Self::Show { job_id } => show(context, job_id).await,
        }
    }
}

async fn list(context: &Context, filter: JobFilter) -> Result<(), Failure> {
    let pudato = context.open().await?;
    let jobs = pudato.registry.query_jobs(filter).await?;
    if context.json {
        return output::json(&json!({"count": jobs.len(), "jobs": jobs}));
    }
    let rows: Vec<Vec<String>> = jobs
        .iter()
        .map(|job| {
            vec![
                job.job_id.clone(),
                job.pipeline.clone().unwrap_or_else(|| "-".into()),
                job.environment.clone().unwrap_or_else(|| "-".into()),
                job.status.as_str().into(),
                output::time(&job.created_at),
            ]
        })
        .collect();
    let head = ["JOB", "PIPELINE", "ENVIRONMENT", "STATUS", "CREATED (UTC)"];
    output::table(&head, &rows)
}

async fn show(context: &Context, job_id: &str) -> Result<(), Failure> {
    let pudato = context.open().await?;
    let Some(job) = pudato.registry.get_job(job_id).await? else {
        let hint = "`pudato job list` shows those there are";
        return Err(Failure::failed(format!(
            "there is no job {job_id:?}; {hint}"
        )));
    };
    let steps = pudato.registry.get_job_steps(job_id).await?;
    if context.json {
        return output::json(&json!({"job": job, "steps": steps}));
    }
    let pipeline = job.pipeline.as_deref().unwrap_or("-");
    let environment = job.environment.as_deref().unwrap_or("-");
    output::line(&format!(
        "{job_id}  {pipeline}  {environment}  {}  created {} UTC",
        job.status.as_str(),
        output::time(&job.created_at)
    ))?;
    if let Some(error) = &job.error {
        output::line(&format!("error: {error}"))?;
    }
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
            let milliseconds = step.duration_ms.map_or("-".into(), |ms| format!("{ms} ms"));
            vec![
                step.step_id.clone(),
                text(&step.step_name),
                text(&step.handler_type),
                text(&step.action),
                step.status.as_str().into(),
                milliseconds,
                step.inputs.len().to_string(),
                step.outputs.len().to_string(),
                step.error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let head = [
        "STEP", "NAME", "HANDLER", "ACTION", "STATUS", "TOOK", "READ", "WROTE", "ERROR",
    ];
    output::table(&head, &rows)
}
