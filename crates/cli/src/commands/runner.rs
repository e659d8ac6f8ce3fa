//! `pudato runner`.

use crate::context::Context;
use crate::exit::Failure;
use crate::serving::serve;
use pudato_runtime::Role;

/// Run the handler of one service until Ctrl-C or SIGTERM.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato runner --handler storage")]
pub struct Runner {
    /// The service: storage, query, transform or registry
    #[arg(long, value_name = "NAME")]
    handler: String,
}

impl Runner {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        let known = pudato.services();
        if !known.contains(&self.handler.as_str()) {
            return Err(Failure::usage(format!(
                "--handler: expected one of {}, found {:?}",
                known.join(", "),
                self.handler
            )));
        }
        serve(context, &pudato, &[Role::Worker(self.handler.clone())]).await
    }
}
