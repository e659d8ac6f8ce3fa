//! The operations on objects.

use crate::containers::{Container, Containers, Place};
use crate::error::{Error, ErrorKind, store_error};
use crate::key;
use crate::sidecar::{self, Sidecar};
use crate::unnamed::{self, Skipped};
use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Attributes, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload,
};
use pudato_protocol::{Object as Fields, Timestamp};
use std::sync::Arc;

/// The longest content type: two names of 127 characters with a slash between them (RFC 6838, section 4.2).
const CONTENT_TYPE_BYTES_MAX: usize = 255;

/// Objects in containers. Clones share open containers.
#[derive(Clone)]
pub struct Objects {
    containers: Arc<Containers>,
}

/// An object to put.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// The bytes.
    pub bytes: Bytes,
    /// The media type, stored with the object.
    pub content_type: Option<String>,
    /// The caller's metadata, stored with the object.
    pub metadata: Fields,
    /// Puts the object only if there is none yet. An existing object with the same bytes counts as success, because the request was
    /// repeated.
    pub if_none_match: bool,
}

/// The properties of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectInfo {
    /// The path in the container.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
    /// A version that changes with each write.
    pub etag: String,
    /// The time of the last write.
    pub last_modified: Timestamp,
    /// The location in lineage.
    pub location: String,
    /// The media type.
    pub content_type: Option<String>,
    /// The caller's metadata.
    pub metadata: Fields,
}

/// An object with its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// The properties of the object.
    pub info: ObjectInfo,
    /// The bytes.
    pub bytes: Bytes,
}

/// One page of a listing, in the order of the paths.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing {
    /// The objects, without content type and metadata.
    pub objects: Vec<ObjectInfo>,
    /// The start of the next page; `None` on the last page.
    pub continuation_token: Option<String>,
    /// Entries between these objects that no command can name. Each counts once over all pages.
    pub skipped: Skipped,
}

impl Objects {
    /// Objects in these containers.
    pub fn new(containers: Containers) -> Self {
        Self {
            containers: Arc::new(containers),
        }
    }

    pub(crate) fn at(&self, container: &str, path: &str) -> Result<(Arc<Container>, Path), Error> {
        let key = key::check(path).map_err(|what| {
            Error::new(
                ErrorKind::Invalid,
                format!("payload.path: {path:?}: {what}"),
            )
        })?;
        let container = self.containers.open(container)?;
        if let Place::Bucket { prefix, .. } = &container.place {
            // The response to a HEAD request has no body that could report this.
            let bytes = prefix.len() + path.len();
            if bytes > key::BYTES_MAX {
                let (prefix, max) = (prefix.len(), key::BYTES_MAX);
                let context = format!(
                    "payload.path: {bytes} bytes with the {prefix} of the container's prefix; at most {max}"
                );
                return Err(Error::new(ErrorKind::Invalid, context));
            }
        }
        Ok((container, key))
    }

