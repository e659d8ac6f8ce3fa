//! `pudato demo`.

use crate::context::Context;
use crate::exit::Failure;
use crate::output;
use crate::serving::only_one;
use pudato_runtime::settings::Sources;
use pudato_runtime::{CancellationToken, Installation, Role, Settings};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The files that the demo writes to its folder: `examples/birdstrikes`, which this crate's folder `demo` links to.
macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_bytes!(concat!("../../demo/", $name)).as_slice())),+]
    };
}

const FILES: [(&str, &[u8]); 23] = files![
    "data/PROVENANCE.md",
    "data/airports.csv",
    "data/birdstrikes.csv",
    "dbt/dbt_project.yml",
    "dbt/macros/generate_schema_name.sql",
    "dbt/macros/spelling.sql",
    "dbt/models/marts/airports_not_joined.sql",
    "dbt/models/marts/marts.yml",
    "dbt/models/marts/strikes.sql",
    "dbt/models/marts/strikes_by_state_year.sql",
    "dbt/models/staging/known_airports.sql",
    "dbt/models/staging/sources.yml",
    "dbt/profiles.yml",
    "dbt/seeds/damage_levels.csv",
    "dbt/snapshots/strikes_by_state_year_history.sql",
    "dbt/tests/no_strike_is_lost.sql",
    "pipeline-sql.yaml",
    "pipeline.yaml",
    "sql/costliest_states.sql",
    "sql/mart.sql",
    "sql/stage_airports.sql",
    "sql/stage_strikes.sql",
    "staging.yaml",
];

/// What the pipeline exports.
const EXPORT: &str = "data-lake/exports/strikes_by_state_year.parquet";

/// Run a pipeline on real public data in a new folder, and show the answer and where it came from. The demo uses only this machine and the
/// default of every setting, regardless of the environment. The step that builds tables uses dbt if dbt is installed, otherwise SQL.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  pudato demo
  pudato demo /tmp/birdstrikes --no-dbt")]
pub struct Demo {
    /// The folder to create
    #[arg(default_value = "pudato-demo")]
    folder: PathBuf,
    /// Do not use dbt, even if it is installed
    #[arg(long)]
    no_dbt: bool,
}

impl Demo {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let folder = unpack(&self.folder)?;
        let (own, pudato) = self.open(context, &folder).await?;
        let _only = only_one(&pudato)?;
        let services = pudato.services_with_queue().into_iter();
        let workers = services.map(|service| Role::Worker(service.to_owned()));
        let roles: Vec<Role> = workers.chain([Role::Results]).collect();
        let drain = CancellationToken::new();
        let serves = pudato.run(&roles, drain.clone());
        tokio::pin!(serves);
        let shown = tokio::select! {
            // Without the roles, the pipeline would wait forever.
            ended = &mut serves => return Ok(ended?),
            shown = self.show(&own, &pudato) => shown,
        };
        drain.cancel();
        let served = serves.await;
        shown.and(served.map_err(Failure::from))
    }

    /// Opens an installation in the folder, with dbt if it is available.
    async fn open(
        &self,
        context: &Context,
        folder: &Path,
    ) -> Result<(Context, Installation), Failure> {
        let with_dbt = settings(context, folder, true)?;
        if self.no_dbt || !with_dbt.settings.has_dbt_project() {
            let without = settings(context, folder, false)?;
            let pudato = without.open().await?;
            return Ok((without, pudato));
        }
        let pudato = with_dbt.open().await?;
        let wrong = problems(&pudato).await;
        if wrong.is_empty() {
            return Ok((with_dbt, pudato));
        }
        drop(pudato);
        let why = wrong.join("; ");
        tell(
            context,
            &format!("Not using dbt; SQL builds the same tables instead ({why})"),
        )?;
        let without = settings(context, folder, false)?;
        let pudato = without.open().await?;
        Ok((without, pudato))
    }

    /// Runs the pipeline and prints the results, with the commands that a user would type.
    async fn show(&self, own: &Context, pudato: &Installation) -> Result<(), Failure> {
        let file = match pudato.settings().has_dbt_project() {
            true => "pipeline.yaml",
            false => "pipeline-sql.yaml",
        };
        let pipeline = self.folder.join(file).display().to_string();
        let picture = self.folder.join("lineage.svg").display().to_string();
        by_hand(own, &["run", &pipeline]).await?;
        by_hand(own, &["lineage", EXPORT]).await?;
        let draws = ["--format", "svg", "--output"];
        // With --json, the picture would be JSON as well.
        if !own.json {
            let words = [&["lineage", EXPORT][..], &draws, &[&picture]].concat();
            by_hand(own, &words).await?;
        }
        let folder = self.folder.display();
        tell(
            own,
            &format!(
                "\nThe data, the pipeline and the lineage as a picture are in {folder}. Look around:\n\n    cd {folder}\n    pudato job list\n    pudato lineage raw/birdstrikes.csv --downstream"
            ),
        )
    }
}

