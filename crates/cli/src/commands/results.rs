//! `pudato results`.

use crate::context::Context;
use crate::exit::Failure;
use crate::serving::serve;
use pudato_runtime::Role;

/// Run the results consumer until Ctrl-C or SIGTERM.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato results")]
pub struct Results {}

impl Results {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        serve(context, &pudato, &[Role::Results]).await
    }
}
