//! Replaces the module `aws` in a build without AWS. Its functions return an error.

use super::OpenError;
use super::fabric::{Fabric, Parts};
use crate::settings::{self, DatabasePlace, SecretName, Settings};
use pudato_storage::{Containers, ContainersBuilder};
use std::convert::Infallible;

/// Access to AWS, which this build never has.
pub(super) struct Access(Infallible);

impl Access {
    pub(super) async fn open(settings: &Settings) -> Result<Option<Self>, OpenError> {
        match settings.fabric {
            settings::Fabric::Aws => Err(missing()),
            settings::Fabric::Embedded => Ok(None),
        }
    }

    pub(super) async fn database_in(&self, _: &SecretName) -> Result<DatabasePlace, OpenError> {
        match self.0 {}
    }

    pub(super) fn containers(&self) -> ContainersBuilder {
        Containers::builder()
    }
}

pub(super) async fn open(_: Parts<'_>) -> Result<Fabric, OpenError> {
    Err(missing())
}

fn missing() -> OpenError {
    let what = "PUDATO_FABRIC: this build has the embedded fabric only; unset the AWS settings or build with the feature aws";
    OpenError::Settings(what.into())
}
