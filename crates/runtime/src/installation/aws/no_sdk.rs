//! Replaces the module `sdk` in a build without AWS. Its functions return an error.

use crate::installation::OpenError;
use crate::installation::fabric::{Fabric, Parts};
use crate::settings::{DatabasePlace, SecretName, Settings};
use pudato_storage::{Containers, ContainersBuilder};
use std::convert::Infallible;

/// Access to AWS, which this build never has.
pub(in crate::installation) struct Access(Infallible);

impl Access {
    pub(in crate::installation) async fn open(
        settings: &Settings,
    ) -> Result<Option<Self>, OpenError> {
        match settings.fabric.needs_aws {
            true => Err(missing()),
            false => Ok(None),
        }
    }

    pub(in crate::installation) async fn database_in(
        &self,
        _: &SecretName,
    ) -> Result<DatabasePlace, OpenError> {
        match self.0 {}
    }

    pub(in crate::installation) fn containers(&self) -> ContainersBuilder {
        Containers::builder()
    }
}

pub(in crate::installation) async fn open(_: Parts<'_>) -> Result<Fabric, OpenError> {
    Err(missing())
}

fn missing() -> OpenError {
    let what = "PUDATO_FABRIC: this build has the embedded fabric only; unset the AWS settings or build with the feature aws";
    OpenError::Settings(what.into())
}
