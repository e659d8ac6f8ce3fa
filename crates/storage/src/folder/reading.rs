//! Reads objects.

use super::{Problem, Root, beneath};
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::try_unfold;
use object_store::path::Path;
use object_store::{Attributes, GetResult, GetResultPayload, ObjectMeta, Result};
use rustix::fs::{FileType, RawMode, Stat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The number of bytes to read at once.
const PIECE: u64 = 4 * 1024 * 1024;

/// Opens the object at `path`.
pub(super) fn open(
    root: &Root,
    path: &str,
    location: Path,
) -> std::result::Result<(File, ObjectMeta), Problem> {
    let root = root.open()?;
    let failed = |errno| Problem::read(&root, path, errno);
    let file = beneath::file(&root, path).map_err(failed)?;
    let found = rustix::fs::fstat(&file).map_err(failed)?;
    match FileType::from_raw_mode(found.st_mode as RawMode) {
        FileType::RegularFile => Ok((file.into(), meta(&found, location))),
        // A folder is not an object, so there is no object with this name.
        FileType::Directory => Err(Problem::Read(Errno::NOENT.into())),
        kind => Err(Problem::other_kind(path, kind)),
    }
}

#[allow(
    clippy::unnecessary_cast,
    reason = "the types of these fields differ from platform to platform"
)]
pub(super) fn meta(found: &Stat, location: Path) -> ObjectMeta {
    let (seconds, nanos) = (found.st_mtime as i64, found.st_mtime_nsec as u32);
    let seconds = Duration::new(u64::try_from(seconds).unwrap_or(0), nanos);
    let written = SystemTime::UNIX_EPOCH + seconds;
    let (inode, size) = (
        found.st_ino as u64,
        u64::try_from(found.st_size).unwrap_or(0),
    );
    ObjectMeta {
        location,
        last_modified: written.into(),
        size,
        // It changes with each write, because each write creates a new file.
        e_tag: Some(format!("\"{inode:x}-{:x}-{size:x}\"", seconds.as_micros())),
        version: None,
    }
}

/// The object with its bytes, which are read piece by piece.
pub(super) fn result(file: File, meta: ObjectMeta) -> GetResult {
    let (path, size) = (meta.location.to_string(), meta.size);
    let file = Arc::new(file);
    let pieces = try_unfold(0, move |from| {
        let (file, path) = (Arc::clone(&file), path.clone());
        async move {
            if from >= size {
                return Ok(None);
            }
            let to = size.min(from + PIECE);
            let read = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; usize::try_from(to - from).unwrap_or(0)];
                let read = file.read_exact_at(&mut piece, from);
                read.map_err(|error| Problem::Read(shorter(error)).of(&path))?;
                Result::<Bytes>::Ok(piece.into())
            });
            Ok(Some((read.await??, to)))
        }
    });
    GetResult {
        payload: GetResultPayload::Stream(pieces.boxed()),
        range: 0..size,
        meta,
        attributes: Attributes::default(),
        extensions: Default::default(),
    }
}

fn shorter(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "it was changed while it was read")
        }
        _ => error,
    }
}
