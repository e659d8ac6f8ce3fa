//! `pudato job`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use pudato_runtime::protocol::Timestamp;
use pudato_runtime::registry::{JobFilter, JobStatus, Step};
use serde_json::json;

/// List jobs, or show a job with its steps.
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
        /// Maximum number of jobs to show
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
        let hint = "`pudato job list` lists the jobs";
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
    if job.undeclared_steps > 0 {
        output::line(&format!(
            "steps that name this job but are not among the {} that it declared: {}; add_step adds a step to the job",
            output::thousands(job.expected_steps.unwrap_or_default()),
            output::thousands(job.undeclared_steps)
        ))?;
    }
    let times = Times::of(&steps);
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
            let milliseconds = step.duration_ms.map_or("-".into(), |ms| format!("{ms} ms"));
            vec![
                text(&step.step_name),
                step.step_id.clone(),
                text(&step.handler_type),
                text(&step.action),
                step.status.as_str().into(),
                times.bar(step),
                milliseconds,
                step.inputs.len().to_string(),
                step.outputs.len().to_string(),
                step.error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let when = times.head();
    let head = [
        "NAME", "STEP", "HANDLER", "ACTION", "STATUS", &when, "TOOK", "READ", "WROTE", "ERROR",
    ];
    output::table(&head, &rows)?;
    for step in steps.iter().filter(|step| step.mismatches.count > 0) {
        let latest = step.mismatches.latest.first();
        let latest = latest.map_or("?", |claim| claim.correlation_id.as_str());
        output::line(&format!(
            "{}: {} Results name this step but do not belong to it, and were not applied; see the latest with `pudato trace {latest}`",
            step.step_id, step.mismatches.count
        ))?;
    }
    Ok(())
}

/// The width of the drawn time line, in characters.
const WIDTH: u64 = 24;

/// Draws when the steps of a job ran, one line each.
struct Times {
    first_ms: u64,
    last_ms: u64,
}

impl Times {
    fn of(steps: &[Step]) -> Self {
        let spans = || steps.iter().filter_map(span);
        let first_ms = spans().map(|(begin, _)| begin).min().unwrap_or(0);
        let last_ms = spans().map(|(_, end)| end).max().unwrap_or(0);
        Self { first_ms, last_ms }
    }

    fn total_ms(&self) -> u64 {
        (self.last_ms - self.first_ms).max(1)
    }

    fn head(&self) -> String {
        let total = format!("{} ms", output::thousands(self.total_ms()));
        format!("0{total:>width$}", width = WIDTH as usize - 1)
    }

    /// At least one mark, however short the step was.
    fn bar(&self, step: &Step) -> String {
        let Some((begin, end)) = span(step) else {
            return "·".repeat(WIDTH as usize);
        };
        let place = |ms: u64| (ms - self.first_ms) * WIDTH / self.total_ms();
        let from = place(begin).min(WIDTH - 1);
        let to = place(end).clamp(from + 1, WIDTH);
        let marks = (0..WIDTH).map(|n| if (from..to).contains(&n) { '█' } else { '·' });
        marks.collect()
    }
}

/// The start and the end of a step, in milliseconds since the Unix epoch.
fn span(step: &Step) -> Option<(u64, u64)> {
    let end = Timestamp::parse(step.completed_at.as_deref()?).ok()?;
    let end_ms = u64::try_from(end.instant().unix_timestamp_nanos() / 1_000_000).ok()?;
    let took_ms = step.duration_ms?;
    Some((end_ms.saturating_sub(took_ms), end_ms))
}
