//! The containers of objects, and the container of claims.

use super::OpenError;
use super::places::Places;
use crate::adapters::ClaimObjects;
use crate::settings::Settings;
use pudato_storage::{Containers, ContainersBuilder, Objects};

/// The place of containers that no setting lists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unlisted {
    /// Folders in the data folder.
    Folders,
    /// None: only listed containers exist, except that of claims, which is the bucket of that name.
    Buckets,
}

fn builder(places: &Places) -> ContainersBuilder {
    match &places.aws {
        Some(aws) => aws.containers(),
        None => Containers::builder(),
    }
}

fn build(builder: ContainersBuilder) -> Result<Objects, OpenError> {
    let containers = builder.build();
    let containers = containers.map_err(|error| OpenError::Settings(error.to_string()))?;
    Ok(Objects::new(containers))
}

/// The containers of the storage service.
pub(super) fn open(settings: &Settings, places: &Places) -> Result<Objects, OpenError> {
    let mut builder = builder(places);
    if settings.fabric.unlisted == Unlisted::Folders {
        builder = builder.root(places.data_dir.join("objects"));
    }
    for (name, location) in &settings.containers {
        builder = builder.list(name, location);
    }
    build(builder)
}

/// The container of claims.
pub(super) fn claims(settings: &Settings, places: &Places) -> Result<ClaimObjects, OpenError> {
    let name = &settings.claims_container;
    let location = match (settings.containers.get(name), settings.fabric.unlisted) {
        (Some(location), _) => Some(location.clone()),
        (None, Unlisted::Buckets) => Some(format!("s3://{name}")),
        (None, Unlisted::Folders) => None,
    };
    // Pointers name the bucket itself, so that AWS's own clients find the object.
    let bucket = location
        .as_deref()
        .and_then(|location| location.strip_prefix("s3://"));
    let bucket = bucket.map(|bucket| bucket.trim_end_matches('/').to_owned());
    if bucket.as_ref().is_some_and(|bucket| bucket.contains('/')) {
        let what = format!("containers.{name}: claims need a whole bucket, without a prefix");
        return Err(OpenError::Settings(what));
    }
    let builder = match location {
        Some(location) => builder(places).list(name, location),
        None => builder(places).root(places.data_dir.join("objects")),
    };
    Ok(ClaimObjects {
        objects: build(builder)?,
        name: name.clone(),
        container: bucket.unwrap_or_else(|| name.clone()),
        bytes_max: settings.claim_bytes_max,
    })
}
