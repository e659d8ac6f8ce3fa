//! The port through which query reaches objects: it does not know where they lie.

use async_trait::async_trait;
use pudato_protocol::DataReference;
use std::fmt;
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

/// Why an object was not copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileError {
    /// The Command is to blame: no such object, a container that is not listed, too many bytes.
    Invalid(String),
    /// The store refuses access to this object.
    Denied(String),
    /// The store is not there now.
    Unavailable(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Invalid(text) | Self::Denied(text) | Self::Unavailable(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for FileError {}

/// Copies objects into files and files into objects.
#[async_trait]
pub trait Files: Send + Sync {
    /// Copies an object of at most `bytes_max` bytes into the new file `to`.
    ///
    /// # Errors
    /// See [`FileError`].
    async fn fetch(
        &self,
        container: &str,
        path: &str,
        to: &Path,
        bytes_max: u64,
    ) -> Result<ObjectFile, FileError>;

    /// Copies the file `from` into an object; it is whole and durable when this returns.
    ///
    /// # Errors
    /// See [`FileError`].
    async fn store(
        &self,
        container: &str,
        path: &str,
        from: &Path,
        content_type: &str,
    ) -> Result<ObjectFile, FileError>;
}
