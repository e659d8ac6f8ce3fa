//! The publisher: a process of its own, one publish call per command.

use crate::Outcome;
use pudato_runtime::protocol::{Command, Object};
use pudato_runtime::settings::Sources;
use pudato_runtime::{Client, Installation, Settings};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Calls that a publisher has in flight, as a service with many requests at once would.
const IN_FLIGHT: usize = 64;

/// Bytes of a small object.
pub const SMALL_BYTES: usize = 1_024;

/// Opens the installation in `folder` with default settings.
pub async fn open(folder: &str) -> Outcome<Installation> {
    let settings = Settings::load(&Sources {
        flags: BTreeMap::from([("PUDATO_DATA_DIR", folder.to_owned())]),
        environment: &|_| None,
        file: None,
    })?;
    Ok(Installation::open(settings).await?)
}

/// Publishes `count` commands that put objects, from number `from` on, as fast as it can, with the settings of `folder`.
pub fn run_on_aws(folder: &str, count: &str, from: &str) -> Outcome<()> {
    let (count, from): (usize, usize) = (count.parse()?, from.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let file = std::path::Path::new(folder).join("pudato.toml");
        let settings = Settings::load(&Sources {
            flags: BTreeMap::from([("PUDATO_DATA_DIR", format!("{folder}/publisher"))]),
            environment: &|name| std::env::var(name).ok(),
            file: Some(&file),
        })?;
        let pudato = Arc::new(Installation::open(settings).await?);
        let mut tasks = tokio::task::JoinSet::new();
        let permits = Arc::new(Semaphore::new(IN_FLIGHT));
        // Ready, and then told to begin by the end of stdin.
        std::io::stdout().write_all(b".")?;
        std::io::stdout().flush()?;
        std::io::stdin().read_to_end(&mut Vec::new())?;
        for n in from..from + count {
            let mut command = command("put", n);
            command.job_id = Some(format!("job-{from}"));
            let permit = Arc::clone(&permits).acquire_owned().await?;
            let pudato = Arc::clone(&pudato);
            tasks.spawn(async move {
                let published = Client::new(&pudato).publish(&command).await;
                drop(permit);
                published.map_err(|error| error.to_string())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    })
}

/// Publishes `count` commands of a kind, `per_second` of them a second, or as fast as it can when that is 0. Prints the time of
/// each publish call in milliseconds since the Unix epoch when it is paced.
pub fn run(folder: &str, kind: &str, count: &str, per_second: &str) -> Outcome<()> {
    let (count, per_second): (usize, u64) = (count.parse()?, per_second.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let pudato = Arc::new(open(folder).await?);
        let permits = Arc::new(Semaphore::new(IN_FLIGHT));
        let mut pace = tokio::time::interval(Duration::from_micros(
            1_000_000_u64.checked_div(per_second).unwrap_or(1),
        ));
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..count {
            let command = command(kind, n);
            if per_second > 0 {
                pace.tick().await;
                println!("{} {}", n, now_ms());
            }
            let permit = Arc::clone(&permits).acquire_owned().await?;
            let pudato = Arc::clone(&pudato);
            tasks.spawn(async move {
                let published = Client::new(&pudato).publish(&command).await;
                drop(permit);
                published.map_err(|error| error.to_string())
            });
            while let Some(done) = tasks.try_join_next() {
                done??;
            }
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    })
}

/// Milliseconds since the Unix epoch, with their fractions.
pub fn now_ms() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_secs_f64() * 1_000.0
}

/// Command number `n`, of a step of its own.
fn command(kind: &str, n: usize) -> Command {
    let payload = match kind {
        "put" => json!({"container": "bench", "path": path(n), "data": content(n)}),
        _ => json!({"container": "bench", "path": "small.txt"}),
    };
    let action = if kind == "put" {
        "put_object"
    } else {
        "head_object"
    };
    let payload: Object = payload.as_object().cloned().unwrap_or_default();
    let mut command = Command::new("storage", action, payload);
    command.job_id = Some("job-bench".into());
    command.step_id = Some(format!("step-{kind}-{n}"));
    command
}

/// Where small object number `n` lies: a hundred folders, as partitions would make them.
pub fn path(n: usize) -> String {
    format!("part={}/{n}.txt", n % 100)
}

/// What small object number `n` holds.
pub fn content(n: usize) -> String {
    format!("{n:0>width$}", width = SMALL_BYTES)
}
