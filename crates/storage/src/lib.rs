//! The storage handler: objects in containers, which are durable before anybody is notified of them.

mod containers;
mod copies;
mod error;
mod folder;
mod handler;
mod key;
mod lineage;
mod objects;
mod parquet;
#[cfg(feature = "s3")]
mod s3;
#[cfg(feature = "s3")]
mod s3_calls;
#[cfg(feature = "s3")]
mod s3_errors;
mod sidecar;
mod unnamed;

pub use containers::{Containers, ContainersBuilder};
pub use handler::{ACTIONS, StorageHandler};
pub use objects::{Listing, Object, ObjectInfo, Objects, Put};
pub use pudato_protocol::{Code, Error, ErrorKind};
#[cfg(feature = "s3")]
pub use s3::S3Access;
pub use unnamed::Skipped;
