//! Administration of an installation: backup, checks, usage, deployment.

mod backup;
mod dead_letters;
#[cfg(feature = "aws")]
pub mod deployment;
mod doctor;
#[cfg(feature = "aws")]
pub(crate) mod examination;
#[cfg(target_os = "linux")]
mod locks;
pub mod usage;
