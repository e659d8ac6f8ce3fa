//! `pudato registry relocate`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output::{self, thousands};
use pudato_runtime::registry::{Relocate, Relocated};
use serde_json::json;
use std::path::{Component, Path, PathBuf};

/// The old and the new place of a folder.
#[derive(clap::Args)]
pub struct Folders {
    /// The old folder, as its path appears in lineage
    #[arg(value_name = "OLD")]
    old: PathBuf,
    /// The folder where the data is now
    #[arg(value_name = "NEW")]
    new: PathBuf,
    /// Merge a dataset into one that already has its new name: both are the same data
    #[arg(long)]
    merge: bool,
    /// Only show which names would change
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Folders {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let pudato = context.open().await?;
        let new = self.new.canonicalize().map_err(|error| {
            Failure::usage(format!(
                "{}: expected the folder where the data is now: {error}",
                self.new.display()
            ))
        })?;
        if !new.is_dir() {
            let new = new.display();
            return Err(Failure::usage(format!(
                "{new}: expected a folder, found a file"
            )));
        }
        let old = names_of(&self.old)?;
        // The old place may now be a link to the new one.
        let is_same_place = self.old.canonicalize().is_ok_and(|old| old == new);
        let relocate = Relocate {
            from: old.iter().map(|old| text(old)).collect::<Result<_, _>>()?,
            to: text(&new)?,
            merge: self.merge || is_same_place,
            dry_run: self.dry_run,
        };
        let now = pudato_runtime::timestamp(pudato.clock.now_ms());
        let done = pudato.registry.relocate(relocate, now).await?;
        self.tell(context, &new, &done)
    }

    fn tell(&self, context: &Context, new: &Path, done: &Relocated) -> Result<(), Failure> {
        if context.json {
            return output::json(&json!({
                "old": self.old, "new": new, "dry_run": self.dry_run, "datasets": done.datasets, "merged": done.merged,
                "examples": done.examples,
            }));
        }
        if done.datasets == 0 {
            let old = self.old.display();
            return output::line(&format!("no dataset is in {old}; nothing was changed"));
        }
        for (old, new) in &done.examples {
            output::line(&format!("{old} -> {new}"))?;
        }
        let listed = u64::try_from(done.examples.len()).unwrap_or(u64::MAX);
        let more = done.datasets.saturating_sub(listed);
        if more > 0 {
            output::line(&format!("... and {} more", thousands(more)))?;
        }
        let did = if self.dry_run {
            "would change"
        } else {
            "changed"
        };
        let merged = match done.merged {
            0 => String::new(),
            merged => format!(
                "; {} of these datasets already had an entry under the new name",
                thousands(merged)
            ),
        };
        output::line(&format!("{did} {}{merged}", names(done.datasets)))
    }
}

fn names(count: u64) -> String {
    match count {
        1 => "1 name".into(),
        _ => format!("{} names", thousands(count)),
    }
}

fn text(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Failure::usage(format!("{}: expected a path in UTF-8", path.display())))
}

/// The names that the folder may have in lineage: those names have no links, but a link may be where the folder was. The folder need not
/// exist any longer.
fn names_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!("{}: expected a folder: {error}", folder.display()))
    };
    let absolute = std::path::absolute(folder).map_err(failed)?;
    let mut written = PathBuf::new();
    for part in absolute.components() {
        match part {
            Component::ParentDir => {
                written.pop();
            }
            Component::CurDir => {}
            part => written.push(part),
        }
    }
    let mut names = vec![resolved(&absolute)];
    if names[0] != written {
        names.push(written);
    }
    Ok(names)
}

/// The path with links resolved, as far as it exists.
fn resolved(path: &Path) -> PathBuf {
    for there in path.ancestors() {
        let Ok(found) = there.canonicalize() else {
            continue;
        };
        let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
        // A missing part has no links; `..` removes the part before it.
        let mut resolved = found;
        for part in rest.components() {
            match part {
                Component::ParentDir => {
                    resolved.pop();
                }
                part => resolved.push(part),
            }
        }
        return resolved;
    }
    path.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_the_same_names_however_its_path_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("its path");
        std::fs::create_dir(root.join("data")).expect("made");
        std::os::unix::fs::symlink(root.join("data"), root.join("link")).expect("linked");
        for written in ["data", "data/", "./data/.", "data/x/..", "gone/../data"] {
            let found = names_of(&root.join(written))
                .map_err(|_| ())
                .expect("names");
            assert_eq!(found, [root.join("data")], "{written}");
        }
        // Names in lineage have the target of a link, except for a folder that existed before the link.
        let found = names_of(&root.join("link/"))
            .map_err(|_| ())
            .expect("names");
        assert_eq!(found, [root.join("data"), root.join("link")]);
        let found = names_of(&root.join("gone/far/../away/"))
            .map_err(|_| ())
            .expect("names");
        assert_eq!(found, [root.join("gone/away")]);
    }
}
