//! `pudato call`.

use crate::context::Context;
use crate::exit::{self, Failure};
use crate::request::Request;
use crate::{no_worker, output};
use pudato_runtime::Client;
use pudato_runtime::drawing::how_far;
use pudato_runtime::protocol::{Result as Reply, Status, encode};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

/// Publish a command and wait for its Result; prints the Result's data.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  pudato call storage put_object container=lake path=raw/a.csv data=@a.csv
  pudato call registry create_job pipeline=monthly
  pudato call storage get_object container=lake path=raw/a.csv --json")]
pub struct Call {
    #[command(flatten)]
    request: Request,
    /// Seconds to wait for the Result
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
}

impl Call {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let command = self.request.command(context)?;
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
                never = no_worker::warn(&pudato, &services, context.json) => match never {},
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
        // A second Ctrl-C does not wait for the cleanup; a later call removes the queue then.
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