    /// Puts an object, which is complete and durable when this returns. Until then the old object stays.
    ///
    /// # Errors
    /// `Invalid`, `AlreadyExists` (see [`Put::if_none_match`]), `Unavailable`.
    pub async fn put(&self, container: &str, path: &str, put: Put) -> Result<ObjectInfo, Error> {
        let (container, key) = self.at(container, path)?;
        let doing = format!("{}/{path}", container.name);
        if let Some(found) = put.content_type.as_deref()
            && !is_content_type(found)
        {
            let context = format!(
                "payload.content_type: expected printable ASCII such as text/csv, at most {CONTENT_TYPE_BYTES_MAX} bytes, found {found:?}"
            );
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        let sidecar = Sidecar {
            content_type: put.content_type,
            metadata: put.metadata,
        };
        if !put.if_none_match {
            sidecar::write(&container, path, &sidecar).await?;
        }
        let options = PutOptions {
            mode: if put.if_none_match {
                PutMode::Create
            } else {
                PutMode::Overwrite
            },
            attributes: kept_by_store(&container, &sidecar)?,
            ..PutOptions::default()
        };
        let payload = PutPayload::from(put.bytes.clone());
        let size = put.bytes.len() as u64;
        let stored = container.store.put_opts(&key, payload, options).await;
        let etag = match stored {
            Ok(stored) => stored.e_tag,
            Err(object_store::Error::AlreadyExists { .. }) => {
                same(&container, &key, &put.bytes, &doing).await?
            }
            Err(error) => return Err(store_error(&doing, error)),
        };
        if put.if_none_match {
            sidecar::write(&container, path, &sidecar).await?;
        }
        Ok(ObjectInfo {
            path: path.to_owned(),
            size,
            etag: etag.unwrap_or_default(),
            last_modified: Timestamp::now(),
            location: container.location(path),
            content_type: sidecar.content_type,
            metadata: sidecar.metadata,
        })
    }

    /// Gets an object of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `TooLarge`, `Unavailable`.
    pub async fn get(&self, container: &str, path: &str, bytes_max: u64) -> Result<Object, Error> {
        let (container, key) = self.at(container, path)?;
        let doing = format!("{}/{path}", container.name);
        let failed = |error| store_error(&doing, error);
        let found = container.store.get(&key).await.map_err(failed)?;
        if found.meta.size > bytes_max {
            let context = format!("{doing}: {} bytes; at most {bytes_max}", found.meta.size);
            return Err(Error::new(ErrorKind::TooLarge, context));
        }
        let (meta, attributes) = (found.meta.clone(), found.attributes.clone());
        let bytes = found.bytes().await.map_err(failed)?;
        let kept = sidecar::read(&container, path, &attributes).await?;
        Ok(Object {
            info: info(&container, path, &meta, kept),
            bytes,
        })
    }

    /// Returns the properties of an object.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `Unavailable`.
    pub async fn head(&self, container: &str, path: &str) -> Result<ObjectInfo, Error> {
        let (container, key) = self.at(container, path)?;
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        let found = container.store.get_opts(&key, options).await;
        let found =
            found.map_err(|error| store_error(&format!("{}/{path}", container.name), error))?;
        let kept = sidecar::read(&container, path, &found.attributes).await?;
        Ok(info(&container, path, &found.meta, kept))
    }

    /// Deletes an object; answers whether there was one.
    ///
    /// # Errors
    /// `Invalid`, `Unavailable`.
    pub async fn delete(&self, container: &str, path: &str) -> Result<(bool, String), Error> {
        let (container, key) = self.at(container, path)?;
        let location = container.location(path);
        let doing = format!("{}/{path}", container.name);
        // S3 does not say whether there was one.
        let was_there = match container.folder() {
            Some(_) => true,
            None => match container.store.head(&key).await {
                Ok(_) => true,
                Err(object_store::Error::NotFound { .. }) => false,
                Err(error) => return Err(store_error(&doing, error)),
            },
        };
        let deleted = match container.store.delete(&key).await {
            Ok(()) => was_there,
            Err(object_store::Error::NotFound { .. }) => false,
            Err(error) => return Err(store_error(&doing, error)),
        };
        sidecar::remove(&container, path).await?;
        Ok((deleted, location))
    }

    /// Lists objects whose path begins with `prefix` and comes after `after`, at most `max`.
    ///
    /// # Errors
    /// `Invalid`, `Unavailable`.
    pub async fn list(
        &self,
        container: &str,
        prefix: &str,
        after: Option<&str>,
        max: usize,
    ) -> Result<Listing, Error> {
        let container = self.containers.open(container)?;
        let doing = format!("{}/{prefix}", container.name);
        // The store lists folders; a prefix may end within a name.
        let folder = match prefix.rsplit_once('/') {
            Some((folder, _)) => {
                let folder = key::check(folder).map_err(|what| {
                    Error::new(ErrorKind::Invalid, format!("payload.prefix: {what}"))
                })?;
                Some(folder)
            }
            None => None,
        };
        let is_meant =
            |path: &str| path.starts_with(prefix) && after.is_none_or(|after| path > after);
        let is_ordered = container.folder().is_none();
        // All that begins with the prefix comes after what begins with less of it.
        let less = &prefix[..prefix
            .char_indices()
            .next_back()
            .map_or(0, |(last, _)| last)];
        let from = after.filter(|after| *after >= prefix).unwrap_or(less);
        let mut listed = match Path::parse(from) {
            Ok(from) if is_ordered && !from.is_root() => {
                container.store.list_with_offset(folder.as_ref(), &from)
            }
            _ => container.store.list(folder.as_ref()),
        };
        // Objects by their paths; what is none has nothing else.
        let mut found: Vec<(String, Option<ObjectMeta>)> = Vec::new();
        let mut objects = 0;
        let failed = |error| store_error(&doing, error);
        while let Some(meta) = listed.try_next().await.map_err(failed)? {
            let (path, meta) = match unnamed::of(&meta.location) {
                None => (meta.location.to_string(), Some(meta)),
                Some(name) => match container.below(&String::from_utf8_lossy(&name)) {
                    Some(path) => (path.to_owned(), None),
                    // The marker of the folder that the container itself is.
                    None => continue,
                },
            };
            let is_past = path.as_str() > prefix && !path.starts_with(prefix);
            if is_meant(&path) {
                objects += usize::from(meta.is_some());
                found.push((path, meta));
            }
            // S3 lists in the order of the paths: no more of it is read than is asked for.
            if is_ordered && (objects > max || is_past) {
                break;
            }
        }
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(page(&container, found, max))
    }
}

/// The first `max` objects and the entries between them; everything after the last object belongs to the next page.
fn page(container: &Container, found: Vec<(String, Option<ObjectMeta>)>, max: usize) -> Listing {
    let mut objects: Vec<ObjectInfo> = Vec::new();
    let (mut skipped, mut since) = (Skipped::default(), Skipped::default());
    for (path, meta) in found {
        match meta {
            None => since.add(&path),
            Some(_) if objects.len() == max => {
                return Listing {
                    continuation_token: objects.last().map(|last| last.path.clone()),
                    objects,
                    skipped,
                };
            }
            Some(meta) => {
                skipped.append(std::mem::take(&mut since));
                objects.push(info(container, &path, &meta, Sidecar::default()));
            }
        }
    }
    skipped.append(since);
    Listing {
        objects,
        continuation_token: None,
        skipped,
    }
}

/// Whether a header can carry it.
fn is_content_type(text: &str) -> bool {
    let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (1..=CONTENT_TYPE_BYTES_MAX).contains(&text.len()) && is_printable
}

/// An object that is there already and has the same bytes was put by the same request, which came again.
async fn same(
    container: &Container,
    key: &Path,
    bytes: &Bytes,
    doing: &str,
) -> Result<Option<String>, Error> {
    let failed = |error| store_error(doing, error);
    let found = container.store.get(key).await.map_err(failed)?;
    let etag = found.meta.e_tag.clone();
    if found.meta.size == bytes.len() as u64 && found.bytes().await.map_err(failed)? == *bytes {
        return Ok(etag);
    }
    let context = format!("{doing}: if_none_match: there is another object already");
    Err(Error::new(ErrorKind::AlreadyExists, context))
}

/// What a bucket keeps with an object itself; a folder keeps it beside.
pub(crate) fn kept_by_store(container: &Container, sidecar: &Sidecar) -> Result<Attributes, Error> {
    match container.folder() {
        Some(_) => Ok(Attributes::new()),
        None => sidecar.attributes(),
    }
}

pub(crate) fn info(
    container: &Container,
    path: &str,
    meta: &ObjectMeta,
    kept: Sidecar,
) -> ObjectInfo {
    let nanos = meta.last_modified.timestamp_nanos_opt().unwrap_or(0);
    let at = time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(nanos));
    ObjectInfo {
        path: path.to_owned(),
        size: meta.size,
        etag: meta.e_tag.clone().unwrap_or_default(),
        last_modified: at.map_or_else(|_| Timestamp::now(), Timestamp::at),
        location: container.location(path),
        content_type: kept.content_type,
        metadata: kept.metadata,
    }
}
