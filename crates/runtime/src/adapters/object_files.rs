//! The objects of the storage crate, as files for the query handler.

use async_trait::async_trait;
use pudato_protocol::DataReference;
use pudato_query::{Files, ObjectFile};
use pudato_storage::{Error, ObjectInfo, Objects};
use std::path::Path;

/// The objects of the storage handler.
pub(crate) struct ObjectFiles(pub(crate) Objects);

#[async_trait]
impl Files for ObjectFiles {
    async fn fetch(
        &self,
        container: &str,
        path: &str,
        to: &Path,
        bytes_max: u64,
    ) -> Result<ObjectFile, Error> {
        let fetched = self.0.fetch(container, path, to, bytes_max).await;
        fetched.map(described)
    }

    async fn store(
        &self,
        container: &str,
        path: &str,
        from: &Path,
        content_type: &str,
    ) -> Result<ObjectFile, Error> {
        let stored = self.0.store(container, path, from, content_type).await;
        stored.map(described)
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
