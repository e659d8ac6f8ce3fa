//! `pudato up`.

use crate::context::Context;
use crate::exit::Failure;
use crate::serving::{only_one, serve};
use pudato_runtime::Role;

/// Run all handlers and the results consumer in this process until Ctrl-C or SIGTERM; a second signal ends it at once.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato up
  pudato up --data-dir /srv/pudato --log debug")]
pub struct Up {}

impl Up {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        let _only = only_one(&pudato)?;
        let services = pudato.services_with_queue();
        if pudato.settings().has_dbt_project() && !services.contains(&"transform") {
            eprintln!(
                "pudato: a dbt project is set, but transform has no queue: run `pudato topology apply` with the project set, and set PUDATO_TRANSFORM_QUEUE_URL"
            );
        }
        let services = services.into_iter().map(str::to_owned);
        let mut roles: Vec<Role> = services.map(Role::Worker).collect();
        roles.push(Role::Results);
        serve(context, &pudato, &roles).await
    }
}
