//! Step 1: the places of everything. Creates the data folder and reads secrets.

use super::OpenError;
use super::aws::Access;
use crate::settings::{DatabasePlace, Settings};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Places that can be opened: paths are absolute, and secrets are resolved.
pub(super) struct Places {
    /// The data folder.
    pub(super) data_dir: PathBuf,
    /// The registry's database.
    pub(super) registry: DatabasePlace,
    /// The database of answers; `None` for the registry's database, or if the fabric stores answers itself.
    pub(super) answers: Option<DatabasePlace>,
    /// Access to AWS, if anything needs it.
    pub(super) aws: Option<Access>,
}

impl Places {
    pub(super) async fn find(settings: &Settings) -> Result<Self, OpenError> {
        let aws = Access::open(settings).await?;
        let answers = match &settings.answers {
            Some(place) => Some(resolve(place, aws.as_ref()).await?),
            None => None,
        };
        Ok(Self {
            data_dir: data_dir(settings)?,
            registry: resolve(&settings.registry, aws.as_ref()).await?,
            answers,
            aws,
        })
    }
}

/// The place of the registry's database. If the setting names a secret, the URL in it is read.
///
/// # Errors
/// The secret cannot be read, or has no URL.
pub async fn registry_place(settings: &Settings) -> Result<DatabasePlace, OpenError> {
    let aws = Access::open(settings).await?;
    resolve(&settings.registry, aws.as_ref()).await
}

async fn resolve(place: &DatabasePlace, aws: Option<&Access>) -> Result<DatabasePlace, OpenError> {
    match (place, aws) {
        (DatabasePlace::Secret(name), Some(aws)) => aws.database_in(name).await,
        (DatabasePlace::Secret(name), None) => Err(OpenError::Settings(format!(
            "{name}: this build cannot read secrets from AWS; build with the feature aws"
        ))),
        (place, _) => Ok(place.clone()),
    }
}

/// The absolute path of the data folder, which is created if it does not exist.
fn data_dir(settings: &Settings) -> Result<PathBuf, OpenError> {
    let failed = |error: std::io::Error| {
        let folder = settings.data_dir.display();
        OpenError::Unavailable(format!("data folder {folder}: {error}"))
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(&settings.data_dir).map_err(failed)?;
    settings.data_dir.canonicalize().map_err(failed)
}
