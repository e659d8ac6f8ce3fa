//! The port through which query copies objects. It does not know where they are stored.

use async_trait::async_trait;
use pudato_protocol::{DataReference, Error};
use std::path::Path;

/// An object that was copied from or to a file.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectFile {
    /// The size in bytes.
    pub size: u64,
    /// A version that changes with each write of the object.
    pub etag: String,
    /// The reference for lineage, with the size and the etag.
    pub reference: DataReference,
}

/// Copies objects into files and files into objects.
#[async_trait]
pub trait Files: Send + Sync {
    /// Copies an object of at most `bytes_max` bytes into the new file `to`.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `TooLarge`: the Command is to blame. `Denied`, `Failed`: this object alone. `Unavailable`: the store.
    async fn fetch(
        &self,
        container: &str,
        path: &str,
        to: &Path,
        bytes_max: u64,
    ) -> Result<ObjectFile, Error>;

    /// Copies the file `from` into an object, which is complete and durable when this returns.
    ///
    /// # Errors
    /// As [`Files::fetch`].
    async fn store(
        &self,
        container: &str,
        path: &str,
        from: &Path,
        content_type: &str,
    ) -> Result<ObjectFile, Error>;
}
