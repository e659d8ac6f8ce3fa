//! The port through which query reaches objects: it does not know where they lie.

use async_trait::async_trait;
use pudato_protocol::{DataReference, Error};
use std::path::Path;

/// An object whose bytes were copied from or into a file.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectFile {
    /// Bytes.
    pub size: u64,
    /// Changes when the object is written.
    pub etag: String,
    /// How it stands in lineage, with its size and etag.
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

    /// Copies the file `from` into an object; it is whole and durable when this returns.
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
