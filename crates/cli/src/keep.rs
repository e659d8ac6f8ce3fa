//! `pudato doctor` and `pudato backup`.

use crate::Context;
use crate::exit::Failure;
use crate::{output, relocate};
use pudato_runtime::board::{InHand, Program};
use pudato_runtime::messaging::ErrorKind;
use pudato_runtime::{Fabric, Pudato, View};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// A message that waits longer than this has a reader that cannot keep up.
const WAIT_MS_MAX: u64 = 60_000;
/// Messages of a queue that are looked at.
const LOOK_MAX: usize = 100;

/// Check this installation for problems: damaged files, open permissions, dead letters, queues without a reader, stuck workers,
/// commands that wait for more than a minute or run over their time, a missing dbt or one whose DuckDB is too new, datasets
/// that are named after another data folder. On AWS, also check the deployed resources, and whether a canary passes through
/// every topic.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato doctor && echo fine")]
pub struct Doctor {}

impl Doctor {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        let mut wrong = pudato.check().await?;
        wrong.extend(permissions(&pudato));
        wrong.extend(dead_letters(&pudato).await?);
        let view = View::of(&pudato);
        wrong.extend(view.outages());
        wrong.extend(
            view.in_hand()
                .filter_map(|(program, entry)| too_long(&view, program, entry)),
        );
        match pudato.settings().fabric {
            Fabric::Embedded => {
                wrong.extend(waiting(&pudato, &view).await?);
                wrong.extend(relocate::elsewhere(&pudato).await?);
                // The worker is on this machine; on AWS it is elsewhere.
                #[cfg(feature = "dbt")]
                wrong.extend(pudato.check_transform().await);
            }
            #[cfg(feature = "aws")]
            Fabric::Aws => wrong.extend(pudato_runtime::examination::examine(&pudato).await?),
            #[cfg(not(feature = "aws"))]
            Fabric::Aws => {}
        }
        if context.json {
            output::json(&json!({"findings": wrong}))?;
        } else {
            for finding in &wrong {
                output::line(&format!("- {finding}"))?;
            }
            if wrong.is_empty() {
                output::line("nothing wrong was found")?;
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(Failure::silent(crate::exit::FAILED))
    }
}

fn permissions(pudato: &Pudato) -> Vec<String> {
    let mut wrong = Vec::new();
    for name in ["", "fabric.db", "registry.db"] {
        let path = pudato.data_dir.join(name);
        let Ok(found) = path.metadata() else {
            continue;
        };
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = path.display();
            wrong.push(format!(
                "{path}: others may read it (mode {mode:o}); chmod go= {path}"
            ));
        }
    }
    wrong
}

async fn dead_letters(pudato: &Pudato) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for queue in pudato.dead_letter_queues() {
        let counts = match pudato.operations.counts(&queue).await {
            // What is missing on AWS is named among the differences.
            Err(error) if error.kind == ErrorKind::NotFound => continue,
            counts => counts?,
        };
        let dead = counts.visible + counts.in_flight + counts.delayed;
        if dead > 0 {
            wrong.push(format!(
                "{queue}: {dead} dead letters; `pudato dlq list {queue}`"
            ));
        }
    }
    Ok(wrong)
}

/// Queues where a message waits too long.
async fn waiting(pudato: &Pudato, view: &View) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for queue in pudato.queues() {
        let reader = pudato.names.reader_of(&queue).unwrap_or(&queue);
        let is_read = view.nobody_runs(reader).is_none();
        // The oldest may be in hand; those behind it wait all the same.
        let oldest = pudato.operations.browse(&queue, LOOK_MAX).await?;
        let waits = oldest.iter().find(|message| {
            let waited_ms = view.now_ms.saturating_sub(message.visible_at_ms);
            let is_due = message.visible_at_ms <= view.now_ms;
            is_due && (!is_read || waited_ms > WAIT_MS_MAX)
        });
        if let Some(message) = waits {
            wrong.push(format!("{queue}: a message {}", view.state(message)));
        }
    }
    Ok(wrong)
}

/// What is wrong with a message that is in hand.
fn too_long(view: &View, program: &Program, entry: &InHand) -> Option<String> {
    let called = entry.called();
    let held = view.held(program, entry);
    let is_over = entry
        .gives_up_at_ms
        .is_some_and(|at_ms| at_ms < view.now_ms);
    if is_over {
        return Some(format!(
            "{called}: its time is over, and it goes on: {held}"
        ));
    }
    let waited = entry.waits_for.as_ref()?;
    let waits_long = view.now_ms.saturating_sub(waited.since_ms) > WAIT_MS_MAX;
    waits_long.then(|| format!("{called}: waits for more than a minute: {held}"))
}

/// Copy fabric and registry into a new folder while they are used. Objects are files: copy them as such.
#[derive(clap::Args)]
#[command(after_help = "Example:
  pudato backup /backup/monday")]
pub struct Backup {
    /// A new or empty folder
    folder: PathBuf,
}

impl Backup {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        pudato.backup(&self.folder).await?;
        let folder = self.folder.display().to_string();
        if context.json {
            return output::json(&json!({"backup": folder}));
        }
        output::line(&format!("fabric.db and registry.db are in {folder}"))
    }
}
