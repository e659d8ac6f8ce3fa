//! `pudato registry`.

mod relocate;

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{self, thousands};
use pudato_runtime::protocol::Timestamp;
use pudato_runtime::registry::{PostgresRegistry, Prune, Pruned};
use pudato_runtime::settings::DatabasePlace;
use serde_json::json;
use std::time::Duration;

/// The most Results in one transaction: other writers wait for it.
const BATCH: u64 = 1_000;

/// Maintain the registry: remove old records, rename datasets whose folder moved, update the tables.
#[derive(clap::Subcommand)]
pub enum Registry {
    /// Remove old Results, steps, jobs and Events, but keep the last Result that wrote each dataset
    #[command(after_help = "Examples:
  pudato registry prune --older-than 365d --dry-run
  pudato registry prune --older-than 365d")]
    Prune {
        /// Remove records older than this, e.g. 365d, 12h, 30m
        #[arg(long, value_name = "TIME", value_parser = age)]
        older_than: Duration,
        /// Only show what would be removed
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
    /// Rename datasets in lineage after you moved or copied a data folder (or another folder)
    #[command(after_help = "Examples:
  pudato registry relocate /old/.pudato /new/.pudato --dry-run
  pudato registry relocate /old/.pudato /new/.pudato")]
    Relocate(relocate::Folders),
    /// Create or update the tables of a registry on PostgreSQL; needs a role with that permission
    #[command(after_help = "Example:
  REGISTRY_DATABASE_URL=postgres://admin@db.example.org/registry pudato registry migrate --grant pudato")]
    Migrate {
        /// Give this role the permission to read and write the tables, and nothing else
        #[arg(long, value_name = "ROLE")]
        grant: Option<String>,
    },
}

fn age(text: &str) -> Result<Duration, String> {
    let what = || format!("expected a number and d, h, m or s, such as 365d, found {text:?}");
    pudato_runtime::duration(text).ok_or_else(what)
}

impl Registry {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Prune {
                older_than,
                dry_run,
            } => prune(context, *older_than, *dry_run).await,
            Self::Relocate(folders) => folders.run(context).await,
            Self::Migrate { grant } => migrate(context, grant.as_deref()).await,
        }
    }
}

async fn prune(context: &Context, older_than: Duration, dry_run: bool) -> Result<(), Failure> {
    let pudato = context.open().await?;
    let age_ms = u64::try_from(older_than.as_millis()).unwrap_or(u64::MAX);
    let before_ms = pudato.clock.now_ms().saturating_sub(age_ms);
    let before_us = i64::try_from(before_ms.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let before = Timestamp::from_unix_us(before_us);
    let (mut all, mut after) = (Pruned::default(), None);
    loop {
        let prune = Prune {
            before: before.clone(),
            after,
            limit: BATCH,
            dry_run,
        };
        let some = pudato.registry.prune(prune).await?;
        all.results += some.results;
        all.edges += some.edges;
        all.steps += some.steps;
        all.jobs += some.jobs;
        if some.next.is_none() {
            break;
        }
        after = some.next;
    }
    let mut events = 0;
    loop {
        let some = pudato
            .registry
            .prune_events(before.clone(), BATCH, dry_run)
            .await?;
        events += some;
        if some == 0 || dry_run {
            break;
        }
    }
    if context.json {
        return output::json(&json!({
            "before": before.as_str(), "dry_run": dry_run, "results": all.results, "edges": all.edges,
            "steps": all.steps, "jobs": all.jobs, "events": events,
        }));
    }
    let did = if dry_run { "would remove" } else { "removed" };
    output::line(&format!(
        "{did} {} Results ({} edges), {} steps, {} jobs and {} Events from before {}",
        thousands(all.results),
        thousands(all.edges),
        thousands(all.steps),
        thousands(all.jobs),
        thousands(events),
        before.as_str()
    ))
}

async fn migrate(context: &Context, grant: Option<&str>) -> Result<(), Failure> {
    let place = pudato_runtime::registry_place(&context.settings).await?;
    let DatabasePlace::Postgres(url) = &place else {
        let what = "REGISTRY_DATABASE_URL: expected postgres://..; a registry in a file updates its own tables";
        return Err(Failure::configuration(what.to_owned()));
    };
    let failed = |error: pudato_runtime::registry::Error| {
        Failure::from(pudato_runtime::OpenError::from(error))
    };
    let registry = PostgresRegistry::open(url).await.map_err(failed)?;
    let granted = match grant {
        Some(role) => {
            registry.grant(role).await.map_err(failed)?;
            format!("; {role} can read and write them")
        }
        None => String::new(),
    };
    output::line(&format!("the tables are up to date{granted}"))
}

#[cfg(test)]
mod tests {
    use super::age;
    use std::time::Duration;

    #[test]
    fn ages_have_a_unit() {
        assert_eq!(age("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(age("90m"), Ok(Duration::from_secs(5_400)));
        for wrong in [
            "",
            "d",
            "7",
            "7w",
            "-1d",
            "1.5h",
            "99999999999999999999d",
            "7é",
        ] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
