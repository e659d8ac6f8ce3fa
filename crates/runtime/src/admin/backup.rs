//! Copies and checks the databases in the data folder.

use crate::installation::{Installation, OpenError};
use crate::settings::DatabasePlace;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

impl Installation {
    /// Copies the fabric and the registry into the folder `to`, which must be new or empty. Objects are files: copy them yourself.
    ///
    /// # Errors
    /// The folder is not empty, or cannot be written.
    pub async fn backup(&self, to: &std::path::Path) -> Result<(), OpenError> {
        let failed =
            |error: std::io::Error| OpenError::Unavailable(format!("{}: {error}", to.display()));
        // Only the owner may read the copies, as in the data folder.
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(to);
        made.map_err(failed)?;
        if std::fs::read_dir(to).map_err(failed)?.next().is_some() {
            let what = format!("{}: expected a new or empty folder", to.display());
            return Err(OpenError::Settings(what));
        }
        if let Some(file) = &self.fabric.file {
            file.backup(&to.join("fabric.db")).await?;
        }
        // A registry on a server is backed up on that server.
        if let DatabasePlace::File(_) = self.settings().registry {
            self.registry.backup(&to.join("registry.db")).await?;
        }
        Ok(())
    }

    /// The database files that this program has open. No other SQLite may open them in this process: when it closes them, the operating
    /// system drops the locks of this one (docs/design/embedded.md).
    pub fn databases(&self) -> Vec<PathBuf> {
        let settings = self.settings();
        let fabric = self.fabric.file.is_some();
        let fabric = fabric.then(|| self.data_dir.join("fabric.db"));
        let stores = [Some(&settings.registry), settings.answers.as_ref()];
        let stores = stores
            .into_iter()
            .flatten()
            .filter_map(|place| match place {
                DatabasePlace::File(path) => path.canonicalize().ok(),
                _ => None,
            });
        fabric.into_iter().chain(stores).collect()
    }

    /// Reads every page of the fabric and the registry. Returns the problems found.
    ///
    /// # Errors
    /// The databases cannot be read at all.
    pub async fn check(&self) -> Result<Vec<String>, OpenError> {
        let mut wrong = match &self.fabric.file {
            Some(file) => file.check().await?,
            None => Vec::new(),
        };
        wrong.extend(self.registry.check().await?);
        Ok(wrong)
    }

    /// The problems of dbt on this machine: it is missing, or it would make the warehouse unreadable.
    #[cfg(feature = "dbt")]
    pub async fn check_transform(&self) -> Vec<String> {
        let own = self.settings().transform_in(&self.data_dir);
        #[cfg(feature = "duckdb")]
        let version = pudato_query::duckdb::version();
        #[cfg(not(feature = "duckdb"))]
        let version: Option<String> = None;
        own.examine(version.as_deref()).await
    }
}
