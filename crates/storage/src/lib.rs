//! The storage handler: objects in containers, durable before anybody is told about them.

mod containers;
mod copies;
mod error;
mod handler;
mod key;
mod lineage;
mod objects;
mod sidecar;

pub use containers::{Containers, ContainersBuilder};
pub use error::{Error, ErrorKind};
pub use handler::StorageHandler;
pub use objects::{Listing, Object, ObjectInfo, Objects, Put};
