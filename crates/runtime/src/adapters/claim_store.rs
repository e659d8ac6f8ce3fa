//! Claims as objects.

use async_trait::async_trait;
use pudato_messaging::{ClaimStore, Error, ErrorKind};
use pudato_storage::{Objects, Put};

/// Stores claims as objects of one container.
pub(crate) struct ClaimObjects {
    pub(crate) objects: Objects,
    /// The container's name in the settings.
    pub(crate) name: String,
    /// The container's name in pointers.
    pub(crate) container: String,
    pub(crate) bytes_max: u64,
}

#[async_trait]
impl ClaimStore for ClaimObjects {
    fn container(&self) -> &str {
        &self.container
    }

    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Error> {
        if bytes.len() as u64 > self.bytes_max {
            let context = format!(
                "claim: {} bytes; at most {} (PUDATO_CLAIM_BYTES_MAX)",
                bytes.len(),
                self.bytes_max
            );
            return Err(Error::new(ErrorKind::TooLarge, context));
        }
        let put = Put {
            bytes: bytes.into(),
            ..Put::default()
        };
        let stored = self.objects.put(&self.name, key, put).await;
        stored.map(|_| ()).map_err(|error| error.within("claim"))
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>, Error> {
        let found = self.objects.get(&self.name, key, self.bytes_max).await;
        found
            .map(|object| object.bytes.to_vec())
            .map_err(|error| error.within("claim"))
    }
}
