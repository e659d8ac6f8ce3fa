//! Objects in a folder. Every access starts at the folder's own descriptor and follows no symbolic link, whenever it was created. Only
//! regular files are objects. A put is durable when it returns, and until then the old object stays.

mod beneath;
mod listing;
mod problem;
mod reading;
mod writing;

pub(crate) use problem::Problem;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rustix::fd::OwnedFd;
use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

/// The prefix of files that are still being written. No object may have such a name.
pub(crate) const STAGED: &str = ".pudato-new.";

/// A folder as an object store.
#[derive(Debug, Clone)]
pub(crate) struct Folder(Arc<Root>);

#[derive(Debug)]
struct Root {
    /// Canonical, so that links on the way to the folder were followed once.
    path: PathBuf,
    /// Whether the folder is ours and is recreated after its removal. Another folder may be on a disk that is not mounted.
    is_ours: bool,
}

impl Folder {
    /// `path` must be canonical.
    pub(crate) fn new(path: PathBuf, is_ours: bool) -> Self {
        Self(Arc::new(Root { path, is_ours }))
    }

    pub(crate) fn path(&self) -> &FilePath {
        &self.0.path
    }

    /// Runs blocking `work` on a thread for it.
    async fn run<T: Send + 'static>(
        &self,
        location: &Path,
        work: impl FnOnce(&Root, &str) -> std::result::Result<T, Problem> + Send + 'static,
    ) -> Result<T> {
        let (root, path) = (Arc::clone(&self.0), location.to_string());
        let ended = tokio::task::spawn_blocking(move || {
            let done = work(&root, &path);
            done.map_err(|problem| problem.of(&path))
        });
        ended.await?
    }
}

impl Root {
    fn open(&self) -> std::result::Result<OwnedFd, Problem> {
        beneath::root(&self.path).map_err(|errno| self.problem(errno.into()))
    }

    /// Opens the folder, and creates it if necessary.
    fn open_or_make(&self) -> std::result::Result<OwnedFd, Problem> {
        match self.open() {
            Err(Problem::Root {
                error,
                is_ours: true,
            }) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = rustix::fs::mkdir(&self.path, 0o700.into());
                match made {
                    Ok(()) | Err(rustix::io::Errno::EXIST) => self.open(),
                    Err(errno) => Err(self.problem(errno.into())),
                }
            }
            opened => opened,
        }
    }

    fn problem(&self, error: std::io::Error) -> Problem {
        // A broken folder of ours concerns only its own container, if the folder above it is intact.
        let is_ours = self.is_ours
            && self
                .path
                .parent()
                .is_some_and(|above| above.read_dir().is_ok());
        Problem::Root { error, is_ours }
    }
}

/// The folder and the file name of an object.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn unsupported(operation: &str) -> Error {
    Error::NotImplemented {
        operation: operation.to_owned(),
        implementer: "a folder".to_owned(),
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the folder {}", self.0.path.display())
    }
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let is_new = match options.mode {
            PutMode::Overwrite => false,
            PutMode::Create => true,
            PutMode::Update(_) => return Err(unsupported("a put of another version")),
        };
        self.run(location, move |root, path| {
            let mut staged = writing::Staged::begin(root, path)?;
            for bytes in &payload {
                staged.append(bytes)?;
            }
            staged.publish(is_new)
        })
        .await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.run(location, writing::Staged::begin).await?;
        Ok(Box::new(writing::Upload::new(begun, location)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if options.range.is_some() {
            return Err(unsupported("a get of a part"));
        }
        let at = location.clone();
        let (file, meta) = self
            .run(location, move |root, path| reading::open(root, path, at))
            .await?;
        options.check_preconditions(&meta)?;
        Ok(reading::result(file, meta))
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let folder = self.clone();
        let removed = locations.then(move |location| {
            let folder = folder.clone();
            async move {
                let location = location?;
                folder.run(&location, writing::remove).await?;
                Ok(location)
            }
        });
        removed.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        listing::list(
            self.clone(),
            prefix.map(Path::to_string).unwrap_or_default(),
        )
    }

    async fn list_with_delimiter(&self, _: Option<&Path>) -> Result<ListResult> {
        Err(unsupported("a listing of folders"))
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(unsupported("a copy"))
    }
}
