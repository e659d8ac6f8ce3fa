//! `pudato publish` and `pudato call`.

use crate::Context;
use crate::exit::{self, Failure};
use crate::progress::how_far;
use crate::{nobody, output, payload};
use pudato_runtime::Client;
use pudato_runtime::protocol::{Command, Result as Reply, Status, encode};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(clap::Args)]
struct What {
    /// The service: storage, query, transform, registry, or your own
    service: String,
    /// The action, e.g. put_object
    action: String,
    /// Fields of the payload: key=text, key=@file (the contents of a regular file), key:=json
    #[arg(value_name = "KEY=VALUE")]
    fields: Vec<String>,
    /// The payload as a JSON object, or @file
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// The registry job of the command
    #[arg(long, value_name = "ID")]
    job: Option<String>,
    /// The registry step of the command; without a step, pudato records no lineage
    #[arg(long, value_name = "ID")]
    step: Option<String>,
    /// The id that ties all messages of this request together [default: a new UUID]
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Commands with the same key and payload take effect once. A key belongs to the job (--job), otherwise to the user or source (--metadata)
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// A field of the command's metadata
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Vec<String>,
}

impl What {
    fn command(&self, context: &Context) -> Result<Command, Failure> {
        let bytes_max = context.settings.claim_bytes_max;
        let fields = payload::read(self.payload.as_deref(), &self.fields, bytes_max)?;
        let mut command = Command::new(&self.service, &self.action, fields);
        if let Some(id) = &self.correlation_id {
            command.correlation_id.clone_from(id);
        }
        command.job_id.clone_from(&self.job);
        command.step_id.clone_from(&self.step);
        command.metadata = payload::read(None, &self.metadata, bytes_max)?;
        if let Some(key) = &self.idempotency_key {
            let key = key.as_str().into();
            command.metadata.insert("idempotency_key".into(), key);
        }
        Ok(command)
    }
}

/// Publish a command and return at once; prints its correlation id. With --lines, publish many.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  pudato publish storage head_object container=lake path=a.csv
  pudato publish --lines commands.jsonl
  pudato trace CORRELATION_ID")]
pub struct Publish {
    #[command(flatten)]
    what: Option<What>,
    /// A file with a Command as JSON on every line, or - for stdin
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "What",
        required_unless_present = "service"
    )]
    lines: Option<String>,
}

impl Publish {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        if let Some(file) = &self.lines {
            return crate::lines::publish(context, file).await;
        }
        let what = self.what.as_ref();
        let what = what.ok_or_else(|| Failure::usage("expected a service and an action"))?;
        let command = what.command(context)?;
        let pudato = context.open_to_call().await?;
        let message_id = Client::new(&pudato).publish(&command).await?;
        pudato.record_last_calls();
        if context.json {
            let id = &command.correlation_id;
            return output::json(&json!({"correlation_id": id, "message_id": message_id}));
        }
        output::line(&command.correlation_id)
    }
}

/// Publish a command and wait for its Result; prints the Result's data.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  pudato call storage put_object container=lake path=raw/a.csv data=@a.csv
  pudato call registry create_job pipeline=monthly
  pudato call storage get_object container=lake path=raw/a.csv --json")]
pub struct Call {
    #[command(flatten)]
    what: What,
    /// Seconds to wait for the Result
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
}

impl Call {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let command = self.what.command(context)?;
        let pudato = context.open_to_call().await?;
        let timeout = Duration::from_secs(self.timeout);
        let client = Client::new(&pudato);
        let mut pending = |result: &Reply| {
            let data = result.data.clone().unwrap_or_default();
            eprintln!("{}", output::told(&how_far(&data)));
        };
        let listener = client.listen(&command.correlation_id).await?;
        let mut listener = listener.awaits(&command.r#type);
        let services = BTreeSet::from([command.r#type.as_str()]);
        let answered = async {
            let heard = async {
                client.publish(&command).await?;
                client.hear(&mut listener, timeout, &mut pending).await
            };
            tokio::select! {
                biased;
                heard = heard => heard,
                never = nobody::say(&pudato, &services, context.json) => match never {},
            }
        };
        let result = tokio::select! {
            result = answered => Some(result),
            _ = tokio::signal::ctrl_c() => None,
        };
        if let (Some(difference), Some(step)) = (listener.claims(), &command.step_id) {
            eprintln!(
                "pudato: the Result was not applied to the step {step}, because its {} is not the step's. Use another --step, or declare \
                 the command with `registry add_step` (docs/lineage.md)",
                difference.field()
            );
        }
        // A second Ctrl-C does not wait for it; what is left then is swept away by a later call.
        tokio::select! {
            () = listener.close(&pudato) => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        pudato.record_last_calls();
        let Some(result) = result else {
            let id = &command.correlation_id;
            let text = format!(
                "interrupted; a command that was already sent still runs: `pudato trace {id}` shows its state"
            );
            return Err(Failure::interrupted_with(text));
        };
        let result = result?;
        if context.json {
            output::line(&encode(&result))?;
        } else if let Some(data) = &result.data {
            output::json(&json!(data))?;
        }
        if result.status == Status::Success {
            return Ok(());
        }
        if context.json {
            return Err(Failure::silent(exit::FAILED));
        }
        Err(Failure::failed(result.errors.join("\n        ")))
    }
}
