//! `pudato topology`.

use crate::context::Context;
use crate::exit::{FAILED, Failure};
use crate::output;
use pudato_runtime::OpenError;
use pudato_runtime::admin::deployment::Deployment;
use pudato_runtime::messaging::aws::{Difference, Wrong};
use serde_json::{Value, json};

/// Create, compare or remove the topics and queues of pudato on AWS or an emulator. On AWS, prefer Terraform.
#[derive(clap::Subcommand)]
pub enum Topology {
    /// Create what is missing, change what differs, and print the settings for pudato.toml
    #[command(after_help = "Example:
  export AWS_ENDPOINT_URL=http://127.0.0.1:4566
  pudato topology apply > pudato.toml")]
    Apply {},
    /// List every difference between what is deployed and what pudato needs; the exit code is 1 if there is one
    #[command(after_help = "Example:
  pudato topology diff")]
    Diff {},
    /// Remove topics, queues and subscriptions, with all messages
    #[command(after_help = "Example:
  pudato topology destroy --yes")]
    Destroy {
        /// Remove them; without this, only show what would be removed
        #[arg(long)]
        yes: bool,
    },
}

impl Topology {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        if let Self::Destroy { yes } = self {
            let all = Deployment::whole(&context.settings).await;
            return destroy(context, &all, *yes).await;
        }
        let deployment = Deployment::new(&context.settings).await;
        match self {
            Self::Apply {} => apply(context, &deployment).await,
            _ => diff(context, &deployment).await,
        }
    }
}

async fn apply(context: &Context, deployment: &Deployment) -> Result<(), Failure> {
    let applied = deployment.fabric.apply(&deployment.topology).await;
    let changed = applied.map_err(OpenError::from)?;
    let settings = deployment.settings().await?;
    if context.json {
        let changed: Vec<Value> = changed.iter().map(described).collect();
        return output::json(&json!({"changed": changed, "settings": settings}));
    }
    for difference in &changed {
        match &difference.what {
            Wrong::Missing => eprintln!("pudato: created {}", difference.resource),
            _ => eprintln!("pudato: changed {difference}"),
        }
    }
    if changed.is_empty() {
        eprintln!("pudato: everything is up to date; nothing was changed");
    }
    output::line(&settings)
}

async fn diff(context: &Context, deployment: &Deployment) -> Result<(), Failure> {
    let found = deployment.diff().await?;
    if context.json {
        let found: Vec<Value> = found.iter().map(described).collect();
        output::json(&json!({"differences": found}))?;
    } else {
        for difference in &found {
            output::line(&format!("- {difference}"))?;
        }
        if found.is_empty() {
            output::line("no differences")?;
        }
    }
    match found.is_empty() {
        true => Ok(()),
        false => Err(Failure::silent(FAILED)),
    }
}

async fn destroy(context: &Context, deployment: &Deployment, yes: bool) -> Result<(), Failure> {
    if !yes {
        let topology = &deployment.topology;
        let queues = topology.queues.iter().map(|queue| queue.name.as_str());
        let names = topology.topics.iter().map(String::as_str).chain(queues);
        for name in names {
            eprintln!("pudato: would remove {name}");
        }
        return Err(Failure::usage(
            "nothing was removed; add --yes to remove them",
        ));
    }
    let removed = deployment.fabric.destroy(&deployment.topology).await;
    let removed = removed.map_err(OpenError::from)?;
    if context.json {
        return output::json(&json!({"removed": removed}));
    }
    for resource in &removed {
        output::line(&format!("removed {resource}"))?;
    }
    if removed.is_empty() {
        output::line("there was nothing to remove")?;
    }
    Ok(())
}

fn described(difference: &Difference) -> Value {
    let resource = &difference.resource;
    match &difference.what {
        Wrong::Missing => json!({"resource": resource, "wrong": "missing"}),
        Wrong::Unknown => json!({"resource": resource, "wrong": "unknown"}),
        Wrong::Differs {
            attribute,
            expected,
            found,
        } => json!({
            "resource": resource, "wrong": "differs", "attribute": attribute, "expected": expected, "found": found,
        }),
    }
}