/// Prints a line for people.
fn tell(context: &Context, text: &str) -> Result<(), Failure> {
    match context.json {
        true => Ok(()),
        false => output::line(text),
    }
}

/// Prints another command and runs it.
async fn by_hand(own: &Context, words: &[&str]) -> Result<(), Failure> {
    tell(own, &format!("\n$ pudato {}", words.join(" ")))?;
    crate::command(own, words).await
}

/// Why dbt cannot be used on this machine.
async fn problems(pudato: &Installation) -> Vec<String> {
    #[cfg(feature = "dbt")]
    return pudato.check_transform().await;
    #[cfg(not(feature = "dbt"))]
    return Vec::new();
}

/// Writes the files into a new folder. Returns its absolute path.
fn unpack(folder: &Path) -> Result<PathBuf, Failure> {
    let failed = |path: &Path, error: std::io::Error| {
        Failure::configuration(format!("{}: {error}", path.display()))
    };
    std::fs::create_dir(folder).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::usage(format!(
            "{} exists already, and the demo does not overwrite anything: choose a folder that does not exist, e.g. pudato demo {}-2",
            folder.display(),
            folder.display()
        )),
        _ => failed(folder, error),
    })?;
    for (name, bytes) in FILES {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|error| failed(parent, error))?;
        std::fs::write(&path, bytes).map_err(|error| failed(&path, error))?;
    }
    // So that later commands in this folder find the dbt project.
    let path = folder.join("pudato.toml");
    std::fs::write(&path, "dbt_project_dir = \"dbt\"\n").map_err(|error| failed(&path, error))?;
    folder.canonicalize().map_err(|error| failed(folder, error))
}

/// The defaults, in this folder.
fn settings(context: &Context, folder: &Path, has_dbt: bool) -> Result<Context, Failure> {
    let data = folder.join(".pudato").display().to_string();
    let mut flags = BTreeMap::from([
        ("PUDATO_DATA_DIR", data),
        ("PUDATO_LOG", context.settings.log.clone()),
    ]);
    if has_dbt {
        let project = folder.join("dbt").display().to_string();
        flags.insert("DBT_PROJECT_DIR", project);
    }
    // Keep the caller's choice of dbt, which does not affect the data.
    let environment = |name: &str| match name {
        "PUDATO_DBT" => std::env::var(name).ok(),
        _ => None,
    };
    let loaded = Settings::load(&Sources {
        flags,
        environment: &environment,
        file: None,
    });
    Ok(Context {
        settings: loaded.map_err(|error| Failure::configuration(error.to_string()))?,
        json: context.json,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    fn below(folder: &Path, found: &mut Vec<String>, root: &Path) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => below(&path, found, root),
                false => {
                    let path = path.strip_prefix(root).expect("below the root");
                    found.push(path.display().to_string());
                }
            }
        }
    }

    #[test]
    fn the_demo_brings_every_file_of_the_example() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/demo"));
        let mut found = Vec::new();
        below(root, &mut found, root);
        // The independent check in `cargo xtask demo` needs a clone.
        found.retain(|name| name != "check.py");
        let brought: BTreeSet<&str> = super::FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(brought, found.iter().map(String::as_str).collect());
    }
}
