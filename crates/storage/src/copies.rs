//! Copies objects of any size to and from files, piece by piece, so that memory does not grow with the object.

use crate::error::{Error, ErrorKind, scratch_error, store_error};
use crate::objects::{ObjectInfo, Objects, info, kept_by_store};
use crate::sidecar::{self, Sidecar};
use bytes::BytesMut;
use futures_util::TryStreamExt;
use object_store::{MultipartUpload, ObjectStoreExt, PutMultipartOptions, PutPayload};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The size of a piece. S3's parts must have at least 5 MiB, except for the last (its user guide, "Multipart upload limits").
const PIECE: usize = 8 * 1024 * 1024;

impl Objects {
    /// Copies an object of at most `bytes_max` bytes into the new file `to`.
    ///
    /// # Errors
    /// `Invalid`, `NotFound`, `TooLarge`, `Unavailable`.
    pub async fn fetch(
        &self,
        container: &str,
        path: &str,
        to: &Path,
        bytes_max: u64,
    ) -> Result<ObjectInfo, Error> {
        let (container, key) = self.at(container, path)?;
        let doing = format!("{}/{path}", container.name);
        let failed = |error| store_error(&doing, error);
        let io = |error: std::io::Error| scratch_error(&doing, error);
        let found = container.store.get(&key).await.map_err(failed)?;
        if found.meta.size > bytes_max {
            let context = format!("{doing}: {} bytes; at most {bytes_max}", found.meta.size);
            return Err(Error::new(ErrorKind::TooLarge, context));
        }
        let (meta, attributes) = (found.meta.clone(), found.attributes.clone());
        let mut file = tokio::fs::File::create_new(to).await.map_err(io)?;
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            file.write_all(&piece).await.map_err(io)?;
        }
        file.flush().await.map_err(io)?;
        let kept = sidecar::read(&container, path, &attributes).await?;
        Ok(info(&container, path, &meta, kept))
    }

    /// Copies the file `from` into an object, which is complete and durable when this returns. Until then the old object stays.
    ///
    /// # Errors
    /// `Invalid`, `Unavailable`.
    pub async fn store(
        &self,
        container: &str,
        path: &str,
        from: &Path,
        content_type: &str,
    ) -> Result<ObjectInfo, Error> {
        let (container, key) = self.at(container, path)?;
        let doing = format!("{}/{path}", container.name);
        let failed = |error| store_error(&doing, error);
        let io = |error: std::io::Error| scratch_error(&doing, error);
        let sidecar = Sidecar {
            content_type: Some(content_type.to_owned()),
            ..Sidecar::default()
        };
        sidecar::write(&container, path, &sidecar).await?;
        let mut file = tokio::fs::File::open(from).await.map_err(io)?;
        let options = PutMultipartOptions {
            attributes: kept_by_store(&container, &sidecar)?,
            ..PutMultipartOptions::default()
        };
        let upload = container.store.put_multipart_opts(&key, options).await;
        let mut upload = upload.map_err(failed)?;
        let copied = copy(&mut file, &mut *upload, &doing).await;
        if copied.is_err() {
            let _ = upload.abort().await;
        }
        copied?;
        upload.complete().await.map_err(failed)?;
        let meta = container.store.head(&key).await.map_err(failed)?;
        Ok(info(&container, path, &meta, sidecar))
    }
}

async fn copy(
    file: &mut tokio::fs::File,
    upload: &mut dyn MultipartUpload,
    doing: &str,
) -> Result<(), Error> {
    let mut has_part = false;
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        while piece.len() < PIECE {
            let read = file.read_buf(&mut piece).await;
            if read.map_err(|error| scratch_error(doing, error))? == 0 {
                break;
            }
        }
        let is_last = piece.len() < PIECE;
        // An empty file becomes one empty part.
        if !piece.is_empty() || !has_part {
            let part = upload.put_part(PutPayload::from(piece.freeze()));
            part.await.map_err(|error| store_error(doing, error))?;
            has_part = true;
        }
        if is_last {
            return Ok(());
        }
    }
}
