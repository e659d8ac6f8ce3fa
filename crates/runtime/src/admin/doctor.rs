//! `pudato doctor`: all problems of an installation, each with a remedy.

use crate::client::View;
use crate::installation::{Installation, OpenError};
use crate::serve::notices::Program;
use crate::settings::DatabasePlace;
use crate::time::thousands;
use pudato_engine::board::InHand;
use pudato_messaging::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// If a message waits for longer than this, its reader cannot keep up.
const WAIT_MS_MAX: u64 = 60_000;
/// The most messages of a queue that are examined.
const LOOK_MAX: usize = 100;

impl Installation {
    /// Returns all problems. Takes up to half a minute on AWS, where a test message passes through every topic.
    ///
    /// # Errors
    /// The fabric or the registry cannot be reached.
    pub async fn doctor(&self) -> Result<Vec<String>, OpenError> {
        let mut wrong = self.check().await?;
        wrong.extend(permissions(self));
        #[cfg(target_os = "linux")]
        wrong.extend(super::locks::lost(&self.databases()).await);
        wrong.extend(dead_letters(self).await?);
        let view = View::of(self);
        wrong.extend(view.outages());
        wrong.extend(
            view.in_hand()
                .filter_map(|(program, entry)| too_long(&view, program, entry)),
        );
        if !self.fabric.profile.is_shared {
            wrong.extend(waiting(self, &view).await?);
            wrong.extend(moved_names(self).await?);
            // On a shared fabric, the worker may be on another machine.
            #[cfg(feature = "dbt")]
            wrong.extend(self.check_transform().await);
        }
        if let Some(examine) = self.fabric.profile.examine {
            wrong.extend(examine(self).await?);
        }
        Ok(wrong)
    }
}

fn permissions(pudato: &Installation) -> Vec<String> {
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
                "{path}: other users can read it (mode {mode:o}); run: chmod go= {path}"
            ));
        }
    }
    wrong
}

async fn dead_letters(pudato: &Installation) -> Result<Vec<String>, OpenError> {
    let mut wrong = Vec::new();
    for queue in pudato.dead_letter_queues() {
        let counts = match pudato.fabric.operations.counts(&queue).await {
            // On AWS, missing resources are among the differences.
            Err(error) if error.kind == ErrorKind::NotFound => continue,
            counts => counts?,
        };
        let dead = counts.visible + counts.in_flight + counts.delayed;
        if dead > 0 {
            wrong.push(format!(
                "{queue}: {dead} dead letters; see `pudato dlq list {queue}`"
            ));
        }
    }
    Ok(wrong)
}

/// Queues with a message that has been waiting for too long.
async fn waiting(pudato: &Installation, view: &View) -> Result<Vec<String>, OpenError> {
    let mut wrong = Vec::new();
    for queue in pudato.queues() {
        let reader = pudato.names.reader_of(&queue).unwrap_or(&queue);
        let is_read = view.nobody_runs(reader).is_none();
        // The oldest message may be in flight; those behind it are waiting nevertheless.
        let oldest = pudato.fabric.operations.browse(&queue, LOOK_MAX).await?;
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

/// The problem of a message in flight, if it has one.
fn too_long(view: &View, program: &Program, entry: &InHand) -> Option<String> {
    let called = entry.called();
    let held = view.held(program, entry);
    let is_over = entry
        .gives_up_at_ms
        .is_some_and(|at_ms| at_ms < view.now_ms);
    if is_over {
        return Some(format!(
            "{called}: still running after its time limit: {held}"
        ));
    }
    let waited = entry.waits_for.as_ref()?;
    let waits_long = view.now_ms.saturating_sub(waited.since_ms) > WAIT_MS_MAX;
    waits_long.then(|| format!("{called}: has been waiting for more than a minute: {held}"))
}

/// Names in this data folder's registry that point to another data folder, because the folder was moved or copied.
async fn moved_names(pudato: &Installation) -> Result<Vec<String>, OpenError> {
    let (settings, own) = (pudato.settings(), &pudato.data_dir);
    // A shared registry may have names of other machines.
    let DatabasePlace::File(path) = &settings.registry else {
        return Ok(Vec::new());
    };
    if !path.canonicalize().is_ok_and(|path| path.starts_with(own)) {
        return Ok(Vec::new());
    }
    let containers: Vec<&Path> = settings
        .containers
        .values()
        .filter_map(|location| location.strip_prefix("file://"))
        .map(Path::new)
        .collect();
    let mut wrong = Vec::new();
    for (folder, count) in pudato.registry.data_folders().await? {
        let path = Path::new(&folder);
        let is_container = containers.iter().any(|container| {
            container.starts_with(path)
                || container
                    .canonicalize()
                    .is_ok_and(|it| it.starts_with(path))
        });
        // An existing folder without a registry is not a data folder.
        let may_be_one = !path.exists() || path.join("registry.db").exists();
        if path == own || is_container || !may_be_one {
            continue;
        }
        let names = match count {
            1 => "1 name".to_owned(),
            _ => format!("{} names", thousands(count)),
        };
        wrong.push(format!(
            "{names} of datasets are in {folder}, which is not this data folder: if you moved or copied it here, \
             run `pudato registry relocate '{folder}' '{}'` to update them",
            own.display()
        ));
    }
    Ok(wrong)
}
