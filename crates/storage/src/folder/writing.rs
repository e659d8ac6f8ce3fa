//! Writes objects: into a file beside them, which is renamed when it is complete and durable.

use super::{Problem, Root, STAGED, beneath, reading, split};
use async_trait::async_trait;
use futures_util::FutureExt;
use object_store::path::Path;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fsync, linkat, openat, renameat, unlinkat};
use rustix::io::Errno;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Numbers the files that this process writes.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file that is being written. It is removed unless it is published.
#[derive(Debug)]
pub(super) struct Staged {
    root: OwnedFd,
    folder: OwnedFd,
    path: String,
    /// The temporary name of the file, if it has one.
    staged: Option<String>,
    file: File,
}

impl Staged {
    /// Starts writing the object at `path`.
    pub(super) fn begin(root: &Root, path: &str) -> std::result::Result<Self, Problem> {
        let root = root.open_or_make()?;
        let failed = |errno| Problem::write(&root, path, errno);
        let (folder, name) = split(path);
        let folder = beneath::make_folder(&root, folder).map_err(failed)?;
        // A rename would replace a link or a pipe without its owner noticing.
        match beneath::kind_of(&folder, name) {
            Ok(FileType::RegularFile) | Err(Errno::NOENT) => {}
            Ok(kind) => return Err(Problem::other_kind(path, kind)),
            Err(errno) => return Err(failed(errno)),
        }
        let (staged, file) = create(&folder).map_err(failed)?;
        Ok(Self {
            root,
            folder,
            path: path.to_owned(),
            staged: Some(staged),
            file: file.into(),
        })
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> std::result::Result<(), Problem> {
        self.file.write_all(bytes).map_err(Problem::Write)
    }

    /// Publishes the file under its name, durably. If `is_new`, there must be no object yet.
    pub(super) fn publish(mut self, is_new: bool) -> std::result::Result<PutResult, Problem> {
        self.file.sync_all().map_err(Problem::Write)?;
        let failed = |errno| Problem::write(&self.root, &self.path, errno);
        let meta = reading::meta(
            &rustix::fs::fstat(&self.file).map_err(failed)?,
            Path::default(),
        );
        let (_, name) = split(&self.path);
        if let Some(staged) = &self.staged {
            match is_new {
                true => linkat(
                    &self.folder,
                    staged.as_str(),
                    &self.folder,
                    name,
                    AtFlags::empty(),
                )
                .map_err(failed)?,
                false => {
                    renameat(&self.folder, staged.as_str(), &self.folder, name).map_err(failed)?
                }
            }
        }
        fsync(&self.folder).map_err(failed)?;
        if !is_new {
            self.staged = None;
        }
        Ok(PutResult {
            e_tag: meta.e_tag,
            version: None,
            extensions: Default::default(),
        })
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(staged) = &self.staged {
            // If this fails, the file stays hidden and does no harm.
            let _ = unlinkat(&self.folder, staged.as_str(), AtFlags::empty());
        }
    }
}

/// Creates a file with an unused name.
fn create(folder: &OwnedFd) -> std::result::Result<(String, OwnedFd), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{STAGED}{}-{number}", std::process::id());
        match openat(folder, name.as_str(), flags, Mode::from_raw_mode(0o666)) {
            Ok(file) => return Ok((name, file)),
            // A killed process left it, or a process in another container with the same id uses it.
            Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Removes the object at `path`, durably.
pub(super) fn remove(root: &Root, path: &str) -> std::result::Result<(), Problem> {
    let root = root.open()?;
    let failed = |errno| Problem::read(&root, path, errno);
    let (folder, name) = split(path);
    let folder = beneath::folder(&root, folder).map_err(failed)?;
    match beneath::kind_of(&folder, name).map_err(failed)? {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Problem::Read(Errno::NOENT.into())),
        kind => return Err(Problem::other_kind(path, kind)),
    }
    unlinkat(&folder, name, AtFlags::empty()).map_err(failed)?;
    fsync(&folder).map_err(|errno| Problem::write(&root, path, errno))
}

/// An object that arrives in pieces.
#[derive(Debug)]
pub(super) struct Upload {
    staged: Arc<Mutex<Option<Staged>>>,
    path: String,
    written: u64,
}

impl Upload {
    pub(super) fn new(staged: Staged, location: &Path) -> Self {
        Self {
            staged: Arc::new(Mutex::new(Some(staged))),
            path: location.to_string(),
            written: 0,
        }
    }

    fn take(&self) -> Option<Staged> {
        let mut staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        staged.take()
    }

    async fn end<T: Send + 'static>(
        &self,
        end: impl FnOnce(Staged) -> std::result::Result<T, Problem> + Send + 'static,
    ) -> Result<T> {
        let (staged, path) = (self.take().ok_or_else(over)?, self.path.clone());
        let ended =
            tokio::task::spawn_blocking(move || end(staged).map_err(|problem| problem.of(&path)));
        ended.await?
    }
}

fn over() -> Error {
    super::unsupported("a write after the end of an upload")
}

#[async_trait]
impl MultipartUpload for Upload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let from = self.written;
        self.written += payload.content_length() as u64;
        let (staged, path) = (Arc::clone(&self.staged), self.path.clone());
        let written = tokio::task::spawn_blocking(move || {
            let staged = staged.lock().unwrap_or_else(PoisonError::into_inner);
            let file = &staged.as_ref().ok_or_else(over)?.file;
            let mut at = from;
            for bytes in &payload {
                let written = file.write_all_at(bytes, at);
                written.map_err(|error| Problem::Write(error).of(&path))?;
                at += bytes.len() as u64;
            }
            Ok(())
        });
        async move { written.await? }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.end(|staged| staged.publish(false)).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.end(|staged| {
            drop(staged);
            Ok(())
        })
        .await
    }
}
