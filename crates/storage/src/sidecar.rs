//! What a file system cannot keep with a file: content type and metadata, in a file of its own where they are not the
//! default.

use crate::containers::Container;
use crate::error::Error;
use crate::key::HIDDEN;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use pudato_protocol::Object as Fields;
use serde_json::{Value, json};

/// What is kept beside an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sidecar {
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: Fields,
}

impl Sidecar {
    fn is_default(&self) -> bool {
        self.content_type.is_none() && self.metadata.is_empty()
    }
}

fn path(object: &str) -> Path {
    // The hash keeps an object `a` and a folder `a` apart, and the name short.
    Path::from(format!("{HIDDEN}/meta/{}.json", fnv(object)))
}

/// FNV-1a, 128 bits: names of files, not secrets.
fn fnv(text: &str) -> String {
    let start: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let prime: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = text.bytes().fold(start, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(prime)
    });
    format!("{hash:032x}")
}

/// Writes what is kept beside `object`; called before the object itself is published.
pub(crate) async fn write(
    container: &Container,
    object: &str,
    sidecar: &Sidecar,
) -> Result<(), Error> {
    if sidecar.is_default() {
        return remove(container, object).await;
    }
    let Sidecar {
        content_type,
        metadata,
    } = sidecar;
    let text = json!({"path": object, "content_type": content_type, "metadata": metadata});
    let payload = PutPayload::from(text.to_string());
    let stored = container.store.put(&path(object), payload).await;
    stored
        .map(|_| ())
        .map_err(|error| Error::store(&format!("{}/{object}: metadata", container.name), &error))
}

/// Reads what is kept beside `object`.
pub(crate) async fn read(container: &Container, object: &str) -> Result<Sidecar, Error> {
    if !container.root.join(HIDDEN).is_dir() {
        return Ok(Sidecar::default());
    }
    let doing = || format!("{}/{object}: metadata", container.name);
    let found = match container.store.get(&path(object)).await {
        Ok(found) => found.bytes().await,
        Err(object_store::Error::NotFound { .. }) => return Ok(Sidecar::default()),
        Err(error) => Err(error),
    };
    let bytes = found.map_err(|error| Error::store(&doing(), &error))?;
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(&bytes) else {
        return Ok(Sidecar::default());
    };
    // Another object whose name hashes alike does not lend its metadata.
    if fields.get("path").and_then(Value::as_str) != Some(object) {
        return Ok(Sidecar::default());
    }
    Ok(Sidecar {
        content_type: fields
            .get("content_type")
            .and_then(Value::as_str)
            .map(str::to_owned),
        metadata: match fields.remove("metadata") {
            Some(Value::Object(metadata)) => metadata,
            _ => Fields::new(),
        },
    })
}

/// Forgets what is kept beside `object`.
pub(crate) async fn remove(container: &Container, object: &str) -> Result<(), Error> {
    if !container.root.join(HIDDEN).is_dir() {
        return Ok(());
    }
    match container.store.delete(&path(object)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(Error::store(&container.name, &error)),
    }
}
