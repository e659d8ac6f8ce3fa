//! Which containers there are, and where each lies.

use crate::error::{Error, ErrorKind};
use crate::key;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use pudato_protocol::Dataset;
use std::collections::{BTreeMap, HashMap};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The containers that may be used; every other name is refused.
pub struct Containers {
    allowed: Allowed,
    open: Mutex<HashMap<String, Arc<Container>>>,
}

enum Allowed {
    /// Any valid name is a folder below this one.
    Any(PathBuf),
    /// These names, and the folder of each; other names are refused.
    Listed(BTreeMap<String, PathBuf>),
}

/// A container that is open.
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The canonical folder.
    pub(crate) root: PathBuf,
}

/// Says which containers there are.
#[derive(Debug, Default)]
pub struct ContainersBuilder {
    root: Option<PathBuf>,
    listed: BTreeMap<String, String>,
}

impl ContainersBuilder {
    /// Any valid name is a folder below `root`, unless containers are listed.
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = Some(root.into());
        self
    }

    /// Lists a container, e.g. `data-lake` at `file:///data/lake`.
    #[must_use]
    pub fn list(mut self, name: impl Into<String>, location: impl Into<String>) -> Self {
        self.listed.insert(name.into(), location.into());
        self
    }

    /// Checks everything.
    ///
    /// # Errors
    /// `Invalid`: a name or a location that cannot be used, or neither a root nor a list.
    pub fn build(self) -> Result<Containers, Error> {
        let invalid = |what: String| Error::new(ErrorKind::Invalid, what);
        let mut listed = BTreeMap::new();
        for (name, location) in self.listed {
            key::check_container(&name)
                .map_err(|what| invalid(format!("containers: {name}: {what}")))?;
            // The one place that chooses the backend of a container.
            let path = match location.split_once("://") {
                Some(("file", path)) if path.starts_with('/') => PathBuf::from(path),
                _ => {
                    return Err(invalid(format!(
                        "containers.{name}: expected file:///absolute/folder, found {location:?}; \
                         other stores are not built in"
                    )));
                }
            };
            listed.insert(name, path);
        }
        let allowed = match self.root {
            _ if !listed.is_empty() => Allowed::Listed(listed),
            Some(root) => Allowed::Any(root),
            None => {
                return Err(invalid(
                    "containers: expected a root folder or a list".into(),
                ));
            }
        };
        Ok(Containers {
            allowed,
            open: Mutex::default(),
        })
    }
}

impl Containers {
    /// Begins to say which containers there are.
    pub fn builder() -> ContainersBuilder {
        ContainersBuilder::default()
    }

    /// The container `name`; its folder is made where it is not there.
    pub(crate) fn open(&self, name: &str) -> Result<Arc<Container>, Error> {
        if let Some(open) = self.lock().get(name) {
            return Ok(Arc::clone(open));
        }
        let folder = self.folder(name)?;
        let doing = format!("container {name}");
        if folder.is_symlink() {
            let context = format!("{doing}: its folder must not be a symbolic link");
            return Err(Error::new(ErrorKind::Invalid, context));
        }
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&folder)
            .map_err(|error| Error::io(&doing, &error))?;
        let root = folder
            .canonicalize()
            .map_err(|error| Error::io(&doing, &error))?;
        let store = LocalFileSystem::new_with_prefix(&root)
            .map_err(|error| Error::store(&doing, &error))?
            .with_fsync(true);
        let container = Arc::new(Container {
            name: name.to_owned(),
            store: Arc::new(store),
            root,
        });
        self.lock().insert(name.to_owned(), Arc::clone(&container));
        Ok(container)
    }

    fn folder(&self, name: &str) -> Result<PathBuf, Error> {
        let refused = |what: String| Err(Error::new(ErrorKind::Invalid, what));
        match &self.allowed {
            Allowed::Any(root) => match key::check_container(name) {
                Ok(()) => Ok(root.join(name)),
                Err(what) => refused(format!("payload.container: {what}")),
            },
            Allowed::Listed(listed) => match listed.get(name) {
                Some(folder) => Ok(folder.clone()),
                None => {
                    let names: Vec<&str> = listed.keys().map(String::as_str).collect();
                    refused(format!(
                        "payload.container: {name:?} is not listed under [containers]; expected one of {}",
                        names.join(", ")
                    ))
                }
            },
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Container>>> {
        // The map is whole at every moment, so a panic elsewhere does not spoil it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Container {
    /// Where an object lies, as lineage names it.
    pub(crate) fn location(&self, path: &str) -> String {
        let root = self.root.to_string_lossy();
        Dataset::file(&format!("{root}/{path}")).location()
    }

    /// Refuses a path on which a symbolic link leads out of the container: the object store would follow it.
    pub(crate) fn check_links(&self, path: &str) -> Result<(), Error> {
        let mut at = self.root.clone();
        for segment in path.split('/') {
            at.push(segment);
            match at.symlink_metadata() {
                Ok(found) if found.is_symlink() => self.check_target(&at, path)?,
                Ok(_) => {}
                // What is not there leads nowhere.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn check_target(&self, link: &Path, path: &str) -> Result<(), Error> {
        let stays = link
            .canonicalize()
            .is_ok_and(|target| target.starts_with(&self.root));
        if stays {
            return Ok(());
        }
        let context = format!(
            "payload.path: {}/{path}: a symbolic link on it leads out of the container",
            self.name
        );
        Err(Error::new(ErrorKind::Invalid, context))
    }
}
