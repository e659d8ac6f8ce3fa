//! `pudato publish`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use crate::request::Request;
use pudato_runtime::Client;
use serde_json::json;

/// Publish a command and return at once; prints its correlation id. With --lines, publish many.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  pudato publish storage head_object container=lake path=a.csv
  pudato publish --lines commands.jsonl
  pudato trace CORRELATION_ID")]
pub struct Publish {
    #[command(flatten)]
    request: Option<Request>,
    /// A file with a Command as JSON on every line, or - for stdin
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "Request",
        required_unless_present = "service"
    )]
    lines: Option<String>,
}

impl Publish {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        if let Some(file) = &self.lines {
            return super::publish_lines::publish(context, file).await;
        }
        let request = self.request.as_ref();
        let request = request.ok_or_else(|| Failure::usage("expected a service and an action"))?;
        let command = request.command(context)?;
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
