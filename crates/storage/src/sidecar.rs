//! Stores the content type and metadata of objects. A bucket stores them with the object. A file system cannot, so unless they are the
//! default, they have a file of their own.

use crate::containers::Container;
use crate::error::{Error, ErrorKind, store_error};
use crate::key::HIDDEN;
use object_store::path::Path;
use object_store::{Attribute, AttributeValue, Attributes, ObjectStoreExt, PutPayload};
use pudato_protocol::Object as Fields;
use serde_json::{Value, json};

/// The data beside an object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sidecar {
    pub(crate) content_type: Option<String>,
    pub(crate) metadata: Fields,
}

/// The single name for metadata that is not plain text under a plain name.
const JSON: &str = "pudato-metadata";
/// Most bytes of all metadata of an object, names and values (S3's user guide, "Working with object metadata").
const METADATA_BYTES_MAX: usize = 2_048;

impl Sidecar {
    /// The form for a bucket: texts under lower-case names as they are, so that other programs can read them, and the rest as one JSON
    /// text.
    ///
    /// # Errors
    /// `Invalid`: it exceeds what S3 stores.
    pub(crate) fn attributes(&self) -> Result<Attributes, Error> {
        let mut attributes = Attributes::new();
        if let Some(content_type) = &self.content_type {
            attributes.insert(Attribute::ContentType, content_type.clone().into());
        }
        let mut bytes = 0;
        let mut insert = |name: &str, value: String| {
            bytes += name.len() + value.len();
            let value = AttributeValue::from(value);
            attributes.insert(Attribute::Metadata(name.to_owned().into()), value);
        };
        let (plain, other): (Vec<_>, Vec<_>) = self
            .metadata
            .iter()
            .partition(|(name, value)| is_plain(name, value));
        for (name, value) in plain {
            insert(name, value.as_str().unwrap_or_default().to_owned());
        }
        if !other.is_empty() {
            let other: Fields = other
                .into_iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            insert(JSON, ascii(&Value::Object(other).to_string()));
        }
        if bytes > METADATA_BYTES_MAX {
            let context =
                format!("payload.metadata: {bytes} bytes; S3 keeps {METADATA_BYTES_MAX} at most");
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        Ok(attributes)
    }

    fn of(attributes: &Attributes) -> Self {
        let mut sidecar = Self::default();
        for (attribute, value) in attributes {
            match attribute {
                // The default type of S3 and other stores.
                Attribute::ContentType if value.as_ref().ends_with("/octet-stream") => {}
                Attribute::ContentType => sidecar.content_type = Some(value.as_ref().to_owned()),
                Attribute::Metadata(name) if name == JSON => {
                    if let Ok(Value::Object(other)) = serde_json::from_str(value) {
                        sidecar.metadata.extend(other);
                    }
                }
                Attribute::Metadata(name) => {
                    let value = value.as_ref().into();
                    sidecar.metadata.insert(name.clone().into_owned(), value);
                }
                _ => {}
            }
        }
        sidecar
    }

    fn is_default(&self) -> bool {
        self.content_type.is_none() && self.metadata.is_empty()
    }
}

/// Whether a header can carry the value and return it unchanged.
fn is_plain(name: &str, value: &Value) -> bool {
    let is_name = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_value = |text: &str| {
        let is_printable = text.bytes().all(|c| (b' '..=b'~').contains(&c));
        !text.is_empty() && is_printable && text.trim() == text
    };
    !name.is_empty()
        && name != JSON
        && name.bytes().all(is_name)
        && value.as_str().is_some_and(is_value)
}

/// The same JSON, with escapes for characters that a header cannot carry.
fn ascii(json: &str) -> String {
    use std::fmt::Write;
    json.chars().fold(String::new(), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
        text
    })
}

fn path(object: &str) -> Path {
    // The hash separates an object `a` from a folder `a`, and keeps the name short.
    Path::from(format!("{HIDDEN}/meta/{}.json", fnv(object)))
}

/// FNV-1a, 128 bits. It names files and protects nothing.
fn fnv(text: &str) -> String {
    let start: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let prime: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let hash = text.bytes().fold(start, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(prime)
    });
    format!("{hash:032x}")
}

/// Whether the container has a sidecar for any object.
fn has_any(container: &Container) -> bool {
    container
        .folder()
        .is_some_and(|root| root.join(HIDDEN).is_dir())
}

/// Writes the sidecar of `object` if its store needs one. This happens before the object is published.
pub(crate) async fn write(
    container: &Container,
    object: &str,
    sidecar: &Sidecar,
) -> Result<(), Error> {
    if container.folder().is_none() {
        return Ok(());
    }
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
        .map_err(|error| store_error(&format!("{}/{object}: metadata", container.name), error))
}

/// Reads the data of `object` from the store or from its sidecar.
pub(crate) async fn read(
    container: &Container,
    object: &str,
    attributes: &Attributes,
) -> Result<Sidecar, Error> {
    if container.folder().is_none() {
        return Ok(Sidecar::of(attributes));
    }
    if !has_any(container) {
        return Ok(Sidecar::default());
    }
    let doing = || format!("{}/{object}: metadata", container.name);
    let found = match container.store.get(&path(object)).await {
        Ok(found) => found.bytes().await,
        Err(object_store::Error::NotFound { .. }) => return Ok(Sidecar::default()),
        Err(error) => Err(error),
    };
    let bytes = found.map_err(|error| store_error(&doing(), error))?;
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(&bytes) else {
        return Ok(Sidecar::default());
    };
    // A sidecar of another object with the same hash is ignored.
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

/// Removes the sidecar of `object`.
pub(crate) async fn remove(container: &Container, object: &str) -> Result<(), Error> {
    if !has_any(container) {
        return Ok(());
    }
    match container.store.delete(&path(object)).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(store_error(&container.name, error)),
    }
}
