//! Objects for the query handler, over the storage room.

use async_trait::async_trait;
use pudato_protocol::DataReference;
use pudato_query::{FileError, Files, ObjectFile};
use pudato_storage::{ErrorKind, ObjectInfo, Objects};
use std::path::Path;

/// The same objects that the storage handler has.
pub(crate) struct ObjectFiles(pub(crate) Objects);

#[async_trait]
impl Files for ObjectFiles {
    async fn fetch(
        &self,
        container: &str,
        path: &str,
        to: &Path,
        bytes_max: u64,
    ) -> Result<ObjectFile, FileError> {
        let fetched = self.0.fetch(container, path, to, bytes_max).await;
        fetched.map(described).map_err(translate)
    }

    async fn store(
        &self,
        container: &str,
        path: &str,
        from: &Path,
        content_type: &str,
    ) -> Result<ObjectFile, FileError> {
        let stored = self.0.store(container, path, from, content_type).await;
        stored.map(described).map_err(translate)
    }
}

fn described(info: ObjectInfo) -> ObjectFile {
    let reference = DataReference::new("file", info.location.as_str())
        .with("size", info.size)
        .with("etag", info.etag.as_str());
    ObjectFile {
        size: info.size,
        etag: info.etag,
        reference,
    }
}

fn translate(error: pudato_storage::Error) -> FileError {
    match error.kind {
        ErrorKind::Unavailable | ErrorKind::Corrupt => FileError::Unavailable(error.context),
        ErrorKind::Denied | ErrorKind::Failed => FileError::Denied(error.context),
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::TooLarge => FileError::Invalid(error.context),
    }
}
